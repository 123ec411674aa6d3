"""What a caller asks for, beside config.json."""

from __future__ import annotations

from pyrunc.record import Record


class Request(Record):
    """A create, run or exec, as plain values.

    Paths are absolute.  `preserve_fds` is the number of descriptors from 3 on that stay open.  `wait` says whether the
    new init waits for `start` before it executes the program, `systemd` whether systemd makes the cgroups, `rootless`
    whether cgroups that may not be written are tolerated (None: if this process is not the machine's root).
    `own_mounts` says that the mount namespace to be joined is the one that the caller is in.
    """

    id: str
    bundle: str = "/"
    rootfs: str = ""
    wait: bool = False
    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0
    seccomp_cache: str = ""
    systemd: bool = False
    rootless: bool | None = None
    own_mounts: bool = False
