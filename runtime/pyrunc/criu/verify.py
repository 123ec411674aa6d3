"""Hold a restored container against its configuration, while its processes still stand still.

CRIU does what an image says: which mount is where and whether it can be written, who
a process is, what it may do.  Whoever can change an image could so get out of the
container that the configuration describes; what is checked here is what holds
him in: namespaces, capabilities, no_new_privs, the filter, and the host's files.
"""

from __future__ import annotations

import posix

from pyrunc.errors import PyruncError
from pyrunc.host.files import read
from pyrunc.host.mounted import rows
from pyrunc.linux import caps
from pyrunc.linux import mount as m
from pyrunc.plan.namespaces import FILES, is_new, mapping_lines
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.host.mounted import Row
    from pyrunc.oci.config import Config
    from pyrunc.oci.linux import Linux

KINDS = ("mount", "pid", "network", "ipc", "uts", "user", "cgroup")  # CRIU adds a time namespace of its own
# File systems of which the kernel has one for each namespace, not for each mount -> that namespace.
SHARED_BY_NAMESPACE = {"proc": "pid", "sysfs": "network", "mqueue": "ipc", "cgroup": "", "cgroup2": ""}
FILTERED = "2"  # Seccomp of /proc/PID/status: SECCOMP_MODE_FILTER
# What is taken from whoever sees files through a mount, by its word in mountinfo.
ATTRIBUTES = {
    "ro": m.MOUNT_ATTR_RDONLY,
    "nosuid": m.MOUNT_ATTR_NOSUID,
    "nodev": m.MOUNT_ATTR_NODEV,
    "noexec": m.MOUNT_ATTR_NOEXEC,
}
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
HINT = "the image is damaged, has been changed, or belongs to another configuration"


class Shown(Record):
    """Files of the host that the container may see: ROOT of the file system on DEVICE, by a mount with ATTRIBUTES."""

    device: str
    root: str
    attributes: int

    def covers(self, row: Row) -> bool:
        """Return whether ROW shows these files, or some of them."""
        inside = row.root == self.root or row.root.startswith(f"{self.root.rstrip('/')}/")
        return row.device == self.device and inside


def check(
    config: Config, init: int, pids: Iterable[int], shown: tuple[Shown, ...], host: set[str]
) -> Iterator[tuple[int, list[tuple[Row, int]]]]:
    """Raise PyruncError unless INIT and all PIDS are as CONFIG has them.

    SHOWN is all that they may see of the host's file systems, which are on devices HOST.
    Yields a process of each mount namespace, with its mounts that lack attributes, and which.
    """
    if is_new(config.linux, "user"):
        _mappings(config.linux, init)
    seen: set[str] = set()
    for pid in dict.fromkeys((init, *pids)):
        _namespaces(config.linux, pid, init)
        _rights(config, pid, init)
        space = posix.readlink(f"/proc/{pid}/ns/mnt")
        if space not in seen:
            seen.add(space)
            yield pid, mounts(config, rows(pid), shown, host)


def _wrong(what: str, pointer: str) -> PyruncError:
    """Return the error for an image that disagrees with the configuration at POINTER about WHAT."""
    return PyruncError(f"the checkpoint image contradicts the configuration: {what}", pointer=pointer, hint=HINT)


def _space(pid: int | str, kind: str) -> str:
    """Return the name of the namespace of KIND that process PID is in."""
    return posix.readlink(f"/proc/{pid}/ns/{FILES.get(kind, kind)}")


def _namespaces(linux: Linux, pid: int, init: int) -> None:
    """Check that process PID is in no namespace of the host's that CONFIG does not leave it, and INIT in those it joins."""
    for kind in KINDS:
        index = next((i for i, n in enumerate(linux.namespaces) if n.type == kind), -1)
        own, at = _space("self", kind), f"/linux/namespaces/{index}"
        if index < 0:
            if pid == init and kind not in ("user", "cgroup") and _space(pid, kind) != own:
                raise _wrong(f"it has a {kind} namespace", "/linux/namespaces")
            continue
        path = linux.namespaces[index].path
        if not path:
            if _space(pid, kind) == own:
                raise _wrong(f"process {pid} is in the host's {kind} namespace", at)
        elif pid == init:
            joined, found = posix.stat(path), posix.stat(f"/proc/{pid}/ns/{FILES.get(kind, kind)}")
            if (joined.st_dev, joined.st_ino) != (found.st_dev, found.st_ino):
                raise _wrong(f"it is not in the {kind} namespace of {path}", f"{at}/path")


def _mappings(linux: Linux, init: int) -> None:
    """Check which ids of the host's the container's are."""
    for name, wanted in (("uid_map", linux.uidMappings), ("gid_map", linux.gidMappings)):
        found = sorted(line.split() for line in read(f"/proc/{init}/{name}").splitlines())
        if found != sorted(line.split() for line in mapping_lines(wanted).splitlines()):
            raise _wrong(f"its {name} is {found}", f"/linux/{name[:3]}Mappings")


def _rights(config: Config, pid: int, init: int) -> None:
    """Check that process PID can do no more than the configured one."""
    fields = dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
    user, at = config.process, "/process"
    if user is None:
        return
    if config.linux.seccomp is not None and fields.get("Seccomp") != FILTERED:
        raise _wrong(f"process {pid} has no seccomp filter", "/linux/seccomp")
    if user.noNewPrivileges and fields.get("NoNewPrivs") != "1":
        raise _wrong(f"process {pid} may get new privileges", f"{at}/noNewPrivileges")
    if _space(pid, "user") != _space(init, "user"):
        return  # in a user namespace of its own making it has every capability, over what is in there
    sets = user.capabilities
    names = {*sets.bounding, *sets.effective, *sets.permitted, *sets.inheritable, *sets.ambient} if sets else set()
    allowed = sum(1 << caps.NUMBER[name] for name in names if name in caps.NUMBER)
    for name in SETS:
        more = int(fields.get(name, "0"), 16) & ~allowed
        if more:
            raise _wrong(f"process {pid} has more capabilities ({name} {more:x})", f"{at}/capabilities")


def mounts(config: Config, found: list[Row], shown: tuple[Shown, ...], host: set[str]) -> list[tuple[Row, int]]:
    """Check that the mounts FOUND in a container show no files of the host's but those SHOWN.

    Returns those that lack attributes which every mount in SHOWN of the same files has, with what they lack.
    """
    lacking = []
    for row in found:
        if row.device not in host:
            continue
        covering = [each for each in shown if each.covers(row)]
        kind = SHARED_BY_NAMESPACE.get(row.type)
        if not covering and kind is not None and not (kind and is_new(config.linux, kind)):
            continue
        if not covering:
            raise _wrong(f"{row.point} shows {row.root} of the host's {row.type}", "/mounts")
        wanted = sum(bit for bit in ATTRIBUTES.values() if all(each.attributes & bit for each in covering))
        wanted &= ~sum(bit for word, bit in ATTRIBUTES.items() if word in row.options)
        if wanted:
            lacking.append((row, wanted))
    return lacking
