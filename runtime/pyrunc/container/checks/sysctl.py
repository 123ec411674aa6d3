"""Settings that the kernel refuses: it is asked, in new namespaces, which end with what was written to them."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.apart import apart
from pyrunc.container.checks.hooks import BROUGHT
from pyrunc.errors import UnsupportedError
from pyrunc.linux import caps, fs
from pyrunc.linux import process as p
from pyrunc.plan.namespaces import has, is_new, mapping_lines
from pyrunc.run import hints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan

NEW = p.CLONE_NEWNET | p.CLONE_NEWIPC | p.CLONE_NEWUTS | p.CLONE_NEWPID
EVERYWHERE = ("all", "default", "lo")
AT, OF_DEVICES = "/linux/sysctl/", ("/conf/", "/neigh/")
RESOLVE = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_XDEV | fs.RESOLVE_NO_SYMLINKS


def errors(config: Config, plan: Plan, facts: HostFacts, doubts: list[tuple[str, str, str]]) -> Iterator[UnsupportedError]:
    """Yield an error for each setting of CONFIG, which PLAN writes, that the kernel refuses.  Says nothing without privilege.

    Those of devices that only hooks may bring go to DOUBTS.
    """
    ops = [op for op in plan.child if op.call == "write_at" and op.at.startswith(AT)]
    if not ops or facts.nested or facts.uid or not facts.capabilities >> caps.CAP_SYS_ADMIN & 1:
        return
    users = has(config.linux, "user")
    if users and not is_new(config.linux, "user"):
        return  # whose settings these are depends on what is joined
    rows = {"uid_map": config.linux.uidMappings, "gid_map": config.linux.gidMappings} if users else {}
    mappings = {name: mapping_lines(each) for name, each in rows.items()}
    failed = apart(lambda: _write(ops), NEW | (p.CLONE_NEWUSER if users else 0), mappings)
    for index, code in failed or ():
        op = ops[index]
        path = str(op.args[1])
        text = f"{op.doing}: {posix.strerror(code).lower()}"
        of_device = code == errno.ENOENT and _is_of_a_device(path)  # one that is not there yet has its settings later
        if of_device and _has_others(config):
            continue
        if of_device and (config.hooks.prestart or config.hooks.createRuntime):
            doubts.append((op.at, text, BROUGHT))
            continue
        yield UnsupportedError(text, pointer=op.at, hint=hints.hint("write_at", code))


def _is_of_a_device(path: str) -> bool:
    """Return whether PATH is of a setting of one network device, and not of those that every network namespace has."""
    name = next((path.partition(each)[2].partition("/")[0] for each in OF_DEVICES if each in path), "")
    return name not in ("", *EVERYWHERE)


def _has_others(config: Config) -> bool:
    """Return whether CONFIG has network devices of others by the time that the settings are made: moved, or joined."""
    return bool(config.linux.netDevices) or any(each.type == "network" and each.path for each in config.linux.namespaces)


def _write(ops: list[Op]) -> list[tuple[int, int]]:
    """Do OPS here; return the index and the errno of each that fails."""
    failed: list[tuple[int, int]] = []
    proc = posix.open("/proc", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    for index, op in enumerate(ops):
        try:
            fd = fs.openat2(proc, str(op.args[1]), posix.O_WRONLY | posix.O_CLOEXEC, 0, RESOLVE)
            try:
                posix.write(fd, str(op.args[2]).encode())
            finally:
                posix.close(fd)
        except OSError as error:
            failed.append((index, error.errno or 0))
    return failed
