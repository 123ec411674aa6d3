"""What a caller asks for, beside config.json."""

from __future__ import annotations

from pyrunc.record import Record


class Request(Record):
    """A create, run or exec, as plain values.

    Paths are absolute.  `listen_fds` sockets from descriptor 3 on stay open, called `listen_names` (sd_listen_fds(3)), and
    after them `preserve_fds` other descriptors.  `wait` says whether the
    new init waits for `start` before it executes the program, `systemd` whether systemd makes the cgroups,
    `cgroups` whether there are any of the container's own, `rootless`
    whether cgroups that may not be written are tolerated (None: if this process is not the machine's root).
    `own_mounts` says that the mount namespace to be joined is the one that the caller is in, `traced` whether processes
    in the pid namespace that an exec joins may have CAP_SYS_PTRACE.
    `live` says that the container is there already, and mounts are made in it.
    `keep_groups` says that the process keeps the supplementary groups of who calls.
    `links` has, for each mount with copy-symlink whose source is a symbolic link, its index and what the link says.
    """

    id: str
    bundle: str = "/"
    rootfs: str = ""
    wait: bool = False
    no_pivot: bool = False
    no_new_keyring: bool = False
    listen_fds: int = 0
    listen_names: str = ""
    preserve_fds: int = 0
    seccomp_cache: str = ""
    systemd: bool = False
    cgroups: bool = True
    rootless: bool | None = None
    own_mounts: bool = False
    traced: bool = False
    live: bool = False
    keep_groups: bool = False
    links: tuple[tuple[int, str], ...] = ()
