"""exec into a pid namespace whose processes may trace ours (CAP_SYS_PTRACE): what a process of ours has there is theirs to open.

So it is born there when nothing of the host's is left to it: after all other namespaces
have been entered, by a process that is still outside, and with no descriptor
but the container's root, what it joins the container's own cgroups by, and what the caller gives to it.  Its
own directory of the host's procfs, which it needs for labels and for the program's name, comes from the
host's side then, as a mount of that directory alone.
"""

from __future__ import annotations

from pyrunc.linux import process as p
from pyrunc.plan import namespaces
from pyrunc.plan.op import CHILD, OWN_PROC, PROC, ROOT, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.plan.request import Request

SELF = "self/"
NONE = -1  # in the place of procfs, for who asks what only a user namespace has


def host(birthplace: Slot | None) -> Iterator[Op]:
    """Yield the host's ops that take the place of namespaces.host_exec."""
    yield namespaces.fork(0, birthplace)
    yield from barrier("own-proc", Op("open_childs_proc", (CHILD,), into=OWN_PROC), Op("give", (OWN_PROC,)))


def child(joins: tuple[str, ...], request: Request, into_cgroup: list[Op]) -> Iterator[Op]:
    """Yield the ops that take the place of INTO_CGROUP and namespaces.child_exec."""
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    yield from namespaces.join_init(tuple(kind for kind in joins if kind != "pid"))
    yield from namespaces.container_root(joins)
    yield from namespaces.join_init(("pid",))  # for the next to be forked
    doors = (arg for op in into_cgroup for arg in op.args)
    yield Op("close_others", (3 + request.listen_fds + request.preserve_fds, ROOT, *doors))
    yield Op("respawn", (0,))
    yield Op("prctl", (p.PR_SET_DUMPABLE, 0))
    yield Op("barrier", ("own-proc",))
    yield from into_cgroup
    yield Op("setsid")


def by_own_proc(ops: Iterable[Op]) -> Iterator[Op]:
    """Yield OPS with the process's own directory in the place of `self` in the host's procfs."""
    for op in ops:
        if op.call == "write_at" and _is_proc(op.args[0]):
            _, path, *rest = op.args
            yield op.replace(args=(OWN_PROC, str(path).removeprefix(SELF), *rest))
        elif any(map(_is_proc, op.args)):
            yield op.replace(args=tuple(NONE if _is_proc(arg) else arg for arg in op.args))
        else:
            yield op


def _is_proc(arg: object) -> bool:
    """Return whether ARG is the slot, and not just a word like it."""
    return isinstance(arg, Slot) and arg == PROC
