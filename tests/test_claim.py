"""Cgroups by their inode: what cannot be told is not taken for gone."""

from __future__ import annotations

import pytest

from pyrunc.cgroup import claim
from pyrunc.plan.op import Token
from pyrunc.run import undo


def test_one_that_is_not_there_has_none(tmp_path):
    assert claim.inode(str(tmp_path / "none")) == 0
    (tmp_path / "file").touch()
    assert claim.inode(str(tmp_path / "file/none")) == 0
    assert claim.inode(str(tmp_path)) == tmp_path.stat().st_ino


def test_where_it_cannot_be_told_it_is_an_error(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        claim.inode(str(loop))
    (left,) = undo.backwards((Token("make_cgroup", (str(loop), "7", str(tmp_path))),))
    assert "symbolic links" in left[1]
