"""What a caller asks for, beside config.json."""

from __future__ import annotations

from pyrunc.record import Record


class Request(Record):
    """A create, run or exec, as plain values.

    Paths are absolute.  `console` says whether somebody takes the terminal's
    master (a console socket or a foreground caller).  `preserve_fds` is the
    number of descriptors from 3 on that stay open.  `wait` is the directory
    with the fifo on which the new init waits for `start`, empty for none.
    """

    id: str
    bundle: str = "/"
    rootfs: str = ""
    wait: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0
    detach: bool = False
    seccomp_cache: str = ""
