"""Entries that are well typed and say nothing: an annotation without a name, a weight entry without a weight."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.oci.resources import Resources


def errors(config: Config) -> Iterator[ConfigError]:
    """Yield an error for each entry that is wrong."""
    if "" in config.annotations:
        yield ConfigError("an annotation has no name", pointer="/annotations/", hint="such as com.example.name")
    for index, path in enumerate(config.linux.maskedPaths):
        if names_root(path):
            at = f"/linux/maskedPaths/{index}"
            yield ConfigError("a mask cannot hide the root, which holds the program", pointer=at, hint="name what is in it")
    if config.linux.resources is not None:
        yield from _pairs(config.linux.resources)


def names_root(path: str) -> bool:
    """Return whether absolute PATH names the root itself, whatever the image has there."""
    depth = 0
    for part in path.split("/"):
        depth = max(0, depth - 1) if part == ".." else depth + (part not in ("", "."))
    return not depth


def _pairs(resources: Resources) -> Iterator[ConfigError]:
    """Entries that limit two things limit one of them at least."""
    hint = "set one, or remove the entry"
    for index, row in enumerate(resources.blockIO.weightDevice if resources.blockIO is not None else ()):
        if row.weight is None and row.leafWeight is None:
            at = f"/linux/resources/blockIO/weightDevice/{index}"
            yield ConfigError("neither weight nor leafWeight is set", pointer=at, hint=hint)
    for name, limit in resources.rdma.items():
        if limit.hcaHandles is None and limit.hcaObjects is None:
            at = f"/linux/resources/rdma/{escape(name)}"
            yield ConfigError("neither hcaHandles nor hcaObjects is set", pointer=at, hint=hint)
