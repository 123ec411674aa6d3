"""Undoing: every op of the host's has been thought of, and a token takes back what it proves, and nothing of that name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrunc.plan.op import Op, Plan, Token
from pyrunc.run import executor, undo
from tests.planned import CASES

# What leaves nothing behind: it opens or closes what is closed at the end, talks to the child or its
# processes, whose end is the end of it, or writes down what is removed with the state directory.
NOTHING = {"barrier", "go", "give", "commit", "hand_over_terminal", "load_filter", "prlimit", "raise_rlimit"}
NOTHING |= {"prctl"}  # of ourselves, for the fork
NOTHING |= {"share_listener", "deliver_listener", "release_listener"}
NOTHING |= {"open_directory", "open_tasks", "open_namespace", "open_foreign_namespace", "open_process_namespace", "open_null"}
NOTHING |= {"make_subgroups", "hand_down"}  # of a scope, which goes with all below it
NOTHING |= {"open_childs_proc", "open_hook_output"}  # the file that hooks write to stays, as it is for who reads it
NOTHING |= {"write_proc", "run_mapping_tool", "setns", "move_to_cgroup", "attach_to_unit", "join_resctrl", "sched_setattr"}
NOTHING |= {"ioprio_set", "make_user_namespace", "open_tree", "open_tree_by_helper", "end_helper", "open_mount"}
NOTHING |= {"fsopen", "fsconfig", "fsmount", "mount_setattr", "make_private_beside"}  # of mounts that are attached nowhere yet


# Signals are let in while they wait: for the caller's programs, for systemd, or for the kernel to look a path up.
LET_IN = {"run_hook", "start_scope", "bind_rootfs"}


def test_no_signal_comes_between_what_is_made_and_its_token():
    """The fork holds signals itself, and a cgroup that was there is claimed by the op that makes it if it is not."""
    assert set(undo.UNDO) - {"clone3", "use_cgroup"} == executor.UNDIVIDED | LET_IN


def test_each_op_of_the_host_is_in_the_table_or_leaves_nothing():
    known = NOTHING | set(undo.UNDO)
    unknown = {op.call for case in CASES for op in case.build().host} - known
    assert not unknown
    assert not NOTHING & set(undo.UNDO)


def test_it_is_shown_backwards_with_hooks_last():
    made, hook = Op("make_cgroup", ((),)), Op("run_hook", (None, "createRuntime", 0, "creating"))
    plan = Plan((made, Op("clone3", (0,)), Op("barrier", ("ready",)), hook, Op("limit_cgroup", ((), ()))), ())
    assert [op.call for op, _ in undo.shown(plan)] == ["limit_cgroup", "clone3", "make_cgroup", "run_hook"]


def token(call: str, path: Path, *words: str) -> Token:
    return Token(call, (str(path), str(path.stat().st_ino), *words))


@pytest.mark.parametrize("call", ["make_cgroup", "fill_cgroup"])
def test_a_directory_that_was_made_goes_and_another_of_its_name_stays(tmp_path: Path, call: str):
    path = tmp_path / "box"
    (path / "inner").mkdir(parents=True)
    mine = token(call, path, str(tmp_path))
    other = Token(call, (str(path), str(path.stat().st_ino + 1), str(tmp_path)))
    assert undo.backwards([other]) == []
    assert (path / "inner").exists()
    assert undo.backwards([mine]) == []
    assert not path.exists()
    assert undo.backwards([mine]) == []  # gone already


def test_of_a_directory_that_was_there_only_what_is_new_goes(tmp_path: Path):
    (tmp_path / "known").mkdir()
    found = token("use_cgroup", tmp_path, "known")
    (tmp_path / "new/deep").mkdir(parents=True)
    assert undo.backwards([found]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["known"]


def test_what_a_file_said_is_written_back_and_what_fails_is_told_without_an_end(tmp_path: Path):
    file, gone = tmp_path / "pids.max", tmp_path / "gone.max"
    file.write_text("9")
    inode = str(tmp_path.stat().st_ino)
    tokens = [Token("limit_cgroup", (str(path), inode, "7")) for path in (file, gone)]
    left = undo.backwards(tokens)
    assert file.read_text() == "7"
    assert [call for call, _ in left] == ["limit_cgroup"]
    assert "gone.max" in left[0][1]


def test_plan_shows_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    from pyrunc.cli.main import main

    assert main(["spec", "--bundle", str(tmp_path)]) == 0
    assert main(["plan", "--undo", str(tmp_path)]) == 0
    said = capfd.readouterr().out
    assert "clone3(" in said
    assert undo.UNDO["clone3"].says in said
    assert main(["plan", "--undo", "--json", str(tmp_path)]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert {"call", "text", "undo"} == set(rows[0])
