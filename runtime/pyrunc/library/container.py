"""Containers, for programs without an event loop.  pyrunc.aio has the same for asyncio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pyrunc.helper import message
from pyrunc.library import bundle as bundles
from pyrunc.library import channel, requests, state
from pyrunc.library.process import Process, Waited
from pyrunc.library.state import State
from pyrunc.library.streams import Stream, Streams

if TYPE_CHECKING:
    from pyrunc.library.bundle import Bundle, Path


class Container(Waited):
    """A container that this program has made or found: all that the command line can do to it, and more.

    Made by `create`, `run` or `find`.  As a context manager it is removed at the end, whatever state it is in, and even if this
    program is killed meanwhile.  Without `with` it stays until somebody deletes it.  `id` and `root` say where its state is:
    the command line sees the same containers.
    """

    def __init__(self, id: str, root: str, made: requests.Made, streams: Streams | None = None) -> None:
        """Take what was MADE; for the class methods."""
        super().__init__(made, streams)
        self.id: str = id
        self.root: str = root
        self._created = made.created
        self._gone = False

    def __repr__(self) -> str:
        """Show which one it is."""
        return f"<Container {self.id} in {self.root}>"

    @classmethod
    def create(
        cls,
        bundle: Bundle | Path,
        id: str | None = None,
        *,
        root: Path | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        systemd_cgroup: bool = False,
        no_pivot: bool = False,
    ) -> Self:
        """Make a container of BUNDLE, whose program waits for `start`.

        ID is its name, which must be free below ROOT, the directory for state (None: the command line's); None: a random one.
        The streams are as for subprocess: PIPE, DEVNULL, STDOUT (for stderr), a descriptor, a file; None: those of this program.
        SYSTEMD_CGROUP has systemd make its cgroup; NO_PIVOT is runc's --no-pivot.

        Raises ConfigError for what is wrong in the configuration, UnsupportedError for what this host cannot do, StateError if ID
        is taken, HookError, and OpError for what the kernel refused.  Then nothing of it stays.
        """
        return cls._make(
            bundle, id, root, (stdin, stdout, stderr), start=False, systemd_cgroup=systemd_cgroup, no_pivot=no_pivot
        )

    @classmethod
    def run(
        cls,
        bundle: Bundle | Path,
        id: str | None = None,
        *,
        root: Path | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        systemd_cgroup: bool = False,
        no_pivot: bool = False,
    ) -> Self:
        """Make a container of BUNDLE and start it, in one go; parameters and errors are those of `create`.

        Returns when its program runs.  If that cannot be started, OpError or HookError is raised, and nothing of it stays.
        """
        return cls._make(
            bundle, id, root, (stdin, stdout, stderr), start=True, systemd_cgroup=systemd_cgroup, no_pivot=no_pivot
        )

    @classmethod
    def _make(
        cls,
        bundle: Bundle | Path,
        id: str | None,
        root: Path | None,
        given: Sequence[Stream],
        *,
        start: bool,
        **options: bool,
    ) -> Self:
        """Do what `create` does, or `run` with START."""
        name, where = requests.new_id() if id is None else id, state.root_of(root)
        streams = Streams(*given)
        try:
            call = requests.create(bundles.of(bundle), name, where, streams, given, start=start, options=options)
            return cls(name, where, channel.perform(call), streams)
        finally:
            streams.close_theirs()
            streams.close()  # what the container has not taken

    @classmethod
    def find(cls, id: str, root: Path | None = None) -> Self:
        """Return container ID below ROOT (None: where the command line keeps its state), whoever has made it.

        Raises StateError if there is none.
        """
        where = state.root_of(root)
        return cls(id, where, channel.perform(requests.attach(id, where)))

    @staticmethod
    def list(root: Path | None = None) -> Sequence[State]:
        """Return the states of all containers below ROOT (None: where the command line keeps them), sorted by id."""
        return state.states(root)

    def state(self) -> State:
        """Return its state now.  Raises StateError if it is there no more."""
        return state.state(self.root, self.id)

    def start(self) -> None:
        """Let the program of a created container run; returns when it does, and poststart hooks have.

        Raises StateError unless it is created, OpError if its program could not be started, HookError.
        """
        self._do("start")

    def exec(
        self,
        args: Sequence[str] | None = None,
        *,
        process: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: int | str | None = None,
        terminal: bool = False,
        capabilities: Sequence[str] = (),
        no_new_privileges: bool = False,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Process:
        """Run one more process in it, and return that.

        ARGS are program and arguments; environment, directory and the rest are those of the container's own process but for what
        is said here: USER is a name or id of its files, or UID:GID; CAPABILITIES are added.  Or PROCESS is a whole document, as
        /process of config.json.  Streams are as for `create`; with TERMINAL there is one instead.

        Raises StateError unless the container is created or running, OpError if the program could not be executed.
        """
        given = (stdin, stdout, stderr)
        streams = Streams(*given)
        options = {
            "cwd": cwd,
            "user": None if user is None else str(user),
            "terminal": terminal,
            "capabilities": list(capabilities),
            "no_new_privileges": no_new_privileges,
        }
        try:
            call = requests.exec_(
                self.id, self.root, args, streams, given, process=process, env=env, options=options
            )
            return Process(channel.perform(call), streams)
        finally:
            streams.close_theirs()
            streams.close()

    def kill(self, signal: int | str | None = None, *, all: bool = False) -> None:
        """Send its init SIGNAL: a number or a name; None: the one that its image names for an orderly end, or SIGTERM.

        ALL sends it to each of its processes.  Raises StateError unless it is created, running or paused.
        """
        self._do("kill", number=state.signal_number(self.root, self.id, signal), all=all)

    def pause(self) -> None:
        """Suspend all of its processes.  Raises StateError unless it is created or running."""
        self._do("pause")

    def resume(self) -> None:
        """Let them go on.  Raises StateError unless it is paused."""
        self._do("resume")

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change the limits that RESOURCES names, a document as /linux/resources; -1 is unlimited.  All is changed, or nothing.

        Raises ConfigError for what is none, StateError unless it is created, running or paused, OpError.
        """
        channel.perform(requests.update(self.id, self.root, resources))

    def stats(self) -> dict[str, Any]:
        """Return what it uses now: the document of `pyrunc events --stats` below `data`; memory in bytes, time in nanoseconds.

        Raises StateError if it does not run.
        """
        return state.stats(self.root, self.id)

    def ps(self) -> Sequence[int]:
        """Return the pids of its processes, as the host has them."""
        return state.pids(self.root, self.id)

    def events(self, interval: float = 5.0) -> Iterator[dict[str, Any]]:
        """Yield an event with statistics every INTERVAL seconds, and one of type `oom` whenever it runs out of memory.

        Ends when the container does.  Raises StateError if it does not run.
        """
        answers = channel.begin(requests.plain("events", self.id, self.root, interval=interval))
        try:
            while "event" in (head := channel.receive(answers).head):
                yield head["event"]
        finally:
            answers.close()

    def delete(self, *, force: bool = False) -> None:
        """Remove it: its cgroups and its state; then its poststop hooks run.

        One that is created is ended before.  FORCE ends what runs, too, and is content if there is nothing any more.
        Raises StateError otherwise.
        """
        self._do("delete", force=force)
        self._let_go()

    def close(self) -> None:
        """Let go of it, and of its streams: it stays as it is, and can be found again."""
        self._ended.say(message.LEAVE)
        self._close_streams()
        self._ended.close()

    def _do(self, name: str, **more: Any) -> None:
        """Do call NAME."""
        channel.perform(requests.plain(name, self.id, self.root, **more))

    def _let_go(self) -> None:
        """Know that it is gone."""
        self._gone = True
        self._ended.let_go()

    def __enter__(self) -> Self:
        """Own it: from here on it goes when this block ends, or this program."""
        self._ended.say(message.OWN)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, and no later one of its id; close all that is held of it."""
        try:
            if not self._gone:
                self._do("remove", created=self._created)
                self._let_go()
        finally:
            self._close_streams()
            self._ended.close()
