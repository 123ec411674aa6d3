"""HostFacts: what this kernel has and where things are, so that no op has to try."""

from __future__ import annotations

import posix

from pyrunc.host import cgroups
from pyrunc.host.cgroups import Cgroups
from pyrunc.host.files import read
from pyrunc.linux.process import capget
from pyrunc.record import Record


class HostFacts(Record):
    """The facts that plans depend on; `capabilities` is the mask of those that this process has to give."""

    kernel: tuple[int, int]
    last_cap: int
    apparmor: bool
    cgroups: Cgroups
    capabilities: int = (1 << 64) - 1
    resctrl: str = ""  # where it is mounted
    selinux: bool = False

    @property
    def has_nosymfollow(self) -> bool:
        """Return whether mount_setattr(2) has MOUNT_ATTR_NOSYMFOLLOW."""
        return self.kernel >= (5, 14)

    @property
    def idmaps_tmpfs(self) -> bool:
        """Return whether a tmpfs can be idmapped."""
        return self.kernel >= (6, 3)


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
        cgroups=cgroups.parse(mountinfo, read("/proc/self/cgroup")),
        capabilities=capget(),
        resctrl=_mounted(mountinfo, "resctrl"),
        selinux=bool(_mounted(mountinfo, "selinuxfs")),
    )
