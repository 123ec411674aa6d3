"""Restores a container, and fails at one of the restore's moments.  Run by the runtime's own interpreter.

Moments are: before each op of the host's, and before and after our part of steps that CRIU tells of.  Prints how
many there have been; the status is that of `restore`, or 1 with what was said on standard error.
"""

from __future__ import annotations

import sys
from typing import Any

from pyrunc.container.verbs import restore
from pyrunc.criu.options import CriuOptions
from pyrunc.errors import OpError, PyruncError

name, bundle, root, images, work, place = sys.argv[1:]
count = 0
Restoring = restore._Restoring
perform, take_part, commit = Restoring._perform, Restoring._take_part, Restoring._commit
STEPS = ("setup-namespaces", "orphan-pts-master", "network-unlock")  # beside the commit, at pre-resume


def moment(what: str) -> None:
    """Fail if this is the one at which it is to fail."""
    global count
    if count == int(place):
        raise OpError(f"made to fail at {what}")
    count += 1


def perform_or_fail(self: Any, ops: list[Any]) -> None:
    for op in ops:
        moment(op.call)
        perform(self, [op])
    moment(f"the end of {len(ops)} ops")


def take_part_or_fail(self: Any, criu: int, step: str, pid: int, fd: int) -> None:
    if step not in STEPS:
        take_part(self, criu, step, pid, fd)
        return
    moment(f"the begin of {step}")
    take_part(self, criu, step, pid, fd)
    moment(f"the end of {step}")


def commit_or_fail(self: Any, criu: int, pid: int) -> None:
    moment("the begin of the commit")
    commit(self, criu, pid)
    moment("the end of the commit")


Restoring._perform, Restoring._take_part, Restoring._commit = perform_or_fail, take_part_or_fail, commit_or_fail
try:
    options = CriuOptions(images=images, work=work)
    restore.restore(restore.RestoreOptions(id=name, bundle=bundle, root=root, detach=True, criu=options))
except PyruncError as error:
    sys.exit(str(error))
print(count, flush=True)
