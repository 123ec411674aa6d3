"""/hooks: the four kinds that run while a container is made and started (config.md, "POSIX-platform Hooks").

prestart and createRuntime run in the runtime's namespaces, createContainer and
startContainer in the container's; poststart and poststop belong to `start` and
`delete`.

The specification leaves a hook's directory and its environment, where it names
none, to the runtime.  As runc and crun have it, hooks in the runtime's
namespaces begin in the bundle with the runtime's own environment.  The others
get that of the container's process; createContainer hooks begin in the
container's root, startContainer hooks where the process does.
"""

from __future__ import annotations

from pyrunc.oci import crun
from pyrunc.plan import process
from pyrunc.plan.op import ROOT, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.oci.hooks import Hook, Hooks
    from pyrunc.plan.op import Argument


# Annotation -> slot of the file that it names.
STREAMS = {crun.HOOKS_STDOUT: Slot("hook-stdout"), crun.HOOKS_STDERR: Slot("hook-stderr")}


def needed(hooks: Hooks) -> bool:
    """Return whether the two sides must meet for hooks at all."""
    return bool(hooks.prestart or hooks.createRuntime or hooks.createContainer or hooks.startContainer)


def outputs(config: Config) -> list[Op]:
    """Return the host's ops that open the files which annotations give to hooks' output, before the fork.

    A startContainer hook is a program of the image, and gets nothing of the host's.
    """
    hooks = config.hooks
    if not (hooks.prestart or hooks.createRuntime or hooks.createContainer):
        return []
    return [
        Op("open_hook_output", (config.annotations[name],), crun.pointer(name), slot)
        for name, slot in STREAMS.items()
        if name in config.annotations
    ]


def host(hooks: Hooks, bundle: str) -> list[Op]:
    """Return the host's side: prestart, then createRuntime, once the namespaces are there."""
    if not needed(hooks):
        return []
    return barrier("hooks", *runtime(hooks, bundle))


def runtime(hooks: Hooks, bundle: str) -> list[Op]:
    """Return the ops that run, in the runtime's namespaces and from BUNDLE, prestart and then createRuntime hooks."""
    around = (bundle, None, -1, None)
    kinds = {"prestart": hooks.prestart, "createRuntime": hooks.createRuntime}
    return [op for kind, each in kinds.items() for op in _run(kind, each, "creating", around)]


def create_container(config: Config) -> Iterator[Op]:
    """Yield the child's side: wait for the host's hooks, then run createContainer, before pivot_root(2)."""
    if needed(config.hooks):
        yield Op("barrier", ("hooks",))
        env: tuple[Argument, ...] = process.environment(config.process) if config.process else ((), -1)
        yield from _run("createContainer", config.hooks.createContainer, "creating", (ROOT, *env, None))


def start_container(config: Config, *, filtered: bool) -> Iterator[Op]:
    """Yield what the child runs at `start`, before the user's program: programs of the image, confined as that is.

    FILTERED says whether the child is under its filter by then.
    """
    user = config.process
    if user is not None:
        around = (user.cwd, *process.environment(user), process.confinement(user, config.linux.seccomp, filtered=filtered))
        yield from _run("startContainer", config.hooks.startContainer, "created", around)


def _run(kind: str, hooks: tuple[Hook, ...], status: str, around: tuple[Argument, ...]) -> Iterator[Op]:
    """Yield one op for each of HOOKS; AROUND is its directory, environment, whose HOME goes with that, and what confines it."""
    for index, hook in enumerate(hooks):
        yield Op("run_hook", (hook, kind, index, status, *around), f"/hooks/{kind}/{index}")
