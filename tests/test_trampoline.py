"""The program of a few instructions that executes a path."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pyrunc.run.steps import trampoline

THERE = os.uname().machine in trampoline.CODES
FOREIGN = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, 22)  # for s390x
ASSEMBLER = "aarch64-linux-gnu-as"
ARM64 = """
    ldr x0, [sp, #8]; add x1, sp, #16; ldr x2, [sp]; add x2, x1, x2, lsl #3; mov x8, #221; svc #0
    mov x0, #2; adr x1, text; mov x2, #5; mov x8, #64; svc #0; mov x0, #255; mov x8, #94; svc #0
    text: .ascii "text\\n"
"""


def made(path: str, *args: str, env: tuple[str, ...] = (), head: bytes = FOREIGN) -> trampoline.Trampoline | None:
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        return trampoline.prepare(proc, path, args, env, head)
    finally:
        os.close(proc)


def ran(path: str, *args: str, env: tuple[str, ...] = ()) -> tuple[int, str]:
    """Return the status and the output of PATH, executed by a trampoline."""
    found = made(path, *args, env=env)
    try:
        # By Python's own execve: the arguments are those of the image.
        options = {"executable": f"/proc/self/fd/{found.fd}", "env": dict(entry.split("=", 1) for entry in env)}
        done = subprocess.run([path, *args], pass_fds=[found.fd], capture_output=True, text=True, **options)
    finally:
        os.close(found.fd)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not THERE, reason="there is none for this machine")
def test_it_executes_a_path_with_arguments_and_environment():
    args = ("name", "-c", 'echo "$0 $1 $MARK"; exit 3', "zero", "one two")
    assert ran("/bin/sh", *args, env=("MARK=here",)) == (3, "zero one two here\n")


@pytest.mark.skipif(not THERE, reason="there is none for this machine")
def test_where_that_fails_it_says_so():
    path = "/no/such/" + "x" * 2000
    assert ran(path, "x") == (255, f"exec {path}: the interpreter that binfmt_misc has for it cannot be executed\n")


@pytest.mark.skipif(not THERE, reason="there is none for this machine")
def test_nobody_can_change_it():
    found = made("/bin/true", "true")
    with pytest.raises(OSError), open(f"/proc/self/fd/{found.fd}", "r+b", buffering=0) as file:
        file.write(b"x")
    assert not os.get_inheritable(found.fd)
    os.close(found.fd)


def test_a_program_of_this_machine_needs_none():
    with Path(os.path.realpath("/bin/sh")).open("rb") as file:
        assert made("/bin/sh", "sh", head=file.read(256)) is None


@pytest.mark.skipif(not THERE, reason="there is none for this machine")
@pytest.mark.parametrize("head", [b"", b"PK\3\4", b"\x7fELF", b"\0asm\1\0\0\0", FOREIGN])
def test_whatever_else_may_need_one(head: bytes):
    found = made("/x", "x", head=head)
    assert found is not None
    os.close(found.fd)


@pytest.mark.skipif(shutil.which(ASSEMBLER) is None, reason=f"there is no {ASSEMBLER}")
def test_the_code_for_arm64_is_what_its_comments_say(tmp_path: Path):
    made, plain = tmp_path / "code.o", tmp_path / "code"
    subprocess.run([ASSEMBLER, "-o", made], input=ARM64, text=True, check=True)
    subprocess.run([ASSEMBLER.replace("-as", "-objcopy"), "-O", "binary", "-j", ".text", made, plain], check=True)
    code = trampoline.CODES["aarch64"][1](b"text\n")
    assert plain.read_bytes()[: len(code)] == code
