"""Plans for people: each op as the call it makes, with symbolic flags.

The slow path of everything: `pyrunc plan` prints it, errors quote it.
"""

from __future__ import annotations

from _blake2 import blake2b

from pyrunc.cgroup.knobs import Write
from pyrunc.cgroup.paths import Place
from pyrunc.linux import fs, mount, process, sched
from pyrunc.oci import lists
from pyrunc.oci.process import POLICIES
from pyrunc.plan import meaning
from pyrunc.plan.op import Op, Plan, Slot
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

SHOWN_MAX = 300


def _named(module: ModuleType, *prefixes: str) -> dict[int, str]:
    """Return the constants of MODULE whose names begin with one of PREFIXES, by value."""
    found = {
        value: name
        for name, value in vars(module).items()
        if name.startswith(prefixes) and isinstance(value, int) and value
    }
    return dict(sorted(found.items(), reverse=True))


AT = {**_named(mount, "AT_"), mount.AT_RECURSIVE: "AT_RECURSIVE"}
MS = _named(mount, "MS_")
ATTR = _named(mount, "MOUNT_ATTR_")
CLONE = _named(process, "CLONE_")
TREE = {**_named(mount, "OPEN_TREE_"), **AT}
POLICY = {getattr(sched, name): name for name in POLICIES}
# Which arguments of a call are flags, by position, and their names.
SYMBOLS: dict[str, dict[int, dict[int, str]]] = {
    "clone3": {0: CLONE},
    "respawn": {0: CLONE},
    "unshare": {0: CLONE},
    "setns": {1: CLONE},
    "open_namespace": {1: CLONE},
    "bind_rootfs": {1: MS},
    "mount": {3: MS},
    "mount_on": {3: MS},
    "umount2": {1: _named(mount, "MNT_")},
    "open_tree": {0: {mount.AT_FDCWD: "AT_FDCWD"}, 2: TREE},
    "open_tree_by_helper": {2: TREE},
    "move_mount": {0: {mount.AT_FDCWD: "AT_FDCWD"}, 2: {mount.AT_FDCWD: "AT_FDCWD"}, 4: _named(mount, "MOVE_MOUNT_")},
    "mount_setattr": {2: AT, 3: ATTR, 4: ATTR, 5: MS},
    "set_bind_flags": {1: ATTR, 2: ATTR, 3: ATTR, 4: MS},
    "fsopen": {1: _named(mount, "FSOPEN_")},
    "fspick": {2: _named(mount, "FSPICK_")},
    "fsmount": {1: _named(mount, "FSMOUNT_"), 2: ATTR},
    "fsconfig": {1: {**_named(mount, "FSCONFIG_"), 0: "FSCONFIG_SET_FLAG"}},
    "prctl": {0: _named(process, "PR_SET_")},
    "openat2": {4: _named(fs, "RESOLVE_")},
    "sched_setattr": {1: POLICY, 2: _named(sched, "SCHED_FLAG_")},
    "ioprio_set": {0: _named(sched, "IOPRIO_WHO_")},
}
# Flags that are choices, not bits.
CHOICES = frozenset(("fsconfig", "prctl"))
CHOOSING = (("sched_setattr", 1), ("ioprio_set", 0))
OCTAL = {"umask": (0,), "make_node": (3,)}
HEXADECIMAL = {"capset": (0, 1, 2), "drop_bounding": (0,), "raise_ambient": (0,), "set_mempolicy": (0,), "ioprio_set": (2,)}
MASKS = ("sched_setaffinity", "set_mempolicy")


def _flags(value: int, names: dict[int, str], *, choice: bool) -> str:
    """Return VALUE in symbols."""
    if choice or value < 0:
        return names.get(value, str(value))
    parts = []
    for bit, name in names.items():
        if bit > 0 and value & bit == bit:
            parts.append(name)
            value &= ~bit
    if value:
        parts.append(f"{value:#x}")
    return "|".join(parts) or "0"


def _argument(op: Op, index: int, value: object) -> str:
    """Return one argument of OP as a person would write it."""
    names = SYMBOLS.get(op.call, {}).get(index)
    if names is not None and isinstance(value, int):
        return _flags(value, names, choice=op.call in CHOICES or (op.call, index) in CHOOSING)
    if isinstance(value, Slot):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if index in OCTAL.get(op.call, ()):
            return f"{value:#o}" if value else "0"
        if index in HEXADECIMAL.get(op.call, ()):
            return f"{value:#x}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_argument(Op("list"), 0, item) for item in value) + "]"
    if isinstance(value, bytes) and op.call in MASKS:
        return f"[{lists.shown(value)}]"
    if value is None:
        return "NULL"
    if isinstance(value, Record):
        return _record(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes, {blake2b(value, digest_size=4).hexdigest()}>"
    return repr(value)


def _record(value: Record) -> str:
    """Return a directory or a write of a cgroup in full, else the kind of a record, with its path or name if it has one.

    The rest stands in config.json.
    """
    if isinstance(value, Place):
        return value.directory
    if isinstance(value, Write):
        return f"{value.file}={value.value}"
    which = getattr(value, "path", "") or getattr(value, "name", "")
    return f"{type(value).__name__}({which})" if which else type(value).__name__


def call(op: Op) -> str:
    """Return OP as a call."""
    text = f"{op.call}({', '.join(_argument(op, i, value) for i, value in enumerate(op.args))})"
    return f"{op.into} = {text}" if op.into else text


def cut(shown: str, most: int) -> str:
    """Return call SHOWN with MOST characters of it, if it has more."""
    return shown if len(shown) <= most else shown[:most] + "...)"


def brief(op: Op) -> str:
    """Return OP as a call for an error message: without its slot, and not too long."""
    return cut(call(op.replace(into="")), SHOWN_MAX)


def line(op: Op) -> str:
    """Return OP as one line of a plan, with its pointer."""
    if op.call == "barrier":
        return f"-- at {op.args[0]!s}" + (f" + {op.args[1]!s}" if len(op.args) > 1 else "")
    if op.call == "go":
        return f"-- go {op.args[0]!s}"
    return f"{call(op)}    # {op.at}" if op.at else call(op)


def in_order(plan: Plan) -> list[tuple[str, Op]]:
    """Return each op of PLAN with its side, "host" or "child"; what runs at the same time, between barriers, stands together."""
    found: list[tuple[str, Op]] = []
    child = list(plan.child)

    def run_child() -> None:
        """Move the child on to its next barrier, or to its end."""
        while child:
            op = child.pop(0)
            found.append(("child", op))
            if op.call == "barrier":
                return

    for op in plan.host:
        if op.call == "barrier":
            run_child()
        found.append(("host", op))
    run_child()
    return found


def render(plan: Plan, *, explain: bool = False) -> str:
    """Return PLAN as text: the host's column indented by nothing, the child's by one step; to EXPLAIN, with what each is for."""
    lines = ["HOST" + " " * 32 + "CHILD", ""]
    for side, op in in_order(plan):
        indent = " " * 36 if side == "child" else ""
        lines.append(indent + line(op))
        if explain:
            lines.append(f"{indent}    {meaning.of(op.call)}")
    return "\n".join(lines) + "\n"


def document(plan: Plan) -> dict[str, object]:
    """Return PLAN as a JSON document: {"host": [...], "child": [...]} of call, text, at, into."""
    return {
        side: [
            {"call": op.call, "text": call(op), **({"at": op.at} if op.at else {}), **({"into": op.into} if op.into else {})}
            for op in ops
        ]
        for side, ops in (("host", plan.host), ("child", plan.child))
    }

