"""/linux/maskedPaths and readonlyPaths: what of its own files a container sees, and may change."""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.oci.entries import names_root
from pyrunc.plan.op import ROOT, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

NULL, EMPTY = Slot("null"), Slot("empty")


def prepare(config: Config) -> Iterator[Op]:
    """Yield the ops that make what masks are made of, while the host's files are in sight."""
    if config.linux.maskedPaths:
        at = "/linux/maskedPaths"
        # The host's /dev/null, and checked: the image's could be anything (CVE-2025-31133).
        yield Op("open_null", (), at, NULL)
        context = Slot("empty-fs")
        yield Op("fsopen", ("tmpfs", m.FSOPEN_CLOEXEC), at, context)
        yield Op("fsconfig", (context, m.FSCONFIG_SET_FLAG, "ro", None, 0), at)
        yield Op("fsconfig", (context, m.FSCONFIG_SET_STRING, "nr_inodes", "1", 0), at)
        yield Op("fsconfig", (context, m.FSCONFIG_CMD_CREATE, None, None, 0), at)
        attributes = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC
        yield Op("fsmount", (context, m.FSMOUNT_CLOEXEC, attributes), at, EMPTY)


def protects_root(config: Config) -> str:
    """Return the pointer of the entry that names the root itself to be read-only, "" if none does.

    A root is not covered, but made read-only once it is complete (`rootfs.finish`).
    """
    found = (index for index, path in enumerate(config.linux.readonlyPaths) if names_root(path))
    return next((f"/linux/readonlyPaths/{index}" for index in found), "")


def child(config: Config) -> Iterator[Op]:
    """Yield the ops that make paths read-only, then those that hide them."""
    for index, path in enumerate(config.linux.readonlyPaths):
        if names_root(path):
            continue
        yield Op("make_readonly", (ROOT, path), f"/linux/readonlyPaths/{index}")
    for index, path in enumerate(config.linux.maskedPaths):
        yield Op("mask", (ROOT, path, NULL, EMPTY), f"/linux/maskedPaths/{index}")
