"""Op, Slot, Plan and barriers: the records that a plan consists of."""

from __future__ import annotations

from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Argument = int | str | bytes | tuple[object, ...] | Record | None


class Slot(str):
    """A name for a value that is known only when the plan runs: mostly a descriptor."""

    __slots__ = ()


class Op(Record):
    """One small step: CALL with ARGS.

    `call` is a kernel call by its own name, or a step of run/ where the kernel
    needs several.  `at` is the JSON pointer that asked for it, `into` the slot
    that takes the result, `doing` what a person would call it, in the words
    that runc's users grep for.
    """

    call: str
    args: tuple[Argument, ...] = ()
    at: str = ""
    into: str = ""
    doing: str = ""


class Plan(Record):
    """What the host side does and what the new process does, in order.

    Both columns hold the same barriers in the same order: the child announces
    one and waits, the host does what stands between `barrier` and `go`.
    """

    host: tuple[Op, ...]
    child: tuple[Op, ...]


class Token(Record):
    """What proves that we have made something: the name of the op that did, and `words` that only its maker can know.

    An inode, a pid with its start time, what a file said before.  run/undo.py
    takes back what a token proves, and nothing else.
    """

    call: str
    words: tuple[str, ...] = ()


def barrier(name: str, *work: Op) -> list[Op]:
    """Return the host's side of barrier NAME: wait for the child, do WORK, let it go on."""
    return [Op("barrier", (name,)), *work, Op("go", (name,))]


def barrier_if(name: str, work: list[Op]) -> list[Op]:
    """Return barrier NAME if there is WORK to do at it."""
    return barrier(name, *work) if work else []


def barriers(ops: tuple[Op, ...]) -> list[str]:
    """Return the names of the barriers in OPS, in order."""
    return [str(op.args[0]) for op in ops if op.call == "barrier"]


# Slots that more than one file of the planner uses.
CHILD = Slot("child")  # pid of the new process
ROOT = Slot("root")  # the container's root directory
INIT_ROOT = Slot("init-root")  # that of its init, as the caller of an exec has opened it
PROC = Slot("proc")  # the host's procfs
OWN_PROC = Slot("own-proc")  # the new process's own directory in it
PTY = Slot("pty")  # the slave of the container's terminal
