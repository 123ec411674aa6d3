"""A tenth, by a seed, of the faults of script/faults: after each, one clear line, the truth in `state`, and nothing left.

PYRUNC_SEED chooses another, and `script/faults --runtime PYRUNC --tenth --seed N` runs the same; docs/reliability.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "script/faults"
pytestmark = [
    pytest.mark.pyrunc_only("the faults are put into pyrunc's own code"),
    pytest.mark.slow_vm,
    pytest.mark.timeout(600),
]


# What was once wrong, by command, op, system call and what happened there; each is some cases.
MENDED = [
    "create make_cgroup stat ELOOP",  # the cgroup stayed
    "create make_cgroup stat ENOMEM",
    "delete stat EACCES",  # the cgroup counted as gone, and stayed
    "delete stat ENOMEM",
    "run make_cgroup term",  # a signal between making and writing down
    "create mount_point term",
    "create recvmsg ENOMEM",  # the new process's last word was not heard
    "exec recvmsg ENOMEM",
    "create open_tree_by_helper prctl EACCES",  # a helper's last word was not heard
    "create choose_program faccessat2 EACCES",  # an internal error
    "create go term",  # ended by a signal, said the status, and the container was there
    "exec go term",
    "delete close EDQUOT",  # it said that it had not worked, and the container was gone
]


def test_what_was_mended(binary):
    only = [word for words in MENDED for word in ("--only", words)]
    words = [sys.executable, str(SCRIPT), "--runtime", binary, "--minutes", "5", *only]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.splitlines()[-1].split()[1]) > len(MENDED), done.stdout


def test_a_tenth(binary):
    seed = os.environ.get("PYRUNC_SEED", "13")  # until ten that are drawn have been clean in a row: three have
    words = [sys.executable, str(SCRIPT), "--runtime", binary, "--tenth", "--minutes", "4", "--seed", seed]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-1]
    run = int(last.split()[1])
    assert run > 100, last
