"""Runs verbs whose plan has one op more, which fails: a line of JSON in, one out.  Run by the runtime's own interpreter.

Asked is {"verb", "options", "column", "place", "descriptors"}; without a column the plan stays as it is.  Told is
{"status", "said", "calls"}: 0 or 1, the error, and the names of the plan's ops in each column.  Each verb has a process of
its own, forked from this one, as a new interpreter for each would take three times as long.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import traceback
from typing import Any

from pyrunc.container import options as records
from pyrunc.container.verbs import create, run
from pyrunc.container.verbs import exec as execs
from pyrunc.errors import PyruncError
from pyrunc.plan import build
from pyrunc.plan.op import Op, Plan

NOWHERE = "/there/is/no/such/directory"
VERBS: dict[str, tuple[Any, Any]] = {
    "run": (run.run, records.RunOptions),
    "create": (create.create, records.CreateOptions),
    "exec": (execs.exec_, records.ExecOptions),
}
FIRST = 3  # of the descriptors that are preserved
HIGH = 100  # beyond them


def attempt(asked: dict[str, Any]) -> dict[str, Any]:
    """Do what is ASKED, with the op that fails in its plan; return what is told."""
    told: dict[str, Any] = {"status": 0, "said": ""}

    def changed(plan: Plan) -> Plan:
        told["calls"] = {side: [op.call for op in getattr(plan, side)] for side in ("host", "child")}
        if not asked.get("column"):
            return plan
        ops = list(getattr(plan, asked["column"]))
        ops.insert(asked["place"], Op("chdir", (NOWHERE,)))
        return plan.replace(**{asked["column"]: tuple(ops)})

    for name in ("build", "build_exec"):
        usual = getattr(build, name)
        setattr(build, name, lambda *given, usual=usual: changed(usual(*given)))
    verb, options = VERBS[asked["verb"]]
    try:
        verb(options(**asked["options"]))
    except PyruncError as error:
        told |= {"status": 1, "said": str(error)}
    return told


def in_child(asked: dict[str, Any], writer: int, null: int) -> None:
    """Do what is ASKED and tell it to WRITER."""
    writer = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, HIGH)
    for fd in (0, 1, 2, *range(FIRST, FIRST + asked.get("descriptors", 0))):
        os.dup2(null, fd)
    try:
        told = attempt(asked)
    except BaseException:  # whatever it is, it is to be seen
        told = {"status": -1, "said": traceback.format_exc()}
    os.write(writer, json.dumps(told).encode())


def main() -> None:
    """Serve until standard input ends."""
    null = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD_CLOEXEC, HIGH)
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                in_child(json.loads(line), writer, null)
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(pid, 0)  # and not until the pipe's end: a container's process may have it for a moment
        print(os.read(reader, 1 << 16).decode(), flush=True)
        os.close(reader)


main()
