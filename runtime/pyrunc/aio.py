"""The library for asyncio: the same containers and processes, with methods to await.

Nothing here has a thread, and nothing polls: the event loop waits for sockets and for descriptors of processes (pidfd_open(2)).
A method that is cancelled gives its call up: what is half made is undone before CancelledError comes out.
"""

from __future__ import annotations

import asyncio
import os
import signal as signals
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pyrunc.helper import message
from pyrunc.library import bundle as bundles
from pyrunc.library import channel, requests, state
from pyrunc.library.held import Held
from pyrunc.library.state import State
from pyrunc.library.streams import DEVNULL, PIPE, STDOUT, Stream, Streams

if TYPE_CHECKING:
    from pyrunc.library.bundle import Bundle, Path
    from pyrunc.library.channel import Answer, Call

T = TypeVar("T")

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Container", "Process"]


async def _readable(fd: int, seconds: float | None = None) -> None:
    """Wait until FD can be read, for so many SECONDS at most; None: for ever."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    # A copy, as a loop keeps one reader for each descriptor, and several tasks may wait for the end of one process.
    copy = os.dup(fd)
    try:
        loop.add_reader(copy, _settle, ready)
        try:
            await asyncio.wait((ready,), timeout=seconds)
        finally:
            loop.remove_reader(copy)
    finally:
        os.close(copy)


def _settle(ready: asyncio.Future[None]) -> None:
    """Say that there is something to read, once."""
    if not ready.done():
        ready.set_result(None)


async def _receive(answers: socket.socket) -> Answer:
    """Wait for what comes next by socket ANSWERS, and return it; raise what channel.receive raises."""
    while True:
        try:
            return channel.receive(answers)
        except BlockingIOError:
            await _readable(answers.fileno())


async def _perform(call: Call[T]) -> T:
    """Do CALL.  When this is cancelled, the call is given up, and CancelledError comes when that is undone."""
    answers = channel.begin(call)
    try:
        answers.setblocking(False)
        try:
            return channel.accept(call, answers, await _receive(answers))
        except asyncio.CancelledError:
            channel.give_up(answers)
            await _await_undone(answers)
            raise
    finally:
        answers.close()


async def _perform_surely(call: Call[T]) -> T:
    """Do CALL, which takes back what was made; when this is cancelled, CancelledError comes when that is done."""
    answers, cancelled = channel.begin(call), False
    try:
        answers.setblocking(False)
        while True:
            try:
                made = channel.accept(call, answers, await _receive(answers))
                break
            except asyncio.CancelledError:
                cancelled = True
    finally:
        answers.close()
    if cancelled:
        raise asyncio.CancelledError
    return made


async def _await_undone(answers: socket.socket) -> None:
    """Wait until the worker behind ANSWERS has ended, however often that is cancelled; who cancels twice does not wait."""
    try:
        while True:
            await _readable(answers.fileno())
            if not channel.drop(answers):
                return
    except OSError:
        return


class _Pipes:
    """Our ends of a process's streams: of asyncio where PIPE was asked for, else None.

    They are there before the process is: what is awaited after it has come into being could be cancelled.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self.transports: list[asyncio.BaseTransport] = []

    @classmethod
    async def open(cls, streams: Streams) -> Self:
        """Open our ends of STREAMS."""
        self = cls()
        try:
            self.stdout, self.stderr = await self._reader(streams, "stdout"), await self._reader(streams, "stderr")
            self.stdin = await self._writer(streams)
        except BaseException:
            self.close()
            raise
        return self

    async def _reader(self, streams: Streams, name: str) -> asyncio.StreamReader | None:
        """Open our end of stream NAME, if there is one."""
        if (fd := streams.take(name)) is None:
            return None
        reader = asyncio.StreamReader()
        file = open(fd, "rb", buffering=0)  # noqa: SIM115 - the transport closes it
        try:
            connecting = asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
            self.transports.append((await connecting)[0])
        except BaseException:
            file.close()
            raise
        return reader

    async def _writer(self, streams: Streams) -> asyncio.StreamWriter | None:
        """Open our end of standard input, if there is one."""
        if (fd := streams.take("stdin")) is None:
            return None
        loop = asyncio.get_running_loop()
        file = open(fd, "wb", buffering=0)  # noqa: SIM115 - the transport closes it
        try:
            transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
        except BaseException:
            file.close()
            raise
        self.transports.append(transport)
        return asyncio.StreamWriter(transport, protocol, None, loop)

    def close(self) -> None:
        """Close them."""
        for transport in self.transports:
            transport.close()


class _Waited(Held):
    """A process that can be waited for, with its streams."""

    def __init__(self, made: requests.Made, pipes: _Pipes) -> None:
        """Take what was MADE, and its PIPES."""
        super().__init__(made)
        self._pipes = pipes
        self.stdin: asyncio.StreamWriter | None = pipes.stdin
        self.stdout: asyncio.StreamReader | None = pipes.stdout
        self.stderr: asyncio.StreamReader | None = pipes.stderr

    def _close_streams(self) -> None:
        """Close our ends of the streams."""
        self._pipes.close()
        self._hang_up()

    async def wait(self) -> int:
        """Wait for it to end, and return its exit status; less than 0: the signal that ended it, as -9.

        `asyncio.timeout` limits it.  Of what another program has made, the exit status is known from Linux 6.15 on; else
        StateError is raised when it has ended.
        """
        while not self._ended.look():
            await _readable(self._ended.fd(), self._ended.patience())
        assert self._ended.status is not None
        return self._ended.status


class Process(_Waited):
    """A process that `Container.exec` has started.  As a context manager it is killed at the end, if it still runs."""

    def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send it SIGNAL.  Raises ProcessLookupError if it has ended."""
        if self._ended.pidfd < 0:
            raise ProcessLookupError("the process has ended")
        signals.pidfd_send_signal(self._ended.pidfd, signal)

    def close(self) -> None:
        """Let go of it: it goes on by itself, and can be waited for no more."""
        self._close_streams()
        self._ended.close()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, and close all that is held of it."""
        try:
            self.kill()
            await self.wait()
        except ProcessLookupError:
            pass  # it has by itself
        finally:
            self.close()


class Container(_Waited):
    """A container: what pyrunc.Container is, with methods to await; its `stdin`, `stdout` and `stderr` are streams of asyncio.

    As a context manager (`async with await Container.run(...)`) it is removed at the end, and even if this program is killed.
    """

    def __init__(self, id: str, root: str, made: requests.Made, pipes: _Pipes) -> None:
        """Take what was MADE; for the class methods."""
        super().__init__(made, pipes)
        self.id: str = id
        self.root: str = root
        self._created = made.created
        self._gone = False

    def __repr__(self) -> str:
        """Show which one it is."""
        return f"<aio.Container {self.id} in {self.root}>"

    @classmethod
    async def create(
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
        """Make a container of BUNDLE, whose program waits for `start`: see pyrunc.Container.create."""
        return await cls._make(
            bundle, id, root, (stdin, stdout, stderr), start=False, systemd_cgroup=systemd_cgroup, no_pivot=no_pivot
        )

    @classmethod
    async def run(
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
        """Make a container of BUNDLE and start it, in one go: see pyrunc.Container.run."""
        return await cls._make(
            bundle, id, root, (stdin, stdout, stderr), start=True, systemd_cgroup=systemd_cgroup, no_pivot=no_pivot
        )

    @classmethod
    async def _make(
        cls, bundle: Bundle | Path, id: str | None, root: Path | None, given: Sequence[Stream], *, start: bool, **options: bool
    ) -> Self:
        """Do what `create` does, or `run` with START."""
        name, where = requests.new_id() if id is None else id, state.root_of(root)
        streams, pipes = Streams(*given), None
        try:
            call = requests.create(bundles.of(bundle), name, where, streams, given, start=start, options=options)
            pipes = await _Pipes.open(streams)
            made = await _perform(call)
        except BaseException:
            if pipes is not None:
                pipes.close()
            raise
        finally:
            streams.close_theirs()
            streams.close()
        return cls(name, where, made, pipes)

    @classmethod
    async def find(cls, id: str, root: Path | None = None) -> Self:
        """Return container ID below ROOT, whoever has made it: see pyrunc.Container.find."""
        where = state.root_of(root)
        return cls(id, where, await _perform(requests.attach(id, where)), _Pipes())

    @staticmethod
    def list(root: Path | None = None) -> Sequence[State]:
        """Return the states of all containers below ROOT, sorted by id.  Waits for nothing."""
        return state.states(root)

    def state(self) -> State:
        """Return its state now.  Waits for nothing.  Raises StateError if it is there no more."""
        return state.state(self.root, self.id)

    async def start(self) -> None:
        """Let the program of a created container run: see pyrunc.Container.start."""
        await self._do("start")

    async def exec(
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
        """Run one more process in it, and return that: see pyrunc.Container.exec."""
        given = (stdin, stdout, stderr)
        options: dict[str, Any] = {"cwd": cwd, "terminal": terminal, "capabilities": list(capabilities)}
        options["user"] = None if user is None else str(user)
        options["no_new_privileges"] = no_new_privileges
        streams, pipes = Streams(*given), None
        try:
            call = requests.exec_(self.id, self.root, args, streams, given, process=process, env=env, options=options)
            pipes = await _Pipes.open(streams)
            return Process(await _perform(call), pipes)
        except BaseException:
            if pipes is not None:
                pipes.close()
            raise
        finally:
            streams.close_theirs()
            streams.close()

    async def kill(self, signal: int | str | None = None, *, all: bool = False) -> None:
        """Send its init SIGNAL, or each of its processes: see pyrunc.Container.kill."""
        await self._do("kill", number=state.signal_number(self.root, self.id, signal), all=all)

    async def pause(self) -> None:
        """Suspend all of its processes.  Raises StateError unless it is created or running."""
        await self._do("pause")

    async def resume(self) -> None:
        """Let them go on.  Raises StateError unless it is paused."""
        await self._do("resume")

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Change the limits that RESOURCES names, a document as /linux/resources: see pyrunc.Container.update."""
        await _perform(requests.update(self.id, self.root, resources))

    def stats(self) -> dict[str, Any]:
        """Return what it uses now: see pyrunc.Container.stats.  Waits for nothing."""
        return state.stats(self.root, self.id)

    def ps(self) -> Sequence[int]:
        """Return the pids of its processes, as the host has them.  Waits for nothing."""
        return state.pids(self.root, self.id)

    async def events(self, interval: float = 5.0) -> AsyncIterator[dict[str, Any]]:
        """Yield an event with statistics every INTERVAL seconds, and one of type `oom` whenever it runs out of memory.

        Ends when the container does.  Raises StateError if it does not run.
        """
        answers = channel.begin(requests.plain("events", self.id, self.root, interval=interval))
        try:
            answers.setblocking(False)
            while "event" in (head := (await _receive(answers)).head):
                yield head["event"]
        finally:
            answers.close()

    async def delete(self, *, force: bool = False) -> None:
        """Remove it: see pyrunc.Container.delete."""
        await self._do("delete", force=force)
        self._let_go()

    def close(self) -> None:
        """Let go of it, and of its streams: it stays as it is, and can be found again."""
        self._ended.say(message.LEAVE)
        self._close_streams()
        self._ended.close()

    async def _do(self, name: str, **more: Any) -> None:
        """Do call NAME."""
        await _perform(requests.plain(name, self.id, self.root, **more))

    def _let_go(self) -> None:
        """Know that it is gone."""
        self._gone = True
        self._ended.let_go()

    async def __aenter__(self) -> Self:
        """Own it: from here on it goes when this block ends, or this program."""
        self._ended.say(message.OWN)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Remove it, and no later one of its id; close all that is held of it.  To cancel this does not cut it short."""
        try:
            if not self._gone:
                await _perform_surely(requests.plain("remove", self.id, self.root, created=self._created))
                self._let_go()
        finally:
            self._close_streams()
            self._ended.close()
