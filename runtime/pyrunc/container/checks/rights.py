"""Capabilities that cannot be given so, and what root of a user namespace may not do in the image (user_namespaces(7))."""

from __future__ import annotations

import posix

from pyrunc.container.checks.apart import apart
from pyrunc.container.checks.view import Hidden
from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read
from pyrunc.linux import caps, fs
from pyrunc.linux.process import CLONE_NEWUSER
from pyrunc.plan.namespaces import is_new, mapping_lines
from pyrunc.run.steps import identity, rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.container.checks.view import View
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Op, Plan

DENIED = "permission denied"
OPENING = "let its owner in the user namespace, or everybody, search the directories on the way (chmod o+x)"
MAKING = "make it in the image, or give the image to the ids of the user namespace"


def capabilities(config: Config, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error if CONFIG asks for inheritable capabilities that are not in the bounding set (capset(2))."""
    sets = config.process.capabilities if config.process else None
    if sets is None:
        return
    status = read("/proc/self/status")
    ours = int(status.partition("CapInh:")[2].split()[0], 16)
    wrong = [
        name
        for name in dict.fromkeys(sets.inheritable)
        if name in caps.NUMBER and facts.capabilities >> caps.NUMBER[name] & 1
        if name not in sets.bounding and not ours >> caps.NUMBER[name] & 1
    ]
    if wrong:
        text = f"error applying capabilities: {identity.unbounded(wrong)}"
        yield UnsupportedError(text, pointer="/process/capabilities", hint=identity.BOUND)


def outsiders(config: Config, plan: Plan, facts: HostFacts, rootfs: str, view: View) -> Iterator[UnsupportedError]:
    """Yield an error for what root of a new user namespace of CONFIG may not do for PLAN: open ROOTFS, or make something in it.

    VIEW shows the image, without what is mounted by and by.  Says nothing without the privilege to become that root.
    """
    linux = config.linux
    if facts.rootless or not is_new(linux, "user"):
        return
    mappings = {"uid_map": mapping_lines(linux.uidMappings), "gid_map": mapping_lines(linux.gidMappings)}
    wanted = [*_missing(plan, view)]
    found = apart(lambda: _denied(rootfs, view.root, [place for place, _ in wanted]), CLONE_NEWUSER, mappings)
    if found is None:
        return
    if found == DENIED:
        text = f'error preparing rootfs "{rootfs}": {DENIED} to root of the user namespace'
        yield UnsupportedError(text, pointer="/root/path", hint=OPENING)
        return
    for index in found[:1]:  # the first is where `create` ends
        place, op = wanted[index]
        text = f"{op.doing}: {op.args[1]}: {DENIED}: root of the user namespace may make nothing in {place} of the image"
        yield UnsupportedError(text, pointer=op.at, hint=MAKING)


def _missing(plan: Plan, view: View) -> Iterator[tuple[str, Op]]:
    """Yield each op of PLAN that makes something in the image of VIEW, with the directory in which it begins to."""
    covered: set[str] = set()
    for op in plan.child:
        if op.call not in ("mount_point", "make_cwd", "make_node"):
            continue
        path = str(op.args[1])
        if not any(f"{path}/".startswith(f"{each.rstrip('/')}/") for each in covered):
            place = _begin(path, view)
            if place:
                yield place, op
        if op.call == "mount_point":
            covered.add(path)


def _begin(path: str, view: View) -> str:
    """Return the directory of VIEW in which the first missing part of PATH would be made; "" if nothing is to be made."""
    try:
        if view.find(path):
            return ""
        while not view.find(path):
            path = rootpath.split(path)[0] or "/"
    except (Hidden, OSError):
        return ""
    return path


def _denied(rootfs: str, root: int, places: list[str]) -> object:
    """Become root of the user namespace; return DENIED if ROOTFS is closed to it, or which PLACES in ROOT it may not fill."""
    posix.setgroups(())
    posix.setresgid(0, 0, 0)
    posix.setresuid(0, 0, 0)
    try:
        posix.close(posix.open(rootfs, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC))
    except PermissionError:
        return DENIED
    denied: list[int] = []
    for index, place in enumerate(places):
        try:
            fd = rootpath.open_path(root, place)
            fs.faccessat2(fd, "", posix.W_OK | posix.X_OK, fs.AT_EACCESS | fs.AT_EMPTY_PATH)
        except PermissionError:
            denied.append(index)
        except OSError:
            continue
    return denied
