"""What --debug says of a plan that is carried out: each op of both columns, with its time and what it chose.

Loaded with --debug alone, and before the fork.  The new process has no log: it
tells its host side, by frames of the wire, until `start` is waited for or the
filter is near, after which no system call is sure to be allowed.
"""

from __future__ import annotations

from time import time_ns

from pyrunc.plan import text
from pyrunc.run import milestones, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.linux.socket import Socket
    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context

LAST = ("wait_for_start", "announce_exec")
SECRETIVE = {"open_program": 3, "run_hook": 5}  # their environments, at this place, are nobody's business


class Trace:
    """The lines of one run, as `say` takes them; times are counted from the beginning of this.

    They are those of the machine's clock (CLOCK_REALTIME), which no time namespace changes.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Begin now."""
        self.say = say
        self.begun = time_ns()
        self.silent = True  # the child has told nothing yet

    def host(self, do: Callable[[Op, Plan, Context], None]) -> Callable[[Op, Plan, Context], None]:
        """Return what does as DO, and says so."""

        def timed(op: Op, plan: Plan, context: Context) -> None:
            """Do OP."""
            since = time_ns()
            try:
                do(op, plan, context)
            finally:
                self.line("host", op, since - self.begun, time_ns() - since)
            for words in milestones.of_host(op, plan, context):
                self.say(words)

        return timed

    def child(self, do: Callable[[Op, Context], None], plan: Plan, sock: Socket) -> Callable[[Op, Context], None]:
        """Return what does an op of PLAN's child as DO, and tells the host side of it through SOCK."""
        indexes = {id(op): index for index, op in enumerate(plan.child)}
        talks = True

        def timed(op: Op, context: Context) -> None:
            """Do OP."""
            nonlocal talks
            since = time_ns()
            talks = talks and op.call not in LAST
            do(op, context)
            if talks:
                chosen = context.program.path if op.call == "choose_program" and context.program is not None else ""
                try:
                    wire.send_did(sock, indexes[id(op)], since - self.begun, time_ns() - since, chosen)
                except OSError:
                    talks = False  # nobody listens any more

        return timed

    def told(self, plan: Plan, index: int, times: tuple[int, int], chosen: str) -> None:
        """Say what the child of PLAN has told of op INDEX: its TIMES, as in `line`, and what was CHOSEN."""
        self.line("child", plan.child[index], *times, chosen)
        for words in milestones.of_child(plan.child[index], first=self.silent):
            self.say(words)
        self.silent = False

    def line(self, side: str, op: Op, at: int, took: int, chosen: str = "") -> None:
        """Say that SIDE has done OP: AT so many nanoseconds after the beginning, which TOOK so many, and what was CHOSEN."""
        place = SECRETIVE.get(op.call, len(op.args))
        env = op.args[place] if place < len(op.args) else None
        if isinstance(env, tuple):
            op = op.replace(args=(*op.args[:place], f"{len(env)} variables", *op.args[place + 1 :]))
        shown = f"-- {op.call} {op.args[0]!s}" if op.call in ("barrier", "go") else text.brief(op)
        parts = (f"chose {chosen}" if chosen else "", f"at {op.at}" if op.at else "")
        notes = "; ".join(part for part in parts if part)
        self.say(f"{side:<5} {at / 1e6:8.3f} ms {took / 1e6:8.3f} ms  {shown}" + (f" ({notes})" if notes else ""))
