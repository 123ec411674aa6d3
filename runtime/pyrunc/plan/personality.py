"""/linux/personality: what uname(2) tells the container's programs (config-linux.md, "Personality")."""

from __future__ import annotations

from pyrunc.errors import UnsupportedError
from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.linux import Personality

# personality(2), include/uapi/linux/personality.h
DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}


def child(asked: Personality) -> Iterator[Op]:
    """Yield the op that sets it: execve(2) hands it on, and so does fork(2)."""
    if asked.flags:
        hint = "remove them: the specification names none"
        raise UnsupportedError("personality flags are not supported", pointer="/linux/personality/flags/0", hint=hint)
    yield Op("personality", (DOMAINS[asked.domain],), "/linux/personality/domain", doing="error setting personality")
