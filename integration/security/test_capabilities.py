"""Capabilities that a process would hand on by inheritance (CVE-2022-29162, CVE-2022-27650, CVE-2025-27612)."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from integration.looking import become, fields, give, status_inside
from integration.security.naive import caught

GENEROUS = ("setpriv", "--inh-caps=+kill,+chown,+net_raw")


def inherits_nothing(status: dict[str, str]) -> None:
    """Check that a process of STATUS, from /proc, has no inheritable and no ambient capability."""
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0


@pytest.mark.parametrize("uid", [0, 1000])
def test_nothing_is_inheritable_unless_asked_for(runtime, bundle, uid):
    """In run, in exec, and with capabilities that exec adds."""
    b = give(become(bundle(), uid), "CAP_KILL", "CAP_CHOWN")
    inherits_nothing(status_inside(runtime, b))
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    for words in ((), ("--cap", "CAP_NET_RAW"), ("--cap", "CAP_SYS_ADMIN", "--cap", "CAP_KILL"), ("--user", "1000")):
        inherits_nothing(fields(runtime("exec", *words, name, "cat", "/proc/self/status").stdout))


def test_nor_if_the_caller_has_some(runtime, bundle):
    """What the runtime itself could hand on is not the container's."""
    runtime.prefix = (*GENEROUS, "--ambient-caps=+kill,+chown,+net_raw")
    inherits_nothing(status_inside(runtime, give(bundle(), "CAP_KILL")))
    name = runtime.start(give(bundle(), "CAP_KILL"))
    inherits_nothing(fields(runtime.exec(name, "cat", "/proc/self/status").stdout))


def test_what_spec_writes(runtime, tmp_path):
    """As `check` would: neither word is there, or it lists nothing."""
    for words in ((), ("--rootless",)):
        runtime("spec", *words, cwd=tmp_path)
        capabilities = json.loads((tmp_path / "config.json").read_text())["process"]["capabilities"]
        assert not capabilities.get("inheritable")
        (tmp_path / "config.json").unlink()


def test_what_is_asked_for_is_there(runtime, bundle):
    b = give(bundle(), "CAP_KILL", sets=("bounding", "permitted", "effective", "inheritable"))
    assert int(status_inside(runtime, b)["CapInh"], 16) == 1 << 5


def test_nothing_is_inheritable_unless_asked_for_bites():
    """A process that hands on what it has."""
    assert os.geteuid() == 0
    words = [*GENEROUS, "cat", "/proc/self/status"]
    with caught():
        inherits_nothing(fields(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
