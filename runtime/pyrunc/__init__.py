"""pyrunc: an OCI runtime for Linux.  See docs/architecture.md for the way in."""

__version__ = "0.1.0"
