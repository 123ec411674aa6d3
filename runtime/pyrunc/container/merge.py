"""An update merged into the resources of a configuration, both still JSON: what it leaves out, or sets to zero, stays."""

from __future__ import annotations

from pyrunc.cgroup.knobs import KNOBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By which an item of a list is known again.
KEYS = {
    "hugepageLimits": ("pageSize",),
    "network/priorities": ("name",),
    **{
        f"blockIO/{name}": ("major", "minor")
        for name in (
            "weightDevice",
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        )
    },
}
# Where zero (or false) is a value, and not what stands for none.
ZERO = frozenset(knob.path for knob in KNOBS if knob.zero) | {"memory/checkBeforeUpdate"}
NONE = {knob.path: knob.none for knob in KNOBS if knob.none is not None}


def merged(old: dict[str, Any], new: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return OLD with what NEW says, both at PATH below resources; neither is changed."""
    made = dict(old)
    for name, value in new.items():
        at = f"{path}/{name}".lstrip("/")
        if value is None or value in ("", NONE.get(at, "")) or (value == 0 and at not in ZERO):
            continue
        if isinstance(value, dict):
            base = made.get(name)
            made[name] = merged(base if isinstance(base, dict) else {}, value, at)
        elif isinstance(value, list) and at in KEYS:
            made[name] = _list(made.get(name) or [], value, KEYS[at])
        else:
            made[name] = value
    return made


def _list(old: list[Any], new: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """Return OLD with the items of NEW, which take the place of those with the same KEYS."""
    made = {tuple(item.get(key) for key in keys): item for item in old}
    return list({**made, **{tuple(item.get(key) for key in keys): item for item in new}}.values())
