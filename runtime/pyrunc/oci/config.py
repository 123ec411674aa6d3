"""config.json (config.md) as a record: the whole document."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import mapping, record, string, wrong
from pyrunc.oci.hooks import Hooks, hooks
from pyrunc.oci.linux import Linux, linux
from pyrunc.oci.mounts import Mount, Root, mounts, root
from pyrunc.oci.process import Process, process
from pyrunc.record import Record

# Accepted: 1.0.0 to 1.3.x (config.md, "Specification version").
MAJOR, MINORS = "1", ("0", "1", "2", "3")


class Config(Record):
    """config.json."""

    ociVersion: str
    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = {}  # noqa: RUF012 - records do not change
    linux: Linux = Linux()

    @property
    def minor(self) -> int:
        """Return the minor version of the specification that the document follows."""
        return int(self.ociVersion.split(".")[1])


def _version(value: object, at: str) -> str:
    """Check the version of the specification that the document follows (semver 2.0)."""
    parts = string(value, at).split(".", 2)
    numbers = [part.isascii() and part.isdigit() for part in parts[:2]]
    if len(parts) != 3 or not all(numbers) or not ("0" <= parts[2][:1] <= "9"):
        raise wrong(value, "a version such as 1.3.0", at)
    if parts[0] != MAJOR or parts[1] not in MINORS:
        raise wrong(value, f"a version from 1.0.0 to {MAJOR}.{MINORS[-1]}.x", at, "this runtime follows 1.3.0")
    return string(value, at)


config = record(
    Config,
    "ociVersion",
    ociVersion=_version,
    process=process,
    root=root,
    hostname=string,
    domainname=string,
    mounts=mounts,
    hooks=hooks,
    annotations=mapping(string),
    linux=linux,
)


def need_root(made: Config) -> Root:
    """Return the root of MADE.  Raises ConfigError if it has none."""
    if made.root is None:
        raise ConfigError("root is missing", pointer="/root", hint="say where the root file system is")
    return made.root
