"""What a caller may ask of create, run, restore and exec; one record each, no defaults from the environment."""

from __future__ import annotations

from pyrunc.container import store
from pyrunc.log import Log
from pyrunc.plan.request import Request
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.host.facts import HostFacts

DEFAULT_ROOT = "/run/pyrunc"


class CreateOptions(Record):
    """How to create container `id` from the bundle at `bundle`.

    `listen_fds` sockets from descriptor 3 on are for the container, called `listen_names` (sd_listen_fds(3)), and
    `notify_socket` is where its readiness is told (sd_notify(3)); "" for nowhere.
    `facts` are what a caller knows of the machine already; None: look.  `rootless` says whether cgroups that may not be
    written are tolerated; None: if this process is not the machine's root.  Without `cgroups` the container gets none, and
    stays in the caller's.
    `config` is the text of config.json, None for the one in the bundle.  `console` takes the master of the terminal in place of
    a console socket, and `told` the pid of the init once it is ready: for a caller that is no command line.
    """

    id: str
    root: str = DEFAULT_ROOT
    bundle: str = ""
    console_socket: str = ""
    pid_file: str = ""
    pidfd_socket: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    listen_fds: int = 0
    listen_names: str = ""
    notify_socket: str = ""
    preserve_fds: int = 0
    systemd_cgroup: bool = False
    cgroups: bool = True
    rootless: bool | None = None
    log: Log = Log()
    facts: HostFacts | None = None
    config: bytes | None = None
    console: Callable[[int], None] | None = None
    told: Callable[[int], None] | None = None


class RunOptions(CreateOptions):
    """How to create and start it in one go."""

    detach: bool = False
    keep: bool = False
    no_subreaper: bool = False


class ExecOptions(Record):
    """What to add to running container `id`.

    `process` is the path of a process document; without it the container's
    own process is taken, with these changes.  `listen_fds` and `listen_names` are as for create.
    """

    id: str
    root: str = DEFAULT_ROOT
    process: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    env: tuple[str, ...] = ()
    tty: bool = False
    user: str | None = None
    additional_gids: tuple[int, ...] = ()
    detach: bool = False
    pid_file: str = ""
    console_socket: str = ""
    process_label: str = ""
    apparmor: str = ""
    no_new_privs: bool = False
    caps: tuple[str, ...] = ()
    listen_fds: int = 0
    listen_names: str = ""
    preserve_fds: int = 0
    ignore_paused: bool = False
    cgroup: tuple[str, ...] = ()
    pidfd_socket: str = ""
    log: Log = Log()
    document: bytes | None = None
    console: Callable[[int], None] | None = None
    told: Callable[[int], None] | None = None


def common_request(options: CreateOptions | ExecOptions, bundle: str) -> Request:
    """Return the planner's request for what create and exec have in common; the container is that of BUNDLE."""
    return Request(
        id=options.id,
        bundle=bundle,
        listen_fds=options.listen_fds,
        listen_names=options.listen_names,
        preserve_fds=options.preserve_fds,
        seccomp_cache=f"{options.root}/{store.SECCOMP_CACHE}",
    )
