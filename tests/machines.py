"""Fixed machines for plans: what a probe would have found there, so that no plan depends on where the tests run."""

from __future__ import annotations

from pyrunc.host import cgroups
from pyrunc.host.facts import HostFacts

V1_GROUPS = ("cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "freezer", "net_cls,net_prio", "pids", "hugetlb", "rdma")
V1_MOUNTS = "".join(
    f"{30 + i} 24 0:{27 + i} / /sys/fs/cgroup/{group} rw,nosuid,nodev,noexec,relatime shared:{9 + i} - cgroup cgroup rw,{group}\n"
    for i, group in enumerate(V1_GROUPS)
)
SYSTEMD_MOUNT = (
    "29 24 0:26 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:8 - cgroup cgroup rw,xattr,name=systemd\n"
)
V1_OWN = "".join(f"{12 - i}:{group}:/engine\n" for i, group in enumerate(V1_GROUPS)) + "1:name=systemd:/engine/scope\n"
HYBRID_MOUNT = "28 24 0:25 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:7 - cgroup2 cgroup2 rw,nsdelegate\n"
V2_MOUNT = "28 23 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:7 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHER_MOUNTS = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n23 22 0:21 / /sys rw shared:2 - sysfs sysfs rw\n"

MOUNTINFO = {
    "v1": OTHER_MOUNTS + SYSTEMD_MOUNT + V1_MOUNTS,
    "v2": OTHER_MOUNTS + V2_MOUNT,
    "hybrid": OTHER_MOUNTS + HYBRID_MOUNT + SYSTEMD_MOUNT + V1_MOUNTS,
}
OWN = {"v1": V1_OWN, "v2": "0::/engine/scope\n", "hybrid": V1_OWN + "0::/engine/scope\n"}


def machine(kind: str, kernel: tuple[int, int] = (6, 1), *, apparmor: bool = True) -> HostFacts:
    """Return a machine with cgroups of KIND: "v1", "v2" or "hybrid"."""
    return HostFacts(kernel=kernel, last_cap=40, apparmor=apparmor, cgroups=cgroups.parse(MOUNTINFO[kind], OWN[kind]))


MACHINES = {kind: machine(kind) for kind in MOUNTINFO}
MACHINES["v2-6.14"] = machine("v2", (6, 14))


def of_user(found: HostFacts) -> HostFacts:
    """Return FOUND as an ordinary user finds it, who may make no cgroups."""
    v1 = {name: each.replace(writable=False) for name, each in found.cgroups.v1.items()}
    v2 = found.cgroups.v2 and found.cgroups.v2.replace(writable=False)
    return found.replace(uid=1000, gid=1000, capabilities=0, cgroups=cgroups.Cgroups(v1, v2))


MACHINES["v1-user"], MACHINES["v2-user"] = of_user(MACHINES["v1"]), of_user(MACHINES["v2"])
