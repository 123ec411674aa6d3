"""A bundle: a directory with config.json and a root file system, or the same with the configuration in memory."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pyrunc.container import bundle as found
from pyrunc.errors import UsageError
from pyrunc.jsonio import loads
from pyrunc.library import channel

if TYPE_CHECKING:
    from pyrunc.container.verbs.check import Report
    from pyrunc.plan.op import Plan

    Path = str | os.PathLike[str]

HELP = "give a bundle's directory as str or Path, or a Bundle"


class Bundle:
    """What a container is made of: a directory, and a configuration as the OCI runtime specification has it (config.md).

    `path` is the absolute path of the directory; `config` is the configuration in memory, None if config.json is to be read when
    a container is made.  A Bundle is not changed by making containers of it, and any number may be made.
    """

    def __init__(self, path: Path, config: Mapping[str, Any] | None = None) -> None:
        """Take the directory at PATH, and CONFIG in place of its config.json if that is given.

        CONFIG is a dict as of `json.load`; what is relative in it (`root.path`) is relative to PATH.  It is copied.
        Raises UsageError if it cannot be JSON.
        """
        self.path: str = os.path.abspath(os.fspath(path))
        self.config: dict[str, Any] | None = None if config is None else copy.deepcopy(dict(config))
        if config is not None:
            channel.to_json(self.config)

    @classmethod
    def from_rootfs(
        cls,
        rootfs: Path,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        terminal: bool = False,
        readonly: bool = True,
        memory: int | None = None,
        cpus: float | None = None,
        pids: int | None = None,
    ) -> Self:
        """Return a bundle that runs ARGS in ROOTFS, the rest being what `pyrunc spec` writes: change `config` as you like.

        ENV is added to PATH and TERM.  MEMORY is the limit in bytes, CPUS how many processors' time it may use, PIDS how many
        processes and threads there may be; None: no limit.  Root only: for an ordinary user start from `pyrunc spec --rootless`.
        """
        from pyrunc.host import facts
        from pyrunc.oci.default import default_config

        if isinstance(args, str):
            raise UsageError(f"args is a string: {args!r}", hint='give a list, as ["sh", "-c", "..."]')
        config: dict[str, Any] = default_config(unified=facts.probe().cgroups.unified)
        config["root"] = {"path": os.path.abspath(os.fspath(rootfs)), "readonly": readonly}
        config["process"] |= {"args": list(args), "cwd": cwd, "terminal": terminal}
        config["process"]["env"] += [f"{name}={value}" for name, value in (env or {}).items()]
        resources = config["linux"]["resources"]
        if memory is not None:
            resources["memory"] = {"limit": memory}
        if cpus is not None:
            resources["cpu"] = {"quota": int(cpus * 100_000), "period": 100_000}
        if pids is not None:
            resources["pids"] = {"limit": pids}
        return cls(os.path.dirname(config["root"]["path"]), config)

    def __repr__(self) -> str:
        """Show where it is."""
        return f"Bundle({self.path!r}{'' if self.config is None else ', config'})"

    def document(self) -> bytes:
        """Return the text of the configuration, b"" if it is that of config.json."""
        return b"" if self.config is None else channel.to_json(self.config)

    def load(self) -> dict[str, Any]:
        """Return the configuration, read from config.json if it is not in memory: a copy, to be changed as you like.

        Raises ConfigError if it cannot be read, or is not JSON.
        """
        if self.config is not None:
            return copy.deepcopy(self.config)
        loaded: Any = loads(found.read_bundle(self.path)[1])
        return dict(loaded)

    def plan(self, id: str = "example") -> Plan:
        """Return what `create` would do, in order, for a container called ID; do nothing.  Needs no privileges.

        Raises what `create` would raise of a wrong configuration: ConfigError, UnsupportedError.
        """
        from pyrunc.container.verbs import planning

        return planning.plan(self.path, id, self.document() or None)

    def check(self) -> Report:
        """Return all that is wrong with this bundle, what this host lacks for it, and what to be warned of; do nothing.

        Needs no privileges, and raises nothing for what is wrong with it.
        """
        from pyrunc.container.verbs import check

        return check.check(self.path, self.document() or None)


def of(bundle: Bundle | Path) -> Bundle:
    """Return BUNDLE, or the bundle in the directory of that name.  Raises UsageError."""
    if isinstance(bundle, Bundle):
        return bundle
    if not isinstance(bundle, (str, os.PathLike)):
        raise UsageError(f"{bundle!r} is no bundle", hint=HELP)
    return Bundle(bundle)


def plan(bundle: Bundle | Path, id: str = "example") -> Plan:
    """Return what `create` would do with BUNDLE, in order, for a container called ID: see Bundle.plan."""
    return of(bundle).plan(id)


def check(bundle: Bundle | Path) -> Report:
    """Return all that is wrong with BUNDLE, and what this host lacks for it: see Bundle.check."""
    return of(bundle).check()


def features() -> dict[str, Any]:
    """Return what this runtime can do, as the specification's features.md has it."""
    from pyrunc.container.verbs import features as verb

    return dict(verb.features())
