"""The configuration that `spec` writes: what `runc spec` writes, without inheritable capabilities."""

from __future__ import annotations

from pyrunc.oci import OCI_VERSION

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
SAFE = ["nosuid", "noexec", "nodev"]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, object]:
    """Return one mount."""
    made: dict[str, object] = {"destination": destination, "type": kind, "source": source}
    if options:
        made["options"] = list(options)
    return made


def _mounts() -> list[dict[str, object]]:
    """Return the mounts of a container that root makes."""
    return [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/dev/shm", "tmpfs", "shm", *SAFE, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", *SAFE),
        _mount("/sys", "sysfs", "sysfs", *SAFE, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *SAFE, "relatime", "ro"),
    ]


def default_config(rootless_uid: int = -1, gid: int = 0, *, unified: bool = False) -> dict[str, object]:
    """Return a configuration; for the user with ROOTLESS_UID and GID, if that is not -1.

    On a UNIFIED host, which has cgroup version 2 alone, it has a cgroup namespace, as runc's.
    """
    linux: dict[str, object] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", *(["cgroup"] if unified else []))],
        "maskedPaths": MASKED,
        "readonlyPaths": READONLY,
    }
    mounts = _mounts()
    if rootless_uid >= 0:
        linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
        linux["uidMappings"] = [{"containerID": 0, "hostID": rootless_uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
        del linux["resources"]
        mounts = [_for_rootless(mount) for mount in mounts]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pyrunc",
        "mounts": mounts,
        "linux": linux,
    }


def _for_rootless(mount: dict[str, object]) -> dict[str, object]:
    """Return MOUNT as a user without privileges can have it."""
    options = mount.get("options")
    if mount["destination"] == "/sys":
        return _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    if isinstance(options, list):
        return {**mount, "options": [o for o in options if not str(o).startswith(("gid=", "uid="))]}
    return mount
