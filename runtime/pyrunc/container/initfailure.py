"""What the init of a created container reports instead of running its program, as an error: its plan is built again for that."""

from __future__ import annotations

from pyrunc.container.bundle import read_document
from pyrunc.errors import HookError, OpError
from pyrunc.host import facts
from pyrunc.oci import parsing
from pyrunc.plan import build
from pyrunc.plan.request import Request
from pyrunc.run import failure, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.statefile import SavedState
    from pyrunc.plan.op import Plan


def error_of(directory: str, saved: SavedState, said: bytes) -> OpError | HookError:
    """Return the error for what the init of SAVED, in DIRECTORY, SAID instead of running its program."""
    frame = wire.parse(said) if said else None
    plan = _plan(directory, saved)
    if frame is None or frame.kind != wire.FAIL:
        ended = OpError("the container's init ended before its program could run", hint="see the kernel's log")
        return failure.out_of_memory(plan) or failure.denial(plan, "") or ended
    return failure.describe(plan, plan.child[frame.index], frame.errno, frame.text, child=True)


def forbidden(directory: str, saved: SavedState) -> OpError | None:
    """Return the error for an init of SAVED that is gone, if its filter has surely let it execute nothing; else None."""
    return failure.denial(_plan(directory, saved), "")


def _plan(directory: str, saved: SavedState) -> Plan:
    """Return the plan by which SAVED, in DIRECTORY, was made."""
    config = parsing.parse(read_document(f"{directory}/config.json"))
    request = Request(id=saved.id, bundle=saved.bundle, rootfs=saved.rootfs, wait=True, systemd=bool(saved.unit))
    return build.build(config, facts.probe(), request)
