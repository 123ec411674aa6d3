"""Options that a file system refuses: the kernel is asked, by fsopen(2) and fsconfig(2), and nothing is mounted."""

from __future__ import annotations

import posix

from pyrunc.container.checks.apart import apart
from pyrunc.errors import UnsupportedError
from pyrunc.host.files import read
from pyrunc.linux import caps
from pyrunc.linux import mount as m
from pyrunc.linux.process import CLONE_NEWNS, unshare
from pyrunc.run import hints, refusedoptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrunc.host.facts import HostFacts
    from pyrunc.plan.op import Op, Plan

LOG_MAX = 512
# File systems that older kernels ask for their options only when they are made; to make these changes nothing.
MADE = ("devpts", "tmpfs")


def refused(plan: Plan, facts: HostFacts) -> Iterator[UnsupportedError]:
    """Yield an error for each option in PLAN that the kernel refuses.  Says nothing without the privilege to ask it."""
    if facts.nested or facts.uid != 0 or not facts.capabilities >> caps.CAP_SYS_ADMIN & 1:
        return
    known = {line.split()[-1] for line in read("/proc/filesystems").splitlines()}
    types: dict[Any, str] = {}
    asked: list[Op] = []
    for op in (*plan.host, *plan.child):
        if op.call == "fsopen" and op.args[0] in known:  # another would be looked for among the modules, and loaded
            types[op.into] = str(op.args[0])
            asked.append(op)
        elif op.call == "fsconfig" and op.args[0] in types and _is_harmless(op, types[op.args[0]]):
            asked.append(op)
    for index, code, said in apart(lambda: _ask(asked)) or ():
        op = asked[index]
        key = str(op.args[2] or "")
        hint = refusedoptions.hint(plan, op, code, said) or hints.hint("fsconfig", code)
        text = f"{op.doing}: {posix.strerror(code).lower()}: {said or key}"
        yield UnsupportedError(text, pointer=op.at, hint=hint)


def _is_harmless(op: Op, fstype: str) -> bool:
    """Return whether fsconfig(2) with the arguments of OP changes nothing outside of the context."""
    return op.args[1] in (m.FSCONFIG_SET_FLAG, m.FSCONFIG_SET_STRING) or fstype in MADE


def _ask(ops: list[Op]) -> list[tuple[int, int, str]]:
    """Do OPS in a mount namespace that ends with this process; return the index, the errno and the log of each that fails."""
    unshare(CLONE_NEWNS)
    contexts: dict[object, int] = {}
    failed: list[tuple[int, int, str]] = []
    broken: set[object] = set()
    for index, op in enumerate(ops):
        args: Any = op.args
        try:
            if op.call == "fsopen":
                contexts[op.into] = m.fsopen(*args)
            elif args[0] in contexts and not (args[1] == m.FSCONFIG_CMD_CREATE and args[0] in broken):
                m.fsconfig(contexts[args[0]], *args[1:])
        except OSError as error:
            if op.call == "fsconfig":
                broken.add(args[0])
                failed.append((index, error.errno or 0, _log(contexts[args[0]])))
    return failed


def _log(context: int) -> str:
    """Return what CONTEXT has logged last, without the letter that says how bad it is."""
    said = ""
    try:
        while True:
            said = str(posix.read(context, LOG_MAX), "utf-8", "replace").strip()
    except OSError:
        return said.partition(" ")[2] if said[1:2] == " " else said
