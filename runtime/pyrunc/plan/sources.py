"""Who opens the source of a bind mount, and when (config.md, "Mounts").

Mostly the child, when its turn comes.  The host does before the fork what is
to stay a peer of the host's mount.  What root of a user namespace could not
reach the host's root opens, but in the child's mount namespace: there the
kernel has locked what the host's mounts forbid (mount_namespaces(7)).  An
ordinary user has nothing to add to what the child may do, who is the same user.
"""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.plan import mountopts, newfs, ondemand, paths
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import CHILD, Op, Slot, barrier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount
    from pyrunc.plan.request import Request

# With these, no mount of the container's stays a peer of one of the host's.
CUT_OFF = ("", "rslave", "rprivate")
HOST, HELPER, HELPER_LATER, CHILDS = "host", "helper", "helper, later", "child"
EARLY = "child, outside"  # of a container that is there already (plan/livemounts.py)
BY_HELPER = (HELPER, HELPER_LATER)
BY_OTHERS = (HOST, EARLY, *BY_HELPER)


def opener(config: Config, facts: HostFacts, request: Request, index: int, options: mountopts.Options) -> str:
    """Return who opens the source of mount INDEX with OPTIONS, if that is a bind mount; "" for no source."""
    mount = config.mounts[index]
    if not options.bind or "remount" in options.ours or link(request, index) is not None:
        return ""
    if request.live:
        return HELPER if has(config.linux, "user") and not facts.user else EARLY
    below = index > 0 and _inside(request.rootfs, _absolute(request, mount))
    if has(config.linux, "user"):
        if facts.user:
            return CHILDS
        return HELPER_LATER if below else HELPER
    wanted = config.linux.rootfsPropagation or ""
    peers = wanted not in CUT_OFF and any(flag == m.MS_SHARED for flag, _ in options.propagation)
    return HOST if (peers or wanted in ("shared", "rshared")) and not below else CHILDS


def link(request: Request, index: int) -> str | None:
    """Return what the link says that is to be made in place of mount INDEX; None if that is a mount (option copy-symlink)."""
    return next((target for number, target in request.links if number == index), None)


def source(request: Request, mount: Mount, options: mountopts.Options) -> tuple[str, int]:
    """Return the path whose mount is copied, detached, and the flags for that."""
    flags = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC | (m.AT_RECURSIVE if options.rbind else 0)
    flags |= m.AT_SYMLINK_NOFOLLOW if "src-nofollow" in options.ours else 0
    return _absolute(request, mount), flags


def host(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the ops of the host before the fork, and those of file systems that the host makes."""
    if not has(config.linux, "user"):
        yield from ondemand.idmap_namespaces(config)
    for index, mount in enumerate(config.mounts):
        options = mountopts.of(mount)
        if newfs.by_host(config, mount, options):
            yield from newfs.make(mount, options, index)
        elif opener(config, facts, request, index, options) == HOST:
            path, flags = source(request, mount, options)
            at, tree, doing = f"/mounts/{index}/source", Slot(f"mount{index}"), newfs.describe(mount)
            yield Op("open_tree", (m.AT_FDCWD, path, flags), at, tree, doing)
            yield Op("make_private_beside", (tree, path, request.rootfs), at, doing=doing)


def by_helper(config: Config, facts: HostFacts, request: Request) -> list[tuple[int, list[Op]]]:
    """Return the host's side of each barrier sources, with the index of the mount that it comes before.

    The first, with index -1, comes before all mounts.  The others are for sources in the container's own root, which may lie
    below what an earlier mount brought there.
    """
    rounds: dict[int, list[Op]] = {}
    for index, mount in enumerate(config.mounts if has(config.linux, "user") else ()):
        options = mountopts.of(mount)
        who = opener(config, facts, request, index, options)
        if who in BY_HELPER:
            tree, args, doing = Slot(f"mount{index}"), (CHILD, *source(request, mount, options)), newfs.describe(mount)
            ops = rounds.setdefault(-1 if who == HELPER else index, [])
            ops.append(Op("open_tree_by_helper", args, f"/mounts/{index}/source", tree, doing))
            ops += [*ondemand.idmap(config, mount, options, index, doing), Op("give", (tree,))]
    if not rounds:
        return []
    ordered = sorted(rounds)
    rounds[ordered[0]][:0] = ondemand.idmap_namespaces(config)
    rounds[ordered[-1]].append(Op("end_helper"))
    return [(index, barrier("sources", *rounds[index])) for index in ordered]


def child(config: Config, facts: HostFacts, request: Request) -> Iterator[Op]:
    """Yield the child's side of the barrier sources before all mounts; the later ones stand among the mounts."""
    mounts = enumerate(config.mounts if has(config.linux, "user") else ())
    if any(opener(config, facts, request, index, mountopts.of(mount)) == HELPER for index, mount in mounts):
        yield Op("barrier", ("sources",))


def _absolute(request: Request, mount: Mount) -> str:
    """Return the source of MOUNT, which may be relative to the bundle."""
    path = mount.source or ""
    return path if path.startswith("/") else f"{request.bundle}/{path}"


def _inside(directory: str, path: str) -> bool:
    """Return whether PATH is DIRECTORY or below it, as far as the names tell."""
    return f"{paths.clean(path)}/".startswith(f"{paths.clean(directory).rstrip('/')}/")
