"""What of a container is not the container's own: mounts of host files, and namespaces that it joins.

CRIU takes an external thing down as no more than a key, and brings it back as
what the caller names for that key.  Keys are made from the configuration alone,
and only things that the configuration names get one: an image can ask for
nothing else (CVE-2026-119101, -115520, -119614).  `criu/verify.py` sees to it that
it gets them in no other way.
"""

from __future__ import annotations

from _blake2 import blake2b

from pyrunc.errors import UnsupportedError
from pyrunc.host.mounted import below
from pyrunc.linux import mount as m
from pyrunc.oci import crun
from pyrunc.plan import cgroupfs, mountopts
from pyrunc.plan.devices import DEFAULT
from pyrunc.plan.namespaces import has, is_new
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.paths import Place
    from pyrunc.host.facts import HostFacts
    from pyrunc.host.mounted import Row
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount

SHARING = ("shared", "rshared")
KEY_BYTES = 12
NETWORK, PID = "pyrunc-network", "pyrunc-pid"  # keys of namespaces
NULL = "/dev/null"  # what is over a masked file


class External(Record):
    """A mount at `destination` (a path of the configuration) whose files are at `source` on the host.

    `deep` says that what is mounted below the source comes along, `attributes`
    are those that the mount must have; `at` is the JSON pointer.
    """

    destination: str
    source: str
    deep: bool = False
    attributes: int = 0
    at: str = ""

    @property
    def key(self) -> str:
        """Return the key."""
        return key(self.destination)


NULL_MASK = External("mask", NULL, attributes=m.MOUNT_ATTR_RDONLY, at="/linux/maskedPaths")  # no destination is called so


def key(destination: str) -> str:
    """Return the key of what is mounted at DESTINATION, which says nothing to who reads it."""
    return f"pyrunc-{blake2b(destination.encode(), digest_size=KEY_BYTES).hexdigest()}"


def refuse(config: Config) -> None:
    """Raise UnsupportedError for what would not come back as the configuration has it."""
    linux = config.linux
    if not is_new(linux, "mount"):
        hint = 'add {"type": "mount"} to /linux/namespaces'
        raise UnsupportedError("no mount namespace of the container's own", pointer="/linux/namespaces", hint=hint)
    lost = (
        ("/linux/netDevices", bool(linux.netDevices), "network devices"),
        ("/linux/memoryPolicy", linux.memoryPolicy is not None, "a memory policy"),
        ("/linux/seccomp/listenerPath", bool(linux.seccomp and linux.seccomp.listenerPath), "a seccomp agent"),
        (crun.pointer(crun.SUBGROUP), bool(config.annotations.get(crun.SUBGROUP)), "a cgroup below the container's"),
        (crun.pointer(crun.DELEGATE), bool(config.annotations.get(crun.DELEGATE)), "a cgroup below the container's"),
        ("/linux/rootfsPropagation", linux.rootfsPropagation in SHARING, "mounts that are shared with the host"),
        *((f"/mounts/{i}", mountopts.idmapped(mount), "an idmapped mount") for i, mount in enumerate(config.mounts)),
        *((f"/mounts/{i}", _about_links(mount), "a mount of, or on, a link") for i, mount in enumerate(config.mounts)),
        *((f"/mounts/{i}", _shared(mount), "a mount that is shared with the host") for i, mount in enumerate(config.mounts)),
    )
    for pointer, there, what in lost:
        if there:
            raise UnsupportedError(f"CRIU cannot bring {what} back", pointer=pointer, hint="remove it from the configuration")


def _about_links(mount: Mount) -> bool:
    """Return whether MOUNT has an option about links, which may have made no mount at all."""
    return bool(mountopts.of(mount).ours.intersection(mountopts.ABOUT_LINKS))


def _shared(mount: Mount) -> bool:
    """Return whether what is mounted below MOUNT is to show up on the host.

    CRIU works where that cannot be (criu/restoremounts.py).
    """
    options = mountopts.of(mount)
    return options.bind and any(flag == m.MS_SHARED for flag, _ in options.propagation[-1:])


def mounts(config: Config, facts: HostFacts, bundle: str, places: tuple[Place, ...]) -> Iterator[External]:
    """Yield the mounts of CONFIG, found in BUNDLE, that show files of the host; PLACES are the container's cgroups."""
    for index, mount in enumerate(config.mounts):
        options, at = mountopts.of(mount), f"/mounts/{index}"
        destination = mount.destination
        if "remount" in options.ours:
            continue
        if options.bind:
            source = mount.source if mount.source.startswith("/") else f"{bundle}/{mount.source}"
            yield External(destination, source, deep=options.rbind, attributes=options.attributes, at=at)
            if options.rbind:
                yield from _below(destination, source, options.rec_set, at)
        elif cgroupfs.wanted(mount, facts) and not has(config.linux, "cgroup"):
            yield from _cgroups(mount, destination, facts, places, options.attributes, at)
    if has(config.linux, "user"):  # then devices are bound (plan/devices.py)
        for path in dict.fromkeys((*(path for path, _, _ in DEFAULT), *(device.path for device in config.linux.devices))):
            yield External(path, path, at="/linux/devices")


def _below(destination: str, source: str, attributes: int, at: str) -> Iterator[External]:
    """Yield what is mounted below SOURCE, each at its place below DESTINATION."""
    for path in below(source):
        yield External(destination.rstrip("/") + path, source.rstrip("/") + path, attributes=attributes, at=at)


def _cgroups(
    mount: Mount, destination: str, facts: HostFacts, places: tuple[Place, ...], attributes: int, at: str
) -> Iterator[External]:
    """Yield the container's view of its own cgroups (plan/cgroupfs.py)."""
    if facts.cgroups.unified:
        yield External(destination, places[-1].directory, attributes=attributes, at=at)
        return
    for place in places:
        if not place.is_v2:
            name = place.mount.rpartition("/")[2]
            yield External(f"{destination}/{name}", place.directory, attributes=attributes, at=at)


def points(found: dict[str, str], rows: list[Row], deep: set[str]) -> dict[str, str]:
    """Return the key of each mount point to be left out of an image.

    FOUND says for each destination where it leads to in the container, ROWS are
    the container's mounts, DEEP the destinations that came with what was mounted below.
    """
    there = {row.point for row in rows}
    chosen = {point: key(destination) for destination, point in found.items() if point in there}
    for destination in deep:
        top = found.get(destination, "")
        for point in there:
            if top and point.startswith(f"{top.rstrip('/')}/"):
                chosen.setdefault(point, key(destination.rstrip("/") + point[len(top.rstrip("/")) :]))
    return chosen
