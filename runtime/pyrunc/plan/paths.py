"""Paths of config.json, cleaned by their text: `.` and `..` taken out, and the rootfs's own path off the front.

As with runc: `.` and `..` are taken away by the text alone, so that no link of
the image decides what `/a/../m` is; and a destination that begins with the path
of the rootfs itself means the place in it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from pyrunc.oci.config import Config
    from pyrunc.record import Record

    R = TypeVar("R", bound=Record)


def clean(path: str) -> str:
    """Return PATH as an absolute one without empty, "." and ".." parts; `..` at the root is the root."""
    if path[:1] == "/" and path[-1] != "/" and "//" not in path and "/." not in path:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def inside(path: str, rootfs: str) -> str:
    """Return PATH, cleaned, without the path of ROOTFS at its beginning."""
    path, root = clean(path), clean(rootfs).rstrip("/")
    if path == root:
        return "/"
    return path[len(root) :] if root and path.startswith(root + "/") else path


def cleaned(config: Config, rootfs: str) -> Config:
    """Return CONFIG with every path that is to be resolved inside ROOTFS cleaned.

    Masked and read-only paths are the container's own: the rootfs of the host is no place there.
    """

    def place(path: str) -> str:
        return inside(path, rootfs)

    linux = config.linux.replace(
        devices=_each(config.linux.devices, "path", place),
        maskedPaths=tuple(map(clean, config.linux.maskedPaths)),
        readonlyPaths=tuple(map(clean, config.linux.readonlyPaths)),
    )
    return config.replace(mounts=_each(config.mounts, "destination", place), linux=linux)


def _each(records: Iterable[R], field: str, change: Callable[[str], str]) -> tuple[R, ...]:
    """Return RECORDS with CHANGE made to FIELD of each."""
    return tuple(
        each if (new := change(old := getattr(each, field))) == old else each.replace(**{field: new}) for each in records
    )
