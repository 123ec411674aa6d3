"""Entries of lists and maps that have the right types and say nothing, or say what their kind cannot."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config
    from pyrunc.oci.resources import Resources
    from pyrunc.oci.seccomp import Seccomp

WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def errors(config: Config) -> Iterator[ConfigError]:
    """Yield an error for each entry that is wrong."""
    if "" in config.annotations:
        yield ConfigError("an annotation has no name", pointer="/annotations/", hint="such as com.example.name")
    if config.linux.resources is not None:
        yield from _pairs(config.linux.resources)
    if config.linux.seccomp is not None:
        yield from _rules(config.linux.seccomp)


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


def _rules(profile: Seccomp) -> Iterator[ConfigError]:
    """Rules name system calls, and only some actions take an errno."""
    at = "/linux/seccomp"
    rows = [(profile.defaultAction, profile.defaultErrnoRet, f"{at}/defaultErrnoRet")]
    for index, rule in enumerate(profile.syscalls):
        where = f"{at}/syscalls/{index}"
        if not rule.names:
            yield ConfigError("names is empty", pointer=f"{where}/names", hint="name a system call, or remove the rule")
        rows.append((rule.action, rule.errnoRet, f"{where}/errnoRet"))
    hint = "only " + " and ".join(WITH_ERRNO) + " take one"
    for action, number, where in rows:
        if number is not None and action not in WITH_ERRNO:
            yield ConfigError(f"{action} takes no errno", pointer=where, hint=hint)
