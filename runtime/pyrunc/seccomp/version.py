"""Which libseccomp there is: its file says it, and it is asked only where that does not."""

from __future__ import annotations

import posix

PATHS = (
    "/usr/lib/x86_64-linux-gnu/libseccomp.so.2",
    "/usr/lib/aarch64-linux-gnu/libseccomp.so.2",
    "/usr/lib64/libseccomp.so.2",
)
PREFIX = "libseccomp.so."


def version() -> str:
    """Return its version, such as 2.5.4: that of the file's name, where it is the usual link; or what it says itself.

    Raises UnsupportedError if there is none.
    """
    for path in PATHS:
        try:
            name = posix.readlink(path).rpartition("/")[2]
        except OSError:
            continue
        if name.startswith(PREFIX) and name.count(".") == PREFIX.count(".") + 2:
            return name.removeprefix(PREFIX)
    return _asked()


def _asked() -> str:
    """Return what the library says (seccomp_version(3))."""
    import ctypes

    from pyrunc.seccomp import library as seccomp

    class Version(ctypes.Structure):
        """struct scmp_version."""

        _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))

    seccomp.load()
    library = ctypes.CDLL(seccomp.loaded_file())  # the one that it has found and uses
    library.seccomp_version.restype = ctypes.POINTER(Version)
    found = library.seccomp_version().contents
    return f"{found.major}.{found.minor}.{found.micro}"
