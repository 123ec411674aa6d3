"""What to do about an option that a file system has refused: its log says which, and there may be a word like it.

Loaded only when something went wrong, and by `check`.
"""

from __future__ import annotations

import errno as codes

from pyrunc.host.files import read
from pyrunc.plan import mountopts
from pyrunc.words import nearest, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Op, Plan

# What file systems call their own options (tmpfs(5), proc(5), filesystems/overlayfs.rst and devpts.rst of the kernel).
OWN = {
    "tmpfs": "size nr_blocks nr_inodes mode uid gid huge mpol inode32 inode64 noswap usrquota grpquota",
    "devpts": "uid gid mode newinstance ptmxmode max",
    "proc": "hidepid gid subset",
    "overlay": "lowerdir upperdir workdir redirect_dir index uuid nfs_export xino metacopy volatile userxattr "
    "default_permissions",
}
CORRECT = "correct the option, or remove it"
UNKNOWN = "nknown parameter"
OVERLAY = "see the kernel's filesystems/overlayfs.rst, and the kernel's log"


def hint(plan: Plan, op: Op, errno: int, said: str) -> str:
    """Return what to do about ERRNO of OP of PLAN, on a context for a new mount, which has SAID why; "" for what is not known."""
    fstype = next((str(each.args[0]) for each in (*plan.host, *plan.child) if each.into == op.args[0]), "")
    key = str(op.args[2] or "") if op.call == "fsconfig" else ""
    if not key:
        return OVERLAY if (fstype, errno) == ("overlay", codes.EINVAL) else ""
    if errno != codes.EINVAL:
        return ""
    return unknown(key, fstype) if UNKNOWN in said or not said else f"correct the value of {key}, or remove it"


def unknown(key: str, fstype: str) -> str:
    """Return what to do about option KEY, which a file system of FSTYPE does not know."""
    words = (word for table in mountopts.TABLES for word in table)
    return suggestion(key, (*words, *OWN.get(fstype, "").split()), CORRECT)


def of_type(fstype: str) -> str:
    """Return what to do about a file system FSTYPE that this kernel does not know."""
    if fstype in ("none", "rbind", "bind", ""):
        return "is the option bind missing?"
    near = nearest(fstype, (line.split()[-1] for line in read("/proc/filesystems").splitlines()))
    return f"did you mean {near}?" if near else "load its module, or remove the mount"
