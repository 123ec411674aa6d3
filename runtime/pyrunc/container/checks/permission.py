"""Whether the container's user may execute a file of the image: the kernel is asked, as that user."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.apart import apart
from pyrunc.linux import caps, fs
from pyrunc.linux import process as p
from pyrunc.plan.namespaces import has
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import IDMapping
    from pyrunc.oci.process import Process

OVERRIDE = ("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")


def forbidden(config: Config, facts: HostFacts, root: int, paths: Iterable[str]) -> str:
    """Return the first of PATHS in directory ROOT that the user of CONFIG may not execute; "" if all may be, or nobody knows."""
    user = config.process
    if user is None or facts.user or facts.nested:
        return ""  # only root can become somebody else to ask
    effective = user.capabilities.effective if user.capabilities else ()
    users = has(config.linux, "user")
    if users and set(effective) & set(OVERRIDE):
        return ""  # it depends on whose the file is, and on the mapping
    ids = _ids(config, user) if users else (user.user.uid, user.user.gid, tuple(user.user.additionalGids))
    if ids is None:
        return ""
    mask = 0
    for name in effective:
        mask |= 1 << caps.NUMBER[name] if name in OVERRIDE and not users else 0
    found = apart(lambda: _first_forbidden(root, tuple(paths), ids, mask & facts.capabilities))
    return str(found or "")


def _ids(config: Config, process: Process) -> tuple[int, int, tuple[int, ...]] | None:
    """Return the host's ids of the user of PROCESS in the user namespace of CONFIG; None if they cannot be told."""
    uid = _outside(config.linux.uidMappings, process.user.uid)
    groups = [_outside(config.linux.gidMappings, gid) for gid in (process.user.gid, *process.user.additionalGids)]
    known = [gid for gid in groups if gid is not None]
    if uid is None or len(known) != len(groups):
        return None
    return uid, known[0], tuple(known[1:])


def _outside(mappings: tuple[IDMapping, ...], inner: int) -> int | None:
    """Return the id outside of a user namespace with MAPPINGS that is INNER inside."""
    for each in mappings:
        if each.containerID <= inner < each.containerID + each.size:
            return each.hostID + inner - each.containerID
    return None


def _first_forbidden(root: int, paths: tuple[str, ...], ids: tuple[int, int, tuple[int, ...]], mask: int) -> str:
    """Become the user with IDS and the capabilities of MASK; return the first of PATHS in ROOT that may not be executed."""
    p.prctl(p.PR_SET_KEEPCAPS, 1)
    posix.setgroups(ids[2])
    posix.setresgid(*(ids[1],) * 3)
    posix.setresuid(*(ids[0],) * 3)
    p.capset(mask, mask, 0)
    for path in paths:
        try:
            fd = rootpath.open_path(root, path)
            fs.faccessat2(fd, "", posix.X_OK, fs.AT_EACCESS | fs.AT_EMPTY_PATH)
        except OSError as error:
            if error.errno == errno.EACCES:
                return path
    return ""
