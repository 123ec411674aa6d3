"""`features`: what this runtime can do (features.md, features-linux.md), taken from the planner's own tables."""

from __future__ import annotations

from pyrunc import __version__
from pyrunc.cgroup import annotated
from pyrunc.linux import caps
from pyrunc.oci import OCI_VERSION, hooks, linux, seccomp
from pyrunc.plan import memorypolicy, mountopts


def mount_options() -> list[str]:
    """Return every mount option that the planner itself understands."""
    return sorted({option for table in mountopts.TABLES for option in table})


def libseccomp_version() -> str:
    """Return the version of the library that compiles filters."""
    import ctypes

    from pyrunc.seccomp import library as seccomp

    class Version(ctypes.Structure):
        """struct scmp_version (seccomp_version(3))."""

        _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))

    library = ctypes.CDLL(seccomp.load()._libseccomp_path)  # the one that pyseccomp has found and uses
    library.seccomp_version.restype = ctypes.POINTER(Version)
    found = library.seccomp_version().contents
    return f"{found.major}.{found.minor}.{found.micro}"


def known_capabilities() -> list[str]:
    """Return the capabilities that this kernel has."""
    import prctl

    return [f"CAP_{name}" for number, name in enumerate(caps.NAMES) if number <= max(prctl.ALL_CAPS)]


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
            "io.github.seccomp.libseccomp.version": libseccomp_version(),
            "org.opencontainers.runc.checkpoint.enabled": "true",  # runc's name: whoever asks, asks for that
            "org.pyrunc.version": __version__,
        },
        # What whoever writes annotations can make a runtime do (features.md, "Unsafe annotations in config.json");
        # "bundle" is runc's, whose hooks and tools read it.
        "potentiallyUnsafeConfigAnnotations": ["bundle", annotated.PREFIX, "org.criu.config"],
    }


__all__ = ["features", "known_capabilities", "libseccomp_version", "mount_options"]
