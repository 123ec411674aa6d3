"""Limits of /process/rlimits that nobody can raise so far (getrlimit(2), proc_sys_fs(5))."""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

NR_OPEN = "/proc/sys/fs/nr_open"


def errors(config: Config) -> Iterator[UnsupportedError]:
    """Yield an error for each limit of CONFIG above what this machine lets anybody have."""
    try:
        most = int(read(NR_OPEN))
    except (OSError, ValueError):
        return
    for index, limit in enumerate(config.process.rlimits if config.process else ()):
        if limit.type == "RLIMIT_NOFILE" and limit.hard > most:
            text = f"error setting rlimit {limit.type}: operation not permitted: {limit.hard} is above {NR_OPEN}, {most}"
            yield UnsupportedError(text, pointer=f"/process/rlimits/{index}/hard", hint=f"ask for at most {most}")
