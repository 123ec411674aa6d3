"""Whether the container's user gets its cgroup (config-linux.md, "Cgroup ownership").

Only in version 2, only with a cgroup namespace of the container's own, and
only if the hierarchy is mounted for writing: without all three a user could
reach what is not its own, or could do nothing with it.
"""

from __future__ import annotations

from pyrunc.linux.mount import MOUNT_ATTR_RDONLY
from pyrunc.plan import mountopts
from pyrunc.plan.namespaces import has, is_new
from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.paths import Place
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config

MOUNT_POINT = "/sys/fs/cgroup"


def host(config: Config, facts: HostFacts, where: tuple[Place, ...]) -> Iterator[Op]:
    """Yield the host's op that changes the owner of the cgroup, the last of WHERE, if it is to be changed."""
    if not where or not facts.cgroups.unified or not is_new(config.linux, "cgroup"):
        return
    uid = _uid(config)
    for index, mount in enumerate(config.mounts):
        writable = not mountopts.parse(mount.options).attributes & MOUNT_ATTR_RDONLY
        if mount.source == "cgroup" and mount.destination == MOUNT_POINT and writable and uid:
            yield Op("own_cgroup", (where[-1].directory, uid), f"/mounts/{index}", doing="error giving the cgroup away")
            return


def _uid(config: Config) -> int:
    """Return the host's uid of the container's user; 0, which has the cgroup already, where that is not known here."""
    user = 0 if config.process is None else config.process.user.uid
    if not has(config.linux, "user"):
        return user
    for row in config.linux.uidMappings:
        if row.containerID <= user < row.containerID + row.size:
            return row.hostID + user - row.containerID
    return 0
