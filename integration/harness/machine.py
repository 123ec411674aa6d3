"""What kind of machine the tests run on."""

from __future__ import annotations

from pathlib import Path

SCRATCH = Path("/scratch")  # of the virtual machine, whose /tmp is a tmpfs without devices and set-id bits
