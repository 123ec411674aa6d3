"""Images of checkpoints that have been forged (CVE-2026-119101, -115520, -119614): what they may not name, and not change.

Here our own guard alone; integration/test_checkpoint.py forges an image of CRIU's and brings it back, where CRIU works.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from integration.security.naive import caught
from pyrunc.criu import externals, verify
from pyrunc.errors import PyruncError
from pyrunc.host import mounted
from pyrunc.linux.mount import MOUNT_ATTR_NOEXEC, MOUNT_ATTR_RDONLY
from pyrunc.oci import parsing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.pyrunc_only("it is our own guard that is called")
PLACES = ("/etc", "/data", "/proc/kcore", "/a b", "/data/../etc")


def opaque(key: Callable[[str], str]) -> None:
    """Check that KEY makes of each place what says nothing of it, and what no other place is called."""
    keys = {place: key(place) for place in PLACES}
    assert len(set(keys.values())) == len(PLACES)
    assert all(re.fullmatch(r"pyrunc-[0-9a-f]{24}", text) for text in keys.values())


def test_keys_of_external_mounts():
    """An image that asks for `/etc`, or for any path, asks for nothing that there is."""
    opaque(externals.key)
    assert not {externals.key(place) for place in PLACES} & set(PLACES)


def test_keys_of_external_mounts_bite():
    """The path itself as the key is what CRIU's callers do."""
    with caught():
        opaque(lambda place: place)


def row(point: str, root: str, options: str = "rw") -> mounted.Row:
    """Return a mount of the host's file system 8:1 that shows ROOT of it at POINT."""
    return mounted.parse(f"1 0 8:1 {root} {point} {options},relatime - ext4 /dev/x rw")[0]


HOST = {"8:1"}
SHOWN = (verify.Shown("8:1", "/bundle/rootfs", 0), verify.Shown("8:1", "/volume", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC))
FORGED = {
    "a directory of the host's": row("/mnt", "/etc"),
    "the host's root": row("/mnt", "/"),
    "beside the volume": row("/mnt", "/volume2"),
    "above the volume": row("/mnt", "/bundle"),
}


def turned_away(mounts: Callable[[list[mounted.Row]], list], forged: mounted.Row) -> None:
    """Check that MOUNTS, which looks at a restored container, does not let FORGED pass."""
    with pytest.raises(PyruncError, match="of the host's"):
        mounts([row("/", "/bundle/rootfs"), forged])


def guarded(rows: list[mounted.Row]) -> list:
    """Hold ROWS against a configuration that shows its rootfs and one volume."""
    text = b'{"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}'
    return verify.mounts(parsing.parse(text), rows, SHOWN, HOST)


@pytest.mark.parametrize("how", FORGED)
def test_mounts_that_nobody_has_asked_for(how):
    turned_away(guarded, FORGED[how])


def test_mounts_that_nobody_has_asked_for_bite():
    with pytest.raises(pytest.fail.Exception):
        turned_away(lambda _: [], FORGED["the host's root"])


def protected(missing: list) -> None:
    """Check that of the volume, which an image shows writable, what it should have is known to be MISSING, and so will be set."""
    assert [(each.point, bits) for each, bits in missing] == [("/volume", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC)]


def test_a_read_only_mount_comes_back_as_one():
    protected(guarded([row("/", "/bundle/rootfs"), row("/volume", "/volume")]))


def test_a_read_only_mount_comes_back_as_one_bites():
    with caught():
        protected([])
