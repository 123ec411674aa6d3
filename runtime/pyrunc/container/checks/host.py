"""What this host lacks for a plan, as far as that can be seen without doing anything."""

from __future__ import annotations

import posix

from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read
from pyrunc.plan.namespaces import FILES
from pyrunc.run import refusedoptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.knobs import Write
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan



def errors(config: Config, plan: Plan, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for everything that PLAN, which is that of CONFIG, needs and this host has not."""
    for index, namespace in enumerate(config.linux.namespaces):
        if not posix.access(f"/proc/self/ns/{FILES.get(namespace.type, namespace.type)}", posix.F_OK):
            text, at = f"this kernel has no {namespace.type} namespaces", f"/linux/namespaces/{index}/type"
            yield UnsupportedError(text, pointer=at, hint="remove it")
    for op in plan.host:
        if op.call == "limit_cgroup":
            yield from _controllers(op, facts)
    for op in plan.child:
        if op.call == "fsopen" and op.at:
            yield from _filesystem(op)


def _controllers(op: Op, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for each limit whose controller is not there."""
    available = set(facts.cgroups.v1)
    if facts.cgroups.unified and facts.cgroups.v2 is not None:
        available = set(read(f"{facts.cgroups.v2.mount}/cgroup.controllers").split()) | {"", "devices"}
    changes: tuple[Write, ...] = op.args[1]  # type: ignore[assignment]
    for change in changes:
        if change.controller not in available:
            text = f"cgroup controller {change.controller} is not available on this host"
            yield UnsupportedError(text, pointer=change.pointer, hint="remove the setting, or mount the controller")


def _filesystem(op: Op) -> Iterator[UnsupportedError]:
    """Yield an error if the kernel knows no file system of the type that OP opens, and has no module of that name."""
    fstype = str(op.args[0])
    known = {line.split()[-1] for line in read("/proc/filesystems").splitlines()}
    if fstype not in known and not _module(fstype):
        text = f"this kernel does not know the file system {fstype}"
        yield UnsupportedError(text, pointer=op.at, hint=refusedoptions.of_type(fstype))


def _module(name: str) -> bool:
    """Return whether a module called NAME could be loaded."""
    try:
        return f"/{name}.ko" in read(f"/lib/modules/{posix.uname().release}/modules.dep")
    except OSError:
        return False
