"""The runtime's own program, which a container must not get (CVE-2019-5736)."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from integration.looking import compiled, fingerprint, interpreter, script
from integration.security.naive import apart, caught

if TYPE_CHECKING:
    from pathlib import Path

    from integration.harness.bundle import Bundle


own_program = pytest.mark.pyrunc_only("it runs a sealed copy of itself, and that it may be")


def elf(wanted: str, *, table: int = 64, text: int = 1024, kind: int = 2) -> bytes:
    """Return an ELF file of class KIND with interpreter WANTED, the headers at TABLE, the name at TEXT."""
    name = wanted.encode() + b"\0"
    machine = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    ident = b"\x7fELF" + bytes([kind, 1, 1]) + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x70000000, table, 0, 0, 64, 56, 2, 0, 0, 0)
    interp = struct.pack("<IIQQQQQQ", 3, 4, text, 0, 0, len(name), len(name), 1)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x70000000, 0x70000000, 4096, 4096, 4096)
    file = bytearray(max(table + 112, text + len(name), 4096))
    file[: len(head)] = head
    file[table : table + 112] = interp + load
    file[text : text + len(name)] = name
    return bytes(file)


ELVES = {
    "elf": {},
    "elf-far-name": {"text": 8192},
    "elf-far-headers": {"table": 8192, "text": 12288},
    "elf-wrong-class": {"kind": 1},
    "elf-no-class": {"kind": 0},
}


def with_program(b: Bundle, how: str) -> str:
    """Put a program into B that leads, by way of HOW, to what /proc/self/exe is; return its path."""
    (b.rootfs / "bin/me").symlink_to("/proc/self/exe")
    (b.rootfs / "bin/hop").symlink_to("me")
    script(b, "/bin/script", "#!/proc/self/exe\n")
    script(b, "/bin/linked", "#!/bin/me -E\n")
    script(b, "/bin/nested", "#!/bin/linked\n")
    for name, options in ELVES.items():
        script(b, f"/bin/{name}", "").write_bytes(elf("/proc/self/exe", **options))
    script(b, "/bin/elf-by-link", "").write_bytes(elf("/bin/hop"))
    script(b, "/bin/script-of-elf", "#!/bin/elf\n")
    return how if how.startswith("/proc") else f"/bin/{how}"


WAYS = [
    "/proc/self/exe",
    "/proc/thread-self/exe",
    "/proc/self/root/proc/self/exe",
    "/proc/self/task/1/exe",
    "me",
    "hop",
    "script",
    "linked",
    "nested",
    *ELVES,
    "elf-by-link",
    "script-of-elf",
]


def kept(mine: Path, before: object, done) -> None:
    """Check that our program, MINE, is as BEFORE, and that what was DONE has not executed it."""
    assert fingerprint(mine) == before
    assert "got the interpreter" not in done.stdout


@own_program
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("command", ["run", "exec"])
def test_our_own_program_is_not_executed(runtime, bundle, how, command):
    b = bundle()
    program = with_program(b, how)
    code = "print('got the interpreter'); open('/proc/self/exe', 'r+b')"
    mine = interpreter(runtime)
    before = fingerprint(mine)
    if command == "run":
        b.process["args"] = [program, "-c", code]
        done = runtime.run(b, check=False)
    else:
        done = runtime.exec(runtime.start(b), program, "-c", code, check=False)
    kept(mine, before, done)
    assert done.returncode in ((1, 255) if command == "run" else (255,))  # 255: the kernel was asked for it, as with runc
    assert "permission denied" in done.stderr or "no such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@own_program
def test_our_own_program_as_a_mount(runtime, bundle):
    """Whoever binds the host's interpreter into a container may have it: but not through our process."""
    b = bundle("/bin/python", "-c", "pass")
    b.mount("/bin/python", "bind", str(interpreter(runtime)), "bind", "ro")
    before = fingerprint(interpreter(runtime))
    done = runtime.run(b, check=False)
    assert done.returncode != 0
    assert fingerprint(interpreter(runtime)) == before


NAIVE = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) /* ROOT PROGRAM: chroot and execute; or, as what an image has made of us: tell */
{
	if (argc != 3 || chroot(argv[1]) || chdir("/"))
		return puts("got the interpreter"), 0;
	return execl(argv[2], argv[2], "-c", "", (char *)0);
}
"""


@pytest.mark.parametrize("how", [way for way in WAYS if "elf" not in way and "task" not in way])
def test_our_own_program_is_not_executed_bites(bundle, how):
    """A runtime that executes whatever the path leads to becomes the program of the image."""
    b = bundle()
    program = with_program(b, how)
    mine = compiled(NAIVE, "-static")
    before = fingerprint(mine)
    done = apart('mount -t proc proc "$1/proc"; exec "$2" "$1" "$3"', b.rootfs, mine, program)
    with caught():
        kept(mine, before, done)
