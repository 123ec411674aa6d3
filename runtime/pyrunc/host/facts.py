"""HostFacts: what this kernel has and where things are, so that no op has to try."""

from __future__ import annotations

import posix

from pyrunc.host import cgroups
from pyrunc.host.cgroups import Cgroups
from pyrunc.host.files import read
from pyrunc.linux.process import capget
from pyrunc.record import Record

INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO of the kernel's include/linux/proc_ns.h


class HostFacts(Record):
    """The facts that plans depend on.

    `capabilities` is the mask of those that this process has to give; `uid` and `gid` are its effective ids, and
    `nested` says that these, and the capabilities, hold in a user namespace only.
    """

    kernel: tuple[int, int]
    last_cap: int
    apparmor: bool
    cgroups: Cgroups
    capabilities: int = (1 << 64) - 1
    resctrl: str = ""  # where it is mounted
    selinux: bool = False
    uid: int = 0
    gid: int = 0
    nested: bool = False
    manager: str = ""  # the path of the cgroup of the user's own systemd, where that is asked

    @property
    def rootless(self) -> bool:
        """Return whether this process is not the machine's root: then what cgroups it may not write need not stop it."""
        return self.nested or self.uid != 0

    @property
    def user(self) -> bool:
        """Return whether this process is an ordinary user, who has privileges only over user namespaces of its own."""
        return self.uid != 0

    @property
    def has_nosymfollow(self) -> bool:
        """Return whether mount_setattr(2) has MOUNT_ATTR_NOSYMFOLLOW."""
        return self.kernel >= (5, 14)

    @property
    def idmaps_tmpfs(self) -> bool:
        """Return whether a tmpfs can be idmapped."""
        return self.kernel >= (6, 3)


def for_plan(known: HostFacts, *, user_namespace: bool) -> HostFacts:
    """Return KNOWN as a plan that is only looked at needs them: as root's, where an ordinary user could not make the container.

    That is so for a container without a USER_NAMESPACE.
    """
    if not known.user or user_namespace:
        return known
    return known.replace(uid=0, gid=0, nested=False, cgroups=cgroups.all_writable(known.cgroups))


def kernel_version(release: str) -> tuple[int, int]:
    """Return major and minor of a kernel RELEASE such as "6.1.0-56-amd64"."""
    major, minor = release.split(".")[:2]
    digits = minor[: next((i for i, letter in enumerate(minor) if not letter.isdigit()), len(minor))]
    return int(major), int(digits)


def _apparmor() -> bool:
    """Return whether AppArmor confines processes here."""
    try:
        return read("/sys/module/apparmor/parameters/enabled")[:1] == "Y"
    except OSError:
        return False  # the kernel has no such module


def nested() -> bool:
    """Return whether this process is in a user namespace other than the machine's first (namespaces(7))."""
    return posix.stat("/proc/self/ns/user").st_ino != INITIAL_USER_NAMESPACE


def _mounted(mountinfo: str, fstype: str) -> str:
    """Return where the first file system of FSTYPE is mounted whole, by MOUNTINFO; "" if nowhere."""
    for line in mountinfo.splitlines():
        if f" - {fstype} " in line:
            root, mount = line.split(" ", 5)[3:5]
            if root == "/":
                return mount
    return ""


def probe() -> HostFacts:
    """Look once."""
    mountinfo = read("/proc/self/mountinfo")
    return HostFacts(
        kernel=kernel_version(posix.uname().release),
        last_cap=int(read("/proc/sys/kernel/cap_last_cap")),
        apparmor=_apparmor(),
        cgroups=cgroups.marked(cgroups.parse(mountinfo, read("/proc/self/cgroup"))),
        capabilities=capget(),
        resctrl=_mounted(mountinfo, "resctrl"),
        selinux=bool(_mounted(mountinfo, "selinuxfs")),
        uid=posix.geteuid(),
        gid=posix.getegid(),
        nested=nested(),
    )
