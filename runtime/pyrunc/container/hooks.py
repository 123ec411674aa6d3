"""What hooks are told, and poststart and poststop hooks, which belong to `start` and `delete`."""

from __future__ import annotations

from pyrunc.errors import HookError
from pyrunc.jsonio import dumps
from pyrunc.oci import OCI_VERSION, parsing
from pyrunc.run.interrupt import Heeding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.statefile import SavedState
    from pyrunc.container.work import Work
    from pyrunc.log import Log
    from pyrunc.oci.hooks import Hooks


def for_hooks(saved: SavedState) -> dict[str, object]:
    """Return what hooks get on standard input, without status and pid."""
    return {
        "ociVersion": OCI_VERSION,
        "id": saved.id,
        "bundle": saved.bundle,
        **({"annotations": saved.annotations} if saved.annotations else {}),
    }


def kept(directory: str) -> Hooks:
    """Return the hooks of the configuration that DIRECTORY keeps a copy of."""
    with open(f"{directory}/config.json", "rb") as file:
        return parsing.parse(file.read()).hooks


def poststart(hooks: Hooks, saved: SavedState, working: Work) -> None:
    """Run the poststart hooks, and let others work on the container meanwhile.

    Raises HookError for the first that fails: 1.3.0 makes that an error of
    `start`, after which the container is stopped (runtime.md, "Lifecycle").
    """
    from pyrunc.run.steps.hooks import run_with_state

    state = _state(saved, "running", saved.pid)
    working.share()
    with Heeding():
        for index, hook in enumerate(hooks.poststart):
            run_with_state(hook, state, "poststart", index, saved.bundle, working.waits_for)


def poststop(hooks: Hooks, saved: SavedState, log: Log) -> None:
    """Run every poststop hook; a failure is a warning, and the next one runs."""
    from pyrunc.run.steps.hooks import run_with_state

    state = _state(saved, "stopped", 0)
    for index, hook in enumerate(hooks.poststop):
        try:
            with Heeding():
                run_with_state(hook, state, "poststop", index, saved.bundle)
        except (HookError, OSError) as error:
            words = f"error running poststop hook #{index}: {hook.path}: "
            log.warning(words + (error.strerror or "").lower() if isinstance(error, OSError) else str(error))


def _state(saved: SavedState, status: str, pid: int) -> bytes:
    """Return the state as hooks get it."""
    return dumps({**for_hooks(saved), "status": status, **({"pid": pid} if pid else {})}).encode()
