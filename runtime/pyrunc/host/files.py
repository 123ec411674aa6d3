"""Reading and writing the small files in which the kernel says what is, and takes what is to be."""

from __future__ import annotations

import posix

PART = 1 << 16  # most take one read(2)


def read(path: str) -> str:
    """Return the text of small kernel file PATH."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while part := posix.read(fd, PART):
            parts.append(part)
        return str(b"".join(parts), "utf-8", "surrogateescape")
    finally:
        posix.close(fd)


def write(path: str, text: str) -> None:
    """Write TEXT to kernel file PATH in one write(2)."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(fd, text.encode())
    finally:
        posix.close(fd)
