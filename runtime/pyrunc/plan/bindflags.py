"""Flags of a bind mount (config.md, "Linux mount options").

A bind mount begins with the flags of its source.  Once one is named, those
that are not are cleared, as `mount --bind -o` is meant to: how access times
are kept stays unless that is named.  What a user namespace may not clear, as
the host's mount has it (mount_namespaces(7)), stays, or is refused where the
configuration names it.
"""

from __future__ import annotations

from pyrunc.linux import mount as m
from pyrunc.plan.mountopts import Options
from pyrunc.plan.namespaces import has
from pyrunc.plan.op import Op, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config

SWITCHES = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC
TIMES = m.MOUNT_ATTR__ATIME | m.MOUNT_ATTR_NODIRATIME


def replace(config: Config, facts: HostFacts, tree: Slot, options: Options, at: str, doing: str) -> Iterator[Op]:
    """Yield the op that gives the top of bind mount TREE the flags that OPTIONS name, and no others."""
    if not options.named:
        return
    chosen = options.attr_set
    clear = SWITCHES | (m.MOUNT_ATTR_NOSYMFOLLOW if facts.has_nosymfollow else 0)
    recursive = options.rec_clr & m.MOUNT_ATTR__ATIME  # then what the tree has got is what was asked for
    if options.attr_clr & m.MOUNT_ATTR__ATIME or (chosen & m.MOUNT_ATTR_NODIRATIME and not recursive):
        clear |= TIMES
    clear = clear & ~(options.rec_set & ~options.attr_clr) | options.rec_set & options.attr_clr
    yield from _change(config, facts, tree, chosen, clear & (~chosen | m.MOUNT_ATTR__ATIME), options, at, doing)


def add(config: Config, facts: HostFacts, tree: Slot, options: Options, at: str, doing: str) -> Iterator[Op]:
    """Yield the op that gives the top of bind mount TREE the flags of OPTIONS beside those that it has."""
    clear = options.attr_clr & (~options.attr_set | m.MOUNT_ATTR__ATIME)
    yield from _change(config, facts, tree, options.attr_set, clear, options, at, doing)


def _change(
    config: Config, facts: HostFacts, tree: Slot, chosen: int, clear: int, options: Options, at: str, doing: str
) -> Iterator[Op]:
    """Yield the op that sets CHOSEN and clears CLEAR; by a step where some of that may be locked."""
    if has(config.linux, "user") or facts.nested:
        args = (tree, chosen, clear, options.attr_clr & SWITCHES & ~chosen, options.undone)
        yield Op("set_bind_flags", args, at, doing=doing)
    else:
        yield Op("mount_setattr", (tree, "", m.AT_EMPTY_PATH, chosen, clear, 0, 0), at, doing=doing)
