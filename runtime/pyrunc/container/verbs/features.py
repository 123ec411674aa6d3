"""`features`: what this runtime can do (features.md, features-linux.md), taken from the planner's own tables."""

from __future__ import annotations

from pyrunc import __version__
from pyrunc.cgroup import annotated
from pyrunc.linux import caps, process
from pyrunc.oci import OCI_VERSION, crun, hooks, linux, seccomp
from pyrunc.plan import memorypolicy, mountopts
from pyrunc.seccomp import version


def mount_options() -> list[str]:
    """Return every mount option that the planner itself understands."""
    return sorted({option for table in mountopts.TABLES for option in table})


def known_capabilities() -> list[str]:
    """Return the capabilities that this kernel has and that have a name here; it is asked without /proc, which may be missing."""
    return [f"CAP_{name}" for number, name in enumerate(caps.NAMES) if _has(number)]


def _has(number: int) -> bool:
    """Return whether the kernel knows the capability of that NUMBER (PR_CAPBSET_READ(2const))."""
    try:
        process.prctl(process.PR_CAPBSET_READ, number)
    except OSError:
        return False
    return True


def features() -> dict[str, object]:
    """Return the document that `features` prints."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(hooks.KINDS),
        "mountOptions": mount_options(),
        "linux": {
            "namespaces": sorted(linux.NAMESPACES),
            "capabilities": known_capabilities(),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(seccomp.FLAGS),
                "supportedFlags": sorted(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": {"modes": sorted(memorypolicy.MODE), "flags": sorted(memorypolicy.FLAG)},
            "mountExtensions": {"idmap": {"enabled": "idmap" in mountopts.OURS}},
            "netDevices": {"enabled": True},
        },
        "annotations": {
            "io.github.seccomp.libseccomp.version": version.version(),
            "org.opencontainers.runc.checkpoint.enabled": "true",  # runc's name: whoever asks, asks for that
            "org.pyrunc.version": __version__,
        },
        # What whoever writes annotations can make a runtime do (features.md, "Unsafe annotations in config.json");
        # "bundle" is runc's, whose hooks and tools read it.
        "potentiallyUnsafeConfigAnnotations": ["bundle", annotated.PREFIX, "org.criu.config", *crun.unsafe()],
    }
