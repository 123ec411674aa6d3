"""The injecting switch: every system call that pyrunc's code makes passes here, and one of them may be given a fault.

`install` has to come before pyrunc is imported.  A call is known by its Place; what a command does is written down
in memory that outlives the fork, the pivot and the closing of descriptors.
"""

from __future__ import annotations

import errno as codes
import fcntl
import mmap
import os
import posix
import signal
import stat
import sys
from typing import Any, NamedTuple

from integration.faults import errnos

SHARE, SHARES = 1 << 18, 64  # of memory: what each process writes down goes to a share of its own, by its pid
SIZE = SHARE * (SHARES + 1)
HIT = b"\x01"
LAST_LINE = "standard error"  # the op, as it were, within which is written what is wrong


class Place(NamedTuple):
    """The NUMBER-th time (from 0) that SIDE (host or child) makes CALL within OP, which is "" outside of a plan."""

    side: str
    op: str
    call: str
    number: int


class Fault(NamedTuple):
    """What happens at PLACE: KIND is an errno's name, or one of die, kill-child, term."""

    place: Place
    kind: str


class Switch:
    """What is recorded and what is armed; one for each process that runs commands."""

    def __init__(self) -> None:
        """Be off."""
        self.memory = mmap.mmap(-1, SIZE)
        self.fault: Fault | None = None
        self.on = self.recording = False
        self.top = self.pid = 0
        self.op = ""
        self.counts: dict[tuple[str, str, str], int] = {}
        self.child = 0
        self.directory = "/"  # where the files that are written are on a disk

    def begin(self, fault: Fault | None, *, recording: bool = False) -> None:
        """Turn on, in the process that will be the runtime."""
        self.fault, self.recording, self.on = fault, recording, True
        self.pid, self.top, self.op, self.child = posix.getpid(), posix.getppid(), "", 0
        self.counts.clear()

    def reset(self) -> None:
        """Forget what was written down."""
        for start in range(0, SIZE, SHARE):
            self.memory[start : start + 8] = bytes(8)

    @property
    def hit(self) -> bool:
        """Return whether the fault has happened."""
        return self.memory[:1] == HIT

    def places(self) -> list[Place]:
        """Return what was recorded: that of each process in order."""
        lines = []
        for start in range(SHARE, SIZE, SHARE):
            length = int.from_bytes(self.memory[start + 4 : start + 8], "little")
            lines += self.memory[start + 8 : start + 8 + length].decode().splitlines()
        return [Place(side, op, call, int(number)) for side, op, call, number in (line.split("\t") for line in lines)]

    def side(self) -> str:
        """Return which side of the plan this process is."""
        return "host" if posix.getpid() == self.pid else "child"

    def enter(self, op: str) -> None:
        """Say that OP of a plan begins: as a call of its own, before it does anything."""
        self.op = op
        self.meet("")

    def meet(self, call: str, name: object = None) -> None:
        """Say that CALL is about to be made; raises what is armed for it."""
        side = self.side()
        number = self.counts.get((side, self.op, call), 0)
        self.counts[side, self.op, call] = number + 1
        place = Place(side, self.op, call, number)
        if self.recording:
            self._record(place)
        fault = self.fault
        if fault is not None and fault.place == place and not self.hit:
            self._happen(fault.kind, call, name)

    def meet_in(self, op: str, call: str) -> None:
        """Say that CALL is about to be made within OP, and not within what the plan is at."""
        before, self.op = self.op, op
        try:
            self.meet(call)
        finally:
            self.op = before

    def _record(self, place: Place) -> None:
        """Write PLACE down."""
        start = SHARE * (1 + posix.getpid() % SHARES)
        length = int.from_bytes(self.memory[start + 4 : start + 8], "little")
        line = "\t".join((place.side, place.op, place.call, str(place.number))).encode() + b"\n"
        self.memory[start + 8 + length : start + 8 + length + len(line)] = line
        self.memory[start + 4 : start + 8] = (length + len(line)).to_bytes(4, "little")

    def _happen(self, kind: str, call: str, name: object) -> None:
        """Let what KIND says happen."""
        if kind == "kill-child":
            if not self.child:
                return
            self.memory[:1] = HIT
            os.kill(self.child, signal.SIGKILL)
            return
        self.memory[:1] = HIT
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "term":
            os.kill(self.pid, signal.SIGTERM)
        else:
            number = getattr(codes, kind)
            error = OSError(number, os.strerror(number), *((name,) if isinstance(name, (str, bytes)) else ()))
            if call in errnos.PORT:
                from pyrunc.linux import abi

                error.syscall = abi.NR[call]  # type: ignore[attr-defined]  # as foreign.py and native/module.c do
            raise error


def install(switch: Switch) -> None:
    """Put SWITCH before every system call of pyrunc's code, which must not have been imported yet."""
    assert "pyrunc" not in sys.modules
    for module in (posix, fcntl):
        for name in errnos.INTERPRETER:
            if hasattr(module, name):
                setattr(module, name, _wrapped(switch, name, getattr(module, name)))
    from pyrunc.linux import abi

    names = {number: name for name, number in abi.NR.items()}
    for attribute in ("syscall", "fork_syscall"):
        setattr(abi, attribute, _numbered(switch, names, getattr(abi, attribute)))
    _watch_plans(switch)


def _wrapped(switch: Switch, name: str, function: Any) -> Any:
    """Return FUNCTION called NAME, with SWITCH before it where pyrunc calls it."""

    def call(*args: Any, **options: Any) -> Any:
        if switch.on and sys._getframe(1).f_globals.get("__name__", "").startswith("pyrunc"):
            if name == "close":
                return _close(switch, function, *args)
            if (name, args[:1]) == ("write", (2,)):
                switch.meet_in(LAST_LINE, name)
            else:
                switch.meet(name, args[0] if args else None)
        return function(*args, **options)

    return call


def _close(switch: Switch, close: Any, fd: int) -> None:
    """Close FD; that fails only for a file on a disk that was written, and then it is closed all the same (close(2))."""
    written = False
    try:
        on_disk = os.readlink(f"/proc/self/fd/{fd}").startswith(switch.directory)
        written = on_disk and stat.S_ISREG(os.fstat(fd).st_mode) and os.O_ACCMODE & fcntl.fcntl(fd, fcntl.F_GETFL) != os.O_RDONLY
    except OSError:
        pass
    close(fd)
    if written:
        switch.meet("close")


def _numbered(switch: Switch, names: dict[int, str], function: Any) -> Any:
    """Return FUNCTION, which makes system calls by number, with SWITCH before it."""

    def call(number: int, *args: Any) -> Any:
        if switch.on:
            switch.meet(names[number])
        result = function(number, *args)
        if names[number] == "clone3" and result and switch.on and switch.side() == "host":
            switch.child = result
        return result

    return call


def _watch_plans(switch: Switch) -> None:
    """Let SWITCH know which op of which column is carried out."""
    from pyrunc.run import child, executor, wire

    perform, host_op, load, send_at = executor.perform, executor._host_op, executor.load, wire.send_at
    numbers: dict[int, int] = {}

    def loaded(plan: Any) -> None:
        numbers.update({id(op): place for column in (plan.host, plan.child) for place, op in enumerate(column)})
        load(plan)

    def host(op: Any, plan: Any, context: Any) -> None:
        switch.enter(f"{numbers[id(op)]} {op.call}")
        host_op(op, plan, context)
        switch.op = "between"

    def do(op: Any, context: Any) -> None:
        if switch.on and switch.side() == "child":
            switch.enter(f"{numbers[id(op)]} {op.call}")
        perform(op, context)

    def at(sock: Any, name: str, fd: int = -1) -> None:
        switch.enter(f"barrier {name}")
        send_at(sock, name, fd)

    executor.load, executor._host_op, child.perform, wire.send_at = loaded, host, do, at
