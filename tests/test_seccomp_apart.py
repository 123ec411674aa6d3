"""What the script is asked when a profile is new to the native program, and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc import jsonio
from pyrunc.oci.seccomp import Seccomp, seccomp
from pyrunc.seccomp import apart, entry
from pyrunc.seccomp.compile import compiled

pytest.importorskip("pyseccomp", reason="it compiles filters")

RUNTIME = Path(__file__).parents[1] / "runtime"
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pyrunc.boot import main; main()"
FULL = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 0,
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "listenerPath": "/run/agent",
    "listenerMetadata": "a \N{SNOWMAN}\n\"",
    "syscalls": [
        {"names": ["read", "no \u00fc call"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_NOTIFY",
            "args": [{"index": 5, "value": 2**64 - 1, "valueTwo": 2**63, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}


def asked(question: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Ask the script, with WORDS on its command line."""
    argv = [sys.executable, "-IXutf8", "-X", "task=seccomp", "-c", PROGRAM, str(RUNTIME), *words]
    return subprocess.run(argv, input=question, capture_output=True, check=False)


def question(document: object) -> bytes:
    return jsonio.dumps(apart._document(seccomp(document, apart.AT))).encode()


@pytest.mark.parametrize("document", [FULL, {"defaultAction": "SCMP_ACT_ALLOW"}], ids=["all", "least"])
def test_a_profile_comes_through_whole(document):
    profile = seccomp(document, apart.AT)
    again = seccomp(jsonio.loads(question(document)), apart.AT)
    assert again == profile
    assert entry.key(again) == entry.key(profile)


def test_every_field_is_in_the_profile_that_comes_through():
    """One that the specification adds later has to come through, too."""
    assert set(FULL) == set(Seccomp._fields)


def test_the_answer_is_what_we_would_compile():
    done = asked(question(FULL), "state", "x")  # whatever the words are
    assert (done.returncode, done.stderr) == (0, b"")
    before, _, answer = done.stdout.partition(apart.MARK)
    head, _, data = answer.partition(b"\n")
    assert before == b""
    assert json.loads(head) == {"key": entry.key(seccomp(FULL, apart.AT))}
    assert entry.unpack(data) == compiled(seccomp(FULL, apart.AT))


def test_an_error_is_an_answer_too():
    done = asked(question({**FULL, "architectures": ["SCMP_ARCH_S390X"]}))
    told = json.loads(done.stdout.partition(apart.MARK)[2])
    assert (done.returncode, told["error"], told["pointer"]) == (0, "UnsupportedError", "/linux/seccomp/architectures/0")


@pytest.mark.parametrize("question", [b"", b"{", b"[]", b'{"defaultAction": "NONSENSE"}'])
def test_nonsense_gets_no_answer(question: bytes):
    done = asked(question)
    assert done.returncode == 1
    assert apart.MARK not in done.stdout


def test_no_word_of_a_command_line_asks_for_a_task():
    argv = [sys.executable, "-ISc", PROGRAM, str(RUNTIME), "-X", "task=seccomp"]
    done = subprocess.run(argv, input=question(FULL), capture_output=True, check=False)
    assert done.returncode != 0
    assert apart.MARK not in done.stdout
