"""process.selinuxLabel, process.apparmorProfile and linux.mountLabel: what a security module is told.

A label or profile for the program is written before ids change and takes
effect at the execve; a context for mounts goes with the options of every new
file system that takes one.
"""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.oci.crun import CONTEXTS
from pyrunc.plan.op import PROC, Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.process import Process

AT = "/linux/mountLabel"
# What the kernel labels by itself, each file on its own, or each task's.
WITHOUT_CONTEXT = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2")


def child(process: Process, facts: HostFacts, at: str) -> Iterator[Op]:
    """Yield the ops that choose label and profile for the coming execve (selinux(8), apparmor(7))."""
    if process.apparmorProfile:
        where = f"{at}/apparmorProfile"
        if not facts.apparmor:
            raise _missing("apparmorProfile is set, but AppArmor", where, "AppArmor")
        args = (PROC, "self/attr/apparmor/exec", f"exec {process.apparmorProfile}")
        yield Op("write_at", args, where, doing="error applying the AppArmor profile")
    if process.selinuxLabel:
        where = f"{at}/selinuxLabel"
        if not facts.selinux:
            raise _missing("selinuxLabel is set, but SELinux", where, "SELinux")
        yield Op("write_at", (PROC, "self/attr/exec", process.selinuxLabel), where, doing="error applying the SELinux label")


def mounts(label: str, facts: HostFacts, ops: Iterable[Op], kind: str = "context") -> Iterator[Op]:
    """Yield OPS, with LABEL as context of each file system that they make, unless its mount has one of its own.

    KIND is the option that gives it, one of CONTEXTS (mount(8)).
    """
    if not label:
        yield from ops
        return
    if not facts.selinux:
        raise _missing("mountLabel is set, but SELinux", AT, "SELinux")
    done = False
    for op in ops:
        if op.call == "fsopen":
            done = op.args[0] in WITHOUT_CONTEXT
        elif op.call == "fsconfig":
            done = done or op.args[2] in CONTEXTS
            if op.args[1] == m.FSCONFIG_CMD_CREATE and not done:
                yield Op("fsconfig", (op.args[0], m.FSCONFIG_SET_STRING, kind, label, 0), AT, doing=op.doing)
        elif op.call == "mount_on":
            op = op.replace(args=_classic(op, label, kind))
        yield op


def _classic(op: Op, label: str, kind: str) -> tuple[object, ...]:
    """Return the arguments of a mount(2) with LABEL as its KIND, quoted, as it may have commas."""
    *before, fstype, flags, data, last = op.args
    words = str(data).split(",")
    if fstype not in WITHOUT_CONTEXT and not any(word.partition("=")[0] in CONTEXTS for word in words):
        data = ",".join(word for word in (str(data), f'{kind}="{label}"') if word)
    return (*before, fstype, flags, data, last)


def _missing(text: str, at: str, name: str) -> UnsupportedError:
    """Return the error for a label of a security module that is not there."""
    return UnsupportedError(f"{text} is not enabled on this host", pointer=at, hint=f"remove it, or boot with {name}")
