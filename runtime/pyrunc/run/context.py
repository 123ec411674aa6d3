"""What both sides of a running plan carry along."""

from __future__ import annotations

from pyrunc.plan.op import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from pyrunc.linux.socket import Socket
    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.steps.executable import Program

    # What steps keep in the context, by what others ask of it: so the context knows none of them.

    class Filter(Protocol):
        """A seccomp filter in memory (steps/filters.py)."""

        address: int
        flags: int

    class Listener(Protocol):
        """The way of a notification descriptor to its agent (steps/listener.py)."""

        def offer(self, fd: int) -> None:
            """Hand FD over."""

        def deliver(self, pid: int) -> bool:
            """Send what process PID has handed over; return whether it has."""

        def release(self) -> None:
            """Let the process go on."""

        def note_failure(self) -> None:
            """Say that the program has not been executed."""

    class MountHelper(Protocol):
        """A process in the container's mount namespace (steps/mountns.py)."""

        def open_tree(self, path: str, flags: int, container: Socket) -> int:
            """Open PATH there."""

        def leave(self) -> None:
            """End it."""

    class Trace(Protocol):
        """What --debug says of a run (trace.py)."""

        def host(self, do: Callable[[Op, Plan, Context], None]) -> Callable[[Op, Plan, Context], None]:
            """Return what does an op of the host's as DO, and says so."""

        def child(self, do: Callable[[Op, Context], None], plan: Plan, sock: Socket) -> Callable[[Op, Context], None]:
            """Return what does an op of PLAN as DO, and tells of it through SOCK."""

        def told(self, plan: Plan, index: int, times: tuple[int, int], chosen: str) -> None:
            """Say what the child of PLAN has told of op INDEX."""

    class BoundRootfs(Protocol):
        """A rootfs mounted in the caller's own mount namespace (steps/bindroot.py)."""

        def unmount(self) -> None:
            """Take it away."""

        def close(self) -> None:
            """Leave it there."""

    class MovedDevices(Protocol):
        """Network devices on their way (steps/netdevices.py)."""

        def move(self, name: str, new: str) -> None:
            """Move device NAME."""

        def give_back(self, name: str) -> None:
            """Move the device that was called NAME back."""

        def close(self) -> None:
            """Be done."""


# Slots that belong to the caller, who opened or takes them over.
CALLERS = ("child", "master", "init", "start", "result")


def _nothing(*_: object) -> None:
    """Do nothing: what a caller leaves out."""


class Context:
    """The values behind a plan's slots, and what the caller hangs in.

    `slots` maps slot names to descriptors (and `child` to a pid), those that
    the caller opened among them.  `state` is what hooks get on standard input,
    without status and pid.  `commit` is called at barrier `ready`, `terminal`
    with the master of the container's terminal.  `private` descriptors are
    closed in the child at once: a lock lives as long as any copy of it.
    `debug` gets a line for each op; None if nobody wants it.
    `warn` tells a person what is no error.
    `note` is called with tokens as soon as they are there, so that they
    outlive us, `waits_for` with the pid of each hook of the host's; `tokens`
    are all of them, in order, and `ours` the cgroups that were not there
    before.  `claims` are descriptors that keep others out until
    the plan has run; `left` says what undoing has not been able to take back.
    `root_mount` is the id of the mount that was the root of a container that is to
    be joined, when it was made; 0 if nobody could see that.
    """

    def __init__(
        self,
        slots: dict[str, int],
        state: dict[str, object],
        commit: Callable[[int], None] = _nothing,
        terminal: Callable[[int], None] = _nothing,
        private: tuple[int, ...] = (),
        debug: Callable[[str], None] | None = None,
        warn: Callable[[str], None] = _nothing,
        note: Callable[[tuple[Token, ...]], None] = _nothing,
        waits_for: Callable[[int], None] = _nothing,
        root_mount: int = 0,
    ) -> None:
        """Begin with the SLOTS that the caller opened."""
        self.slots: dict[str, Any] = dict(slots)
        self.root_mount = root_mount
        self.state = state
        self.commit = commit
        self.terminal = terminal
        self.private = private
        self.debug = debug
        self.trace: Trace | None = None
        self.warn = warn
        self.note = note
        self.waits_for = waits_for
        self.tokens: list[Token] = []
        self.ours: set[str] = set()
        self.claims: list[int] = []
        self.left: list[str] = []
        self.pidfd = -1  # of the child
        self.sock: Socket | None = None
        self.moved = False  # whether the child has forked again, and said so
        self.made: set[int] = set()
        self.empty_attached = False
        self.masked: set[str] = set()  # places below the root that are hidden, and those that are read-only
        self.protected: set[str] = set()
        self.filter: Filter | None = None
        self.listener: Listener | None = None
        self.filtered = False  # whether the filter is on, in the new process
        self.home: str | None = None  # of the container's user, once it has been looked up
        self.root = -1
        self.programs: list[Program] = []
        self.program: Program | None = None
        self.names, self.name, self.number = -1, "", -1  # a directory, the program's name in it, the descriptor behind that
        self.own_inode = (0, 0)
        self.mount_helper: MountHelper | None = None
        self.devices: MovedDevices | None = None
        self.rootfs: BoundRootfs | None = None

    def record(self, *tokens: Token) -> None:
        """Keep TOKENS, of what has just been made."""
        self.tokens += tokens
        self.note(tokens)
