#!/usr/bin/env python3
"""Build the native program: link it with Python's static library, let it import everything, keep the dump in the file.

build.py OUTPUT INTERPRETER SCRIPT PACKAGE            all of it
build.py --parts DIRECTORY PACKAGE                    what needs a compiler: the program without a dump, what it runs
build.py --dump DIRECTORY OUTPUT INTERPRETER SCRIPT   what is each installation's own: the dump, of these parts

Run by the Python that the program is made of, but for --dump, which any will do.  INTERPRETER runs SCRIPT (relative to the
program's directory; of several, between colons, the first that is there) for what the dump has not; PACKAGE is the
directory of pyrunc.
"""

from __future__ import annotations

import _imp
import marshal
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PARTS = ("start", "dump", "region", "module", "json", "modules", "frozen")
FLAGS = ("-O2", "-std=gnu11", "-fno-pie", "-Wall", "-Wextra", "-Werror")
# What libpython gets from the region in place of the C library.
RENAMED = {
    "malloc": "region_malloc",
    "calloc": "region_calloc",
    "realloc": "region_realloc",
    "free": "region_free",
    "mmap64": "region_mmap",
    "munmap": "region_munmap",
}
REGION_BASE, REGION_SIZE, REGION_GROWTH, PAGE = 0x50000000, 64 << 20, 2 << 20, 4096  # region.h
PT_LOAD, PT_NOTE, PT_GNU_PROPERTY, PF_R, PF_RW = 1, 4, 0x6474E553, 4, 6
EHDR, PHDR = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ"
# What makes dumps, and what a dump has in another way.
PROGRAM = "--program"  # how it calls itself
LEFT_OUT = ("pyrunc.boot", "pyrunc.image", "pyrunc.linux.foreign")
CLIENT = ("pyrunc.library", "pyrunc.aio")  # what other programs import


class CannotBuildError(Exception):
    """This machine, or this Python, lacks what the native program is made of."""


def static_library() -> Path:
    """Return Python's static library.  Raises CannotBuildError if there is none."""
    for directory in (sysconfig.get_config_var("LIBPL"), sysconfig.get_config_var("LIBDIR")):
        path = Path(directory or "/", sysconfig.get_config_var("LIBRARY") or "")
        if path.is_file():
            return path
    raise CannotBuildError("there is no static library of this Python")


def run(*command: object, **options: Any) -> str:
    """Run COMMAND and return its output.  Raises CannotBuildError with what it said if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise CannotBuildError(f"{command[0]}: status {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return str(done.stdout)


def needed() -> set[str]:
    """Return the names of the C modules that are to be built in."""
    return set(re.findall(r"PyInit_(\w+)\(void\)", (HERE / "modules.c").read_text()))


def defined(library: Path) -> set[str]:
    """Return the names of the C modules that LIBRARY has."""
    return set(re.findall(r" T PyInit_(\w+)", run("nm", "--defined-only", library))) | {"_pyrunc"}


def link(directory: Path) -> Path:
    """Compile and link the program, still without a dump, in DIRECTORY."""
    include = sysconfig.get_path("include")
    frozen = marshal.dumps(_imp.get_frozen_object("_frozen_importlib"))
    (directory / "bootstrap.h").write_text(", ".join(map(str, frozen)))
    objects, map_ = [], f"-ffile-prefix-map={HERE}=native"  # the same program wherever it is built
    for part in PARTS:
        objects.append(directory / f"{part}.o")
        run("cc", *FLAGS, map_, f"-I{include}", f"-I{directory}", "-c", HERE / f"{part}.c", "-o", objects[-1])
    library = directory / "libpython-region.a"
    renames = [f"--redefine-sym={old}={new}" for old, new in RENAMED.items()]
    # mimalloc, which is in libpython since 3.13 and not used, would begin anew in what the dump has of it.
    run("objcopy", *renames, "--remove-section=.init_array", static_library(), library)
    lacking = sorted(needed() - defined(library))
    if lacking:
        raise CannotBuildError(f"there is no {', '.join(lacking)} in the static library of this Python, {static_library()}")
    stage = directory / "stage"
    libraries = (sysconfig.get_config_var("LIBM") or "-lm").split()
    run("cc", "-static", "-no-pie", f"-Wl,-T,{HERE / 'layout.ld'}", "-o", stage, *objects, library, *libraries)
    return stage


def program(package: Path, path: Path) -> None:
    """Write file PATH: program.py, the modules of PACKAGE in the order in which they run, warm.py, hot.py and hot.txt.

    Imports all of them, so this is for a process of its own.
    """
    sys.path.insert(0, str(package.parent))
    from pyrunc import image

    files = [file.relative_to(package.parent).with_suffix("") for file in sorted(package.rglob("*.py"))]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files if file.name != "__main__"]
    found = image.collect([name for name in names if name not in LEFT_OUT and not name.startswith(CLIENT)])
    items = [(name, place, is_package, code) for name, place, _, _, is_package, code in found if name not in LEFT_OUT]
    code, warm, hot = (image.lean((HERE / file).read_bytes(), file) for file in ("program.py", "warm.py", "hot.py"))
    path.write_bytes(marshal.dumps((code, items, warm, hot, frozenset((HERE / "hot.txt").read_text().split()))))


def headers(elf: bytes | bytearray) -> list[tuple[int, ...]]:
    """Return the program headers of ELF."""
    offset, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    return [struct.unpack_from(PHDR, elf, offset + i * size) for i in range(count)]


def symbol(stage: Path, name: str) -> int:
    """Return the address of symbol NAME."""
    done = subprocess.run(["nm", stage], capture_output=True, text=True, check=True)
    return next(int(line.split()[0], 16) for line in done.stdout.splitlines() if line.endswith(f" {name}"))


def put_together(stage: Path, start: int, state: bytes, region: bytes, output: Path) -> None:
    """Write OUTPUT: STAGE with the dump's STATE in its place, from address START, and its REGION as one more segment.

    And a last one, of a page that nobody reads, at the end of what the region may grow to: the kernel puts the heap behind it.
    """
    elf = bytearray(stage.read_bytes())
    rows = headers(elf)
    for row in rows:
        kind, _, offset, address, _, size, _, _ = row
        if kind == PT_LOAD and address <= start < address + size:
            place = offset + start - address
            elf[place : place + len(state)] = state
            break
    # The sections' table goes: what is loaded is said by the headers.
    where = -(-len(elf) // PAGE) * PAGE
    elf += bytes(where - len(elf)) + region + bytes(PAGE)
    kept = [row for row in rows if row[0] not in (PT_NOTE, PT_GNU_PROPERTY)]
    end = REGION_BASE + REGION_SIZE
    size = len(region)
    new: list[tuple[int, ...]] = [(PT_LOAD, PF_RW, where, REGION_BASE, REGION_BASE, size, size + REGION_GROWTH, PAGE)]
    new += [(PT_LOAD, PF_R, where + size, end, end, PAGE, PAGE, PAGE)]
    loads = sorted([row for row in kept if row[0] == PT_LOAD] + new, key=lambda row: row[3])
    table = [*loads, *(row for row in kept if row[0] != PT_LOAD)]
    if len(table) > len(rows):
        raise CannotBuildError("there is no room for another segment")
    for i, row in enumerate(table):
        struct.pack_into(PHDR, elf, 64 + i * 56, *row)
    struct.pack_into("<H", elf, 56, len(table))
    draft = output.with_name(f"{output.name}.new")  # so that whoever calls the program meanwhile has the old one, whole
    draft.write_bytes(elf)
    draft.chmod(0o755)
    draft.replace(output)


def make_parts(directory: Path, package: Path) -> None:
    """Write to DIRECTORY what a dump is made of: `stage`, `start` and `program.marshal`.  Raises CannotBuildError."""
    for tool in ("cc", "objcopy", "nm", "strip"):
        if shutil.which(tool) is None:
            raise CannotBuildError(f"there is no {tool}")
    with tempfile.TemporaryDirectory() as name:
        stage = link(Path(name))
        (directory / "start").write_text(f"{symbol(stage, 'pystate_start')}\n")
        run("strip", "-o", directory / "stage", stage)
    run(sys.executable, "-ISXutf8", __file__, PROGRAM, package, directory / "program.marshal")


def make_dump(parts: Path, output: Path, interpreter: str, script: str) -> list[str]:
    """Make OUTPUT of PARTS, with a dump that has a seed of its own; return the modules that are left to the script."""
    stage, path, start = parts / "stage", parts / "program.marshal", int((parts / "start").read_text())
    with tempfile.TemporaryDirectory() as name:
        hot, dump = Path(name, "hot"), Path(name, "dump")
        seed = secrets.randbits(32)
        run(stage, "count", path, seed, hot, env={}, cwd="/")
        # Nothing of ours is to be in the dump.
        left_out = run(stage, "dump", path, seed, hot, dump, interpreter, script, env={}, cwd="/")
        put_together(stage, start, Path(f"{dump}.state").read_bytes(), Path(f"{dump}.region").read_bytes(), output)
    return left_out.split()


def build(output: Path, interpreter: str, script: str, package: Path) -> list[str]:
    """Build the program as OUTPUT; return the modules that are left to the script.  Raises CannotBuildError."""
    with tempfile.TemporaryDirectory() as name:
        make_parts(Path(name), package)
        return make_dump(Path(name), output, interpreter, script)


def main(argv: list[str]) -> None:
    """Do what the command line ARGV says."""
    os.umask(0o022)
    try:
        if argv[0] == PROGRAM:
            program(Path(argv[1]), Path(argv[2]))
        elif argv[0] == "--parts":
            make_parts(Path(argv[1]), Path(argv[2]).resolve())
        elif argv[0] == "--dump":
            make_dump(Path(argv[1]).resolve(), Path(argv[2]).resolve(), argv[3], argv[4])
        else:
            print(*build(Path(argv[0]), argv[1], argv[2], Path(argv[3]).resolve()), sep="\n")
    except CannotBuildError as error:
        sys.exit(f"native/build.py: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
