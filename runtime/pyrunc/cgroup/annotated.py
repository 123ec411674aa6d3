"""org.systemd.property.* annotations: properties of the unit that config.json names itself, as with runc and crun.

Whoever writes annotations decides with these what systemd does, which is why
`features` lists the prefix as unsafe (CVE-2024-3154).
"""

from __future__ import annotations

from pyrunc.cgroup import gvariant
from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.cgroup.systemd import Property

PREFIX = "org.systemd.property."
# Ours to say: systemd would take the last of two.
OURS = frozenset(("PIDs", "Slice", "Delegate", "DefaultDependencies", "Description"))
MICROSECONDS = 1_000_000


def properties(annotations: dict[str, str]) -> Iterator[Property]:
    """Yield the properties that ANNOTATIONS name.  Raises ConfigError."""
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name, at = key.removeprefix(PREFIX), f"/annotations/{escape(key)}"
        if not (name.isascii() and name.isalpha() and name[0].isupper()) or name in OURS:
            raise ConfigError(f'"{name}" cannot be set by an annotation', pointer=at, hint="name a property of scopes")
        signature, value = gvariant.parse(text, at)
        # systemd.directives(7) has seconds, D-Bus microseconds.
        if name.endswith("Sec") and not name.endswith("USec") and signature in "nqiuxt":
            name, signature, value = name.removesuffix("Sec") + "USec", "t", value * MICROSECONDS
        yield name, signature, value
