"""/linux/personality: which kind of system the program believes to run on (config-linux.md, "Personality")."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.linux import Linux

AT = "/linux/personality"
# personality(2), include/uapi/linux/personality.h
DOMAINS = {"LINUX": 0x0, "LINUX32": 0x8}


def child(linux: Linux) -> Iterator[Op]:
    """Yield the op that sets the domain; execve(2) keeps it.  Every process of the container gets it."""
    if linux.personality is None:
        return
    if linux.personality.flags:
        hint = "leave flags out: the specification knows none"
        raise ConfigError(f"unknown flag {linux.personality.flags[0]}", pointer=f"{AT}/flags/0", hint=hint)
    yield Op("personality", (DOMAINS[linux.personality.domain],), f"{AT}/domain", doing="error setting personality")
