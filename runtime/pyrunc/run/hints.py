"""Hints for an errno that no one put in words; every other error brings its hint from where it is raised.

Loaded only when something went wrong.
"""

from __future__ import annotations

import errno as codes
import posix

# What to do, by call and errno.
HINTS = {
    ("clone3", codes.EPERM): "needs root, or user namespaces that this host allows; a user namespace cannot be made in a chroot",
    ("clone3", codes.ENOSPC): "raise /proc/sys/user/max_*_namespaces",
    ("clone3", codes.EINVAL): "this kernel lacks one of these namespaces",
    ("setns", codes.EINVAL): "the file is of another type of namespace",
    ("open_namespace", codes.ENOENT): "the process or file behind this path is gone",
    ("open_tree_by_helper", codes.ENOENT): "the source does not exist on the host",
    ("open_tree_by_helper", codes.EINVAL): "a user namespace shows a tree with mounts below it only whole: use rbind",
    ("idmap", codes.EPERM): "the source is idmapped already, or belongs to a user namespace",
    ("make_user_namespace", codes.EINVAL): "the mapping is not allowed: it overlaps, or has too many lines",
    ("make_user_namespace", codes.EPERM): "the mapping is not allowed: it has ids that this process may not map",
    ("make_user_namespace", codes.ENOSPC): "raise /proc/sys/user/max_user_namespaces",
    ("copy_up", codes.ENOSPC): "what the image has there does not fit: raise size or nr_inodes of the tmpfs",
    ("copy_up", codes.EINVAL): "an owner in the image may have no id in the user namespace",
    ("mount_setattr", codes.EINVAL): "with remount, nothing is mounted there",
    ("fspick", codes.EINVAL): "with remount, nothing is mounted there",
    ("mount_setattr", codes.EPERM): "the host's mount forbids it, and a user namespace cannot undo that",
    ("open_tree", codes.ENOENT): "the source does not exist on the host",
    ("fsopen", codes.ENODEV): "this kernel does not know the file system",
    ("fsconfig", codes.EINVAL): "the file system refused an option",
    ("fsmount", codes.EPERM): "in a user namespace, this needs a namespace of its own (pid for proc, network for sysfs)",
    ("pivot_root", codes.EINVAL): "on an initramfs, use --no-pivot",
    ("raise_rlimit", codes.EPERM): "raising a hard limit needs CAP_SYS_RESOURCE",
    ("prlimit", codes.EPERM): "raising a hard limit needs CAP_SYS_RESOURCE",
    ("sched_setaffinity", codes.EINVAL): "none of these processors is in the process's cpuset",
    ("sched_setaffinity", codes.EBUSY): "a deadline needs all processors",
    ("ioprio_set", codes.EPERM): "this needs CAP_SYS_NICE",
    ("sched_setattr", codes.EINVAL): "this kernel does not know that policy or flag, or the numbers are out of its range",
    ("sched_setattr", codes.EOPNOTSUPP): "this kernel has no utilization clamping",
    ("sched_setattr", codes.EPERM): "realtime needs CAP_SYS_NICE, and in cgroup version 1 linux.resources.cpu.realtimeRuntime; "
    "a deadline needs a cpuset of all processors",
    ("sched_setattr", codes.EBUSY): "the processors have not that much time left for deadlines",
    ("move_device", codes.EINVAL): "this device may not leave its namespace",
    ("set_mempolicy", codes.EINVAL): "a node does not exist or is not in the cpuset, or this kernel does not know the mode",
    ("write_proc", codes.EPERM): "the mapping is not allowed: overlaps, ids this process may not map, or too many",
    ("open_directory", codes.ENOENT): "the path does not exist",
    ("write_at", codes.ENOENT): "this kernel has no such setting",
}
# The first Linux that has a call (its manual page, "Standards" or "Versions").
SINCE = {
    "clone3": "5.3",
    "close_range": "5.9",
    "execveat": "3.19",
    "faccessat2": "5.8",
    "fsconfig": "5.2",
    "fsmount": "5.2",
    "fsopen": "5.2",
    "fspick": "5.2",
    "memfd_create": "3.17",
    "mount_setattr": "5.12",
    "move_mount": "5.2",
    "open_tree": "5.2",
    "openat2": "5.6",
    "pidfd_getfd": "5.6",
    "pidfd_open": "5.3",
    "pidfd_send_signal": "5.1",
    "prlimit64": "2.6.36",
    "sched_setattr": "3.14",
    "seccomp": "3.17",
    "setns": "3.0",
}
NEEDED = "5.12"  # the oldest that pyrunc runs on
# Hints that speak of a user namespace, and so are true only where the process is in one.
WITH_USERS = (("fsmount", codes.EPERM), ("mount_setattr", codes.EPERM), ("copy_up", codes.EINVAL))
PRIVILEGED = frozenset("mount umount2 pivot_root fsopen fsmount open_tree move_mount mount_setattr setns unshare".split())
CALLS = {"prlimit": "prlimit64", "raise_rlimit": "prlimit64", "load_filter": "seccomp", "respawn": "clone3"}
# What to do about an errno of whatever call.
DEFAULTS = {
    codes.EACCES: "see who may use the path, and the directories above it",
    codes.EBUSY: "somebody is using it: see who, or name another",
    codes.EEXIST: "remove what is there, or name another",
    codes.EFBIG: "the value is too large: lower it",
    codes.EINVAL: "the kernel does not take this value: correct it",
    codes.EIO: "see the kernel's log",
    codes.EISDIR: "name a file, and not a directory",
    codes.ELOOP: "mend the symbolic links on the path",
    codes.ENAMETOOLONG: "shorten the name",
    codes.ENODEV: "name a device that is there",
    codes.ENOENT: "correct the path, or make what is missing",
    codes.ENOSPC: "make room, or raise the limit that is reached",
    codes.ENOTBLK: "name a block device",
    codes.ENOTDIR: "a part of the path is no directory: correct the path",
    codes.ENXIO: "no device has this number: correct it",
    codes.EOPNOTSUPP: "this kernel, or this file system, has no such thing: remove it",
    codes.EPERM: "this process may not: run it with the privileges, or remove what asks for it",
    codes.ERANGE: "the value is out of range: correct it",
    codes.EROFS: "the file system is read-only: choose another place",
    codes.ESRCH: "the process is gone: see what has ended it",
    codes.ETXTBSY: "somebody is writing to the file: wait until that is done",
}
ANY = "run it with --debug to see more"
EVERYWHERE = {
    codes.EMFILE: "raise ulimit -n of this process",
    codes.ENFILE: "the whole machine has no more: see /proc/sys/fs/file-max",
    codes.ENOMEM: "see the limits of our own cgroup, and ulimit -v",
    codes.EDQUOT: "a quota is used up, of space or of keys (see /proc/key-users)",
}


def hint(call: str, errno: int, user_namespace: bool = False) -> str:
    """Return what to do about CALL's ERRNO, "" if there is none; USER_NAMESPACE says whether the process has one of its own."""
    return known(call, errno, user_namespace) or DEFAULTS.get(errno, ANY if errno else "")


def known(call: str, errno: int, user_namespace: bool = False) -> str:
    """Return the same if it is known of this CALL; "" if only ERRNO could tell."""
    if errno == codes.ENOSYS:
        name = CALLS.get(call, call)
        since = f"Linux has {name} since {SINCE[name]}" if name in SINCE else f"what this needs is in Linux since {NEEDED}"
        return f"{since}, and this is {posix.uname().release}: or who started us forbids it, by seccomp"
    found = "" if (call, errno) in WITH_USERS and not user_namespace else HINTS.get((call, errno), "")
    if not found and errno == codes.EPERM and call in PRIVILEGED:
        return "this process lacks CAP_SYS_ADMIN, or a security module forbids it"
    return found or EVERYWHERE.get(errno, "")
