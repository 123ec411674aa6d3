"""What `--version` prints: the lines that engines look for."""

from __future__ import annotations

import sys

from pyrunc import __version__
from pyrunc.commit import COMMIT
from pyrunc.oci import OCI_VERSION


def text() -> str:
    """Return the lines."""
    from pyrunc.seccomp.version import version

    lines = [
        f"pyrunc version {__version__}",
        f"commit: {COMMIT}",
        f"spec: {OCI_VERSION}",
        "python: " + ".".join(map(str, sys.version_info[:3])),
        f"libseccomp: {version()}",
    ]
    return "\n".join(lines) + "\n"
