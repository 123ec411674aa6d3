"""/hooks: the four kinds that run while a container is made and started (config.md, "POSIX-platform Hooks").

prestart and createRuntime run in the runtime's namespaces, createContainer and
startContainer in the container's; poststart and poststop belong to `start` and
`delete`.
"""

from __future__ import annotations

from pyrunc.plan.op import Op, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.hooks import Hook, Hooks


def needed(hooks: Hooks) -> bool:
    """Return whether the two sides must meet for hooks at all."""
    return bool(hooks.prestart or hooks.createRuntime or hooks.createContainer or hooks.startContainer)


def host(hooks: Hooks) -> list[Op]:
    """Return the host's side: prestart, then createRuntime, once the namespaces are there."""
    if not needed(hooks):
        return []
    return barrier("hooks", *runtime(hooks))


def runtime(hooks: Hooks) -> list[Op]:
    """Return the ops that run, in the runtime's namespaces, prestart and then createRuntime hooks."""
    return [*_run("prestart", hooks.prestart, "creating"), *_run("createRuntime", hooks.createRuntime, "creating")]


def create_container(hooks: Hooks) -> Iterator[Op]:
    """Yield the child's side: wait for the host's hooks, then run createContainer, before pivot_root(2)."""
    if needed(hooks):
        yield Op("barrier", ("hooks",))
        yield from _run("createContainer", hooks.createContainer, "creating")


def start_container(hooks: Hooks) -> Iterator[Op]:
    """Yield what the child runs at `start`, before the user's program."""
    yield from _run("startContainer", hooks.startContainer, "created")


def _run(kind: str, hooks: tuple[Hook, ...], status: str) -> Iterator[Op]:
    """Yield one op for each of HOOKS."""
    for index, hook in enumerate(hooks):
        yield Op("run_hook", (hook, kind, index, status), f"/hooks/{kind}/{index}")
