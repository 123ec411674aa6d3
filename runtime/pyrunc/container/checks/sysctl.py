"""Settings that the kernel refuses: it is asked, in new namespaces, which end with what was written to them."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.apart import apart
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
AT, OF_DEVICES = "/linux/sysctl/", ("/conf/", "/neigh/")
RESOLVE = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_XDEV | fs.RESOLVE_NO_SYMLINKS


def errors(config: Config, plan: Plan, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for each setting of CONFIG, which PLAN writes, that the kernel refuses.  Says nothing without privilege."""
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
        if code == errno.ENOENT and any(each in path for each in OF_DEVICES) and _may_bring(config):
            continue  # a device that is not there yet has its settings later
        reason = posix.strerror(code).lower()
        hint = hints.hint("write_at", code)
        yield UnsupportedError(f"{op.doing}: {reason}", pointer=op.at, hint=hint)


def _may_bring(config: Config) -> bool:
    """Return whether CONFIG may have network devices by the time that the settings are made: moved, by hooks, or of others."""
    joined = any(each.type == "network" and each.path for each in config.linux.namespaces)
    return bool(config.linux.netDevices or config.hooks.prestart or config.hooks.createRuntime or joined)


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
