"""What tmpcopyup does with attributes that the target does not keep."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from struct import pack

import pytest

from pyrunc.run.steps.copyup import _copy_attribute

# acl(5): version 2; user::rw-, user:1000:rw-, group::---, mask::rw-, other::---
ENTRIES = ((0x01, 6, -1), (0x02, 6, 1000), (0x04, 0, -1), (0x10, 6, -1), (0x20, 0, -1))
LIST = pack("<I", 2) + b"".join(pack("<HHi", tag, rights, who) for tag, rights, who in ENTRIES)


@pytest.fixture
def source(tmp_path: Path):
    """Return a descriptor of a file that one more user may read."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o600)
    try:
        os.setxattr(path, "system.posix_acl_access", LIST)
    except OSError as error:
        pytest.skip(f"no such attributes here: {error}")
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def without():
    """Return a descriptor of what keeps no attributes at all."""
    ends = os.pipe()
    yield ends[0]
    for fd in ends:
        os.close(fd)


def test_an_access_list_is_never_lost(source, without):
    """Without it the group would have what the list gives to one user."""
    assert os.fstat(source).st_mode & 0o070 == 0o060
    with pytest.raises(OSError, match="not supported") as caught:
        _copy_attribute(source, without, "system.posix_acl_access")
    assert caught.value.errno == errno.EOPNOTSUPP


def test_what_is_gone_meanwhile_is_no_error(source, without):
    _copy_attribute(source, without, "user.note")
    _copy_attribute(source, without, "system.posix_acl_default")
