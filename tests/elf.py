"""The header of an ELF file: as much of a program as anybody looks at without executing it (elf(5))."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

PT_LOAD, PT_INTERP, EHDR, PHDR = 1, 3, 64, 56


def program(*, machine: int | None = None, kind: int = 2, loader: str = "") -> bytes:
    """Return a 64-bit program for MACHINE (that of our own interpreter), which names LOADER as its ELF interpreter."""
    own = Path(sys.executable).read_bytes()[:EHDR]
    order = ">" if own[5] == 2 else "<"
    chosen = struct.unpack_from(f"{order}H", own, 18)[0] if machine is None else machine
    path = loader.encode() + b"\0"
    rows = struct.pack(f"{order}IIQQQQQQ", PT_INTERP if loader else PT_LOAD, 4, EHDR + PHDR, 0, 0, len(path), len(path), 1)
    numbers = struct.pack(f"{order}HHIQQQIHHHHHH", kind, chosen, 1, 0, EHDR, 0, 0, EHDR, PHDR, 1, 0, 0, 0)
    return own[:16] + numbers + rows + path
