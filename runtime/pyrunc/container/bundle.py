"""A bundle as it is found: its directory, its config.json, its root (runtime-spec, bundle.md)."""

from __future__ import annotations

import posix

from pyrunc import handover
from pyrunc.container import store
from pyrunc.errors import ConfigError, UsageError
from pyrunc.plan.paths import clean

FILE_MAX, CHUNK = store.CONFIG_MAX, 1 << 20
S_IFMT, S_IFREG = 0o170000, 0o100000


def read_bundle(bundle: str, text: bytes | None = None) -> tuple[str, bytes]:
    """Return the absolute path of BUNDLE and its config.json, or TEXT in its place.  Raises ConfigError if it cannot be read."""
    path = bundle or "."
    absolute = path if path.startswith("/") else f"{posix.getcwd()}/{path}"
    absolute = clean(absolute)
    if not _is_text(absolute):
        shown = absolute.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise UsageError(f"the bundle's path {shown} is not UTF-8", hint="the state of a container is, and has to name it")
    if text is not None:
        return absolute, text
    try:
        return absolute, read_document(f"{absolute}/{store.CONFIG}")
    except OSError as error:
        reason = (error.strerror or "").lower()
        hint = "a bundle is a directory with a config.json and a rootfs"
        raise ConfigError(f"cannot read the bundle: open {absolute}/{store.CONFIG}: {reason}", hint=hint) from None


def read_document(path: str) -> bytes:
    """Return all that is in file PATH, or comes out of it.

    Raises OSError, and ConfigError for more than any document of ours needs.
    """
    if handover.NATIVE and posix.stat(path).st_mode & S_IFMT != S_IFREG:
        handover.need_script()  # it may want more than we have, and what comes out of a pipe comes but once
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = posix.read(fd, CHUNK)
        while part := posix.read(fd, CHUNK):
            text += part
            if len(text) > FILE_MAX:
                raise ConfigError(f"{path} has more than {FILE_MAX >> 20} MiB", hint="is it the right file?")
        return text
    finally:
        posix.close(fd)


def _is_text(path: str) -> bool:
    """Return whether PATH, which may come from the command line, was UTF-8 there."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_rootfs(path: str) -> None:
    """Raise ConfigError unless PATH is a directory."""
    try:
        mode = posix.stat(path).st_mode
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ConfigError(
            f"cannot use the rootfs: stat {path}: {reason}",
            pointer="/root/path",
            hint="unpack the image there, or correct the path: it is relative to the bundle",
        ) from None
    if mode & 0o170000 != 0o040000:
        raise ConfigError(
            f"cannot use the rootfs: {path} is not a directory",
            pointer="/root/path",
            hint="name a directory: unpack the image there",
        )
