"""What hooks are told, and poststart and poststop hooks, which belong to `start` and `delete`."""

from __future__ import annotations

import posix

from pyrunc.errors import HookError, OpError
from pyrunc.jsonio import dumps
from pyrunc.oci import OCI_VERSION, parsing
from pyrunc.oci.crun import HOOKS_STDERR, HOOKS_STDOUT, pointer
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
    files = outputs(saved.annotations)
    try:
        with Heeding():
            for index, hook in enumerate(hooks.poststart):
                run_with_state(hook, state, "poststart", index, saved.bundle, working.waits_for, files)
    finally:
        _close(files)


def poststop(hooks: Hooks, saved: SavedState, log: Log) -> None:
    """Run every poststop hook; a failure is a warning, and the next one runs."""
    from pyrunc.run.steps.hooks import run_with_state

    state = _state(saved, "stopped", 0)
    files = (-1, -1)
    try:
        files = outputs(saved.annotations) if hooks.poststop else files
    except OpError as error:
        log.warning(str(error))
    for index, hook in enumerate(hooks.poststop):
        try:
            with Heeding():
                run_with_state(hook, state, "poststop", index, saved.bundle, outputs=files)
        except (HookError, OSError) as error:
            words = f"error running poststop hook #{index}: {hook.path}: "
            log.warning(words + (error.strerror or "").lower() if isinstance(error, OSError) else str(error))
    _close(files)


def outputs(annotations: dict[str, str]) -> tuple[int, int]:
    """Return descriptors of the files that ANNOTATIONS give to hooks' standard output and error; -1 for none.  Raises OpError."""
    found = [-1, -1]
    for place, name in enumerate((HOOKS_STDOUT, HOOKS_STDERR)):
        if name in annotations:
            from pyrunc.run.steps.hookoutput import open_hook_output

            try:
                found[place] = open_hook_output(None, annotations[name])
            except OpError as error:
                _close((found[0], found[1]))
                error.pointer = pointer(name)
                raise
    return found[0], found[1]


def _close(files: tuple[int, int]) -> None:
    """Close FILES."""
    for fd in files:
        if fd >= 0:
            posix.close(fd)


def _state(saved: SavedState, status: str, pid: int) -> bytes:
    """Return the state as hooks get it."""
    return dumps({**for_hooks(saved), "status": status, **({"pid": pid} if pid else {})}).encode()
