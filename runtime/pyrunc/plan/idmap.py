"""idmap, ridmap, uidMappings and gidMappings of a mount (config.md, "Linux mount options").

mount_setattr(2) takes the mapping from a user namespace: the container's own,
or one that a helper process makes for nothing else.  It wants privileges over
the file system, which root of a container's user namespace does not have: so
there the host does it, before it hands the mount over.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.linux import mount as m
from pyrunc.plan import mountopts
from pyrunc.plan.mountopts import idmapped
from pyrunc.plan.namespaces import has, is_new, mapping_lines
from pyrunc.plan.op import CHILD, Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.mounts import Mount

VALUED = ("idmap=", "ridmap=")
OWN = Slot("idmap-own")
JOINED = Slot("ns-user")  # which namespaces.host opens


def check(config: Config, facts: HostFacts, mount: Mount, options: mountopts.Options, at: str) -> None:
    """Refuse what no mapping can be made of, and file systems that cannot have one.

    Whether the source of a bind mount can, the kernel says when it is asked.
    """
    if bool(mount.uidMappings) != bool(mount.gidMappings):
        missing = "gidMappings" if mount.uidMappings else "uidMappings"
        pointer = f"{at}/{missing}" if not valued(mount) else where(mount, at)
        raise ConfigError(f"{missing} is missing", pointer=pointer, hint="a mount takes both mappings, or none")
    if not mount.uidMappings and not has(config.linux, "user"):
        raise ConfigError(
            "an idmapped mount without mappings, in a container without a user namespace",
            pointer=f"{at}/options/{_index(mount)}",
            hint="add uidMappings and gidMappings to the mount",
        )
    pointer = where(mount, at)
    if facts.user:
        hint = "run pyrunc as root, or remove the mapping"
        raise UnsupportedError("an ordinary user cannot idmap a mount", pointer=pointer, hint=hint)
    if options.bind:
        return
    if has(config.linux, "user") or mount.type in ("cgroup", "cgroup2"):
        raise UnsupportedError(
            f"a new {mount.type} cannot be idmapped" + (" in a user namespace" if has(config.linux, "user") else ""),
            pointer=pointer,
            hint="only bind mounts can; a new file system has the ids of the container's user namespace anyway",
        )
    if mount.type == "tmpfs" and not facts.idmaps_tmpfs:
        hint = "tmpfs can since Linux 6.3"
        raise UnsupportedError("this kernel cannot idmap a tmpfs", pointer=pointer, hint=hint)


def valued(mount: Mount) -> bool:
    """Return whether an option of MOUNT has mappings of its own (plan/idmapoption.py)."""
    return any(word.startswith(VALUED) for word, _ in mountopts.split(mount.options))


def where(mount: Mount, at: str) -> str:
    """Return the pointer to what says how MOUNT, found AT, is mapped."""
    own = (mount.uidMappings or mount.gidMappings) and not valued(mount)
    return f"{at}/uidMappings" if own else f"{at}/options/{_index(mount)}"


def _index(mount: Mount) -> int:
    """Return which option of MOUNT asks for it."""
    return mountopts.place(mount, "idmap", "ridmap")


def _slot(config: Config, index: int) -> Slot:
    """Return the slot of the user namespace that mount INDEX takes its mapping from: one for all that say the same."""
    asked = _mapping(config.mounts[index])
    linux = config.linux
    if has(linux, "user") and not is_new(linux, "user") and not asked[0]:
        return JOINED
    if is_new(linux, "user") and (not asked[0] or asked == (linux.uidMappings, linux.gidMappings)):
        return OWN
    first = next(i for i, mount in enumerate(config.mounts) if _mapping(mount) == asked)
    return Slot(f"idmap{first}")


def _mapping(mount: Mount) -> tuple[object, object]:
    """Return both mappings of MOUNT."""
    return mount.uidMappings, mount.gidMappings


def namespaces(config: Config) -> list[Op]:
    """Return the host's ops that open, or make, the user namespaces of all mappings."""
    ops: list[Op] = []
    done: set[Slot] = {JOINED}
    for index, mount in enumerate(config.mounts):
        slot = _slot(config, index) if idmapped(mount) else JOINED
        if slot in done:
            continue
        done.add(slot)
        at = where(config.mounts[index], f"/mounts/{index}")
        if slot == OWN:
            ops.append(Op("open_process_namespace", (CHILD, "user"), "/linux/uidMappings", slot))
        else:
            args = (mapping_lines(mount.uidMappings), mapping_lines(mount.gidMappings))
            ops.append(Op("make_user_namespace", args, at, slot, "error making the user namespace of an idmapped mount"))
    return ops


def apply(config: Config, mount: Mount, options: mountopts.Options, index: int, doing: str) -> Iterator[Op]:
    """Yield the op that gives the detached MOUNT, number INDEX, its mapping."""
    flags = m.AT_EMPTY_PATH | (m.AT_RECURSIVE if "ridmap" in options.ours else 0)
    at = where(mount, f"/mounts/{index}")
    args = (Slot(f"mount{index}"), "", flags, m.MOUNT_ATTR_IDMAP, 0, 0, _slot(config, index))
    yield Op("mount_setattr", args, at, doing=doing)
