"""The cache of compiled filters: who may write to it decides what containers may do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from integration.harness.ordinary import UID
from integration.security.naive import caught

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle


def filtered(b: Bundle, errno: int = 1) -> Bundle:
    """Give B a filter that forbids to make directories, with ERRNO."""
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    return b


def holds(done) -> None:
    """Check that the filter was there: the directory could not be made."""
    assert "Operation not permitted" in done.stderr


@pytest.mark.pyrunc_only("has none")
@pytest.mark.parametrize("who", ["another's file", "a file that others may write", "a link", "another's directory", "a damaged file"])
def test_a_filter_that_others_have_kept(runtime, bundle, tmp_path, who):
    """It is compiled anew: a filter that forbids nothing, in the place of one that does, has no effect."""
    holds(runtime.run(filtered(bundle("mkdir", "/data/made")), check=False))
    (kept,) = [path for path in (runtime.root / ".seccomp").iterdir() if path.is_file()]
    free = bundle("mkdir", "/data/made")
    free.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
    runtime.run(free)
    (other,) = [path for path in (runtime.root / ".seccomp").iterdir() if path.is_file() and path != kept]
    content = other.read_bytes()
    if who == "a link":
        (tmp_path / "planted").write_bytes(content)
        os.chown(tmp_path / "planted", UID, UID)
        kept.unlink()
        kept.symlink_to(tmp_path / "planted")
    elif who == "a damaged file":
        kept.write_bytes(content[:-8] + bytes(8))
    else:
        kept.write_bytes(content)
        if who == "another's file":
            os.chown(kept, UID, UID)
        elif who == "another's directory":
            os.chown(kept.parent, UID, UID)
        else:
            kept.chmod(0o666)
    holds(runtime.run(filtered(bundle("mkdir", "/data/made")), check=False))
    os.chown(runtime.root / ".seccomp", 0, 0)


def test_a_filter_that_others_have_kept_bites(runtime, bundle):
    """Without the filter, or with one that forbids something else, it is made."""
    with caught():
        holds(runtime.run(bundle("mkdir", "/data/made"), check=False))
