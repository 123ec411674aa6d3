"""/linux/resources/devices: what may be opened and made (config-linux.md, "Device Allow List").

Deny-all comes first whether or not a rule says so (GHSA-g54h-m393-cpwq), then
the devices that every container has, then the rules in their order; for each
letter of the access the last rule that matches wins.
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyrunc.oci.linux import Device
    from pyrunc.oci.resources import DeviceRule

ALL = -1
EVERYTHING = "a *:*"
LETTERS = "rwm"
AT = "/linux/resources/devices"


class Rule(Record):
    """One rule; ALL (-1) for major or minor is every one, type "a" is both."""

    allow: bool
    type: str
    major: int
    minor: int
    access: str
    pointer: str = ""


# Making any node is harmless as long as it cannot be opened; runc allows it, and images rely on it.
DEFAULTS = (
    Rule(True, "c", ALL, ALL, "m"),
    Rule(True, "b", ALL, ALL, "m"),
    Rule(True, "c", 1, 3, "rwm"),  # null
    Rule(True, "c", 1, 8, "rwm"),  # random
    Rule(True, "c", 1, 7, "rwm"),  # full
    Rule(True, "c", 5, 0, "rwm"),  # tty
    Rule(True, "c", 1, 5, "rwm"),  # zero
    Rule(True, "c", 1, 9, "rwm"),  # urandom
    Rule(True, "c", 136, ALL, "rwm"),  # pts
    Rule(True, "c", 5, 2, "rwm"),  # ptmx
    Rule(True, "c", 10, 200, "rwm"),  # tun: VPNs in containers rely on it; what it makes is in the container's own network
)


def rules(asked: tuple[DeviceRule, ...]) -> tuple[Rule, ...]:
    """Return the rules that follow deny-all, the defaults in the place of the last deny-all of ASKED.

    A rule without type, major and minor covers all devices and starts afresh.
    """
    made: list[Rule] = list(DEFAULTS)
    for index, rule in enumerate(asked):
        at = f"{AT}/{index}"
        access = _access(rule.access, at)
        major, minor = (ALL if number is None else number for number in (rule.major, rule.minor))
        kind = {"": "a", "u": "c"}.get(rule.type, rule.type)
        if kind == "a":
            # Version 1 knows "a" only as "everything", and so do we.
            made = [Rule(True, "a", ALL, ALL, "rwm", at)] if rule.allow else list(DEFAULTS)
        elif kind != "p":
            made.append(Rule(rule.allow, kind, major, minor, access, at))
    return tuple(made)


def _access(asked: str, at: str) -> str:
    """Return the letters of ASKED, at rule AT, that mean something, all of them for none; others are passed over, as by runc.

    Raises ConfigError where no other is there.
    """
    known = "".join(letter for letter in LETTERS if letter in asked)
    if asked and not known:
        raise ConfigError(f'device access "{asked}"', pointer=f"{at}/access", hint=f"letters of {LETTERS}")
    return known or LETTERS


def for_nodes(found: tuple[Rule, ...], nodes: Iterable[Device]) -> tuple[Rule, ...]:
    """Return rules to follow FOUND so that the NODES of /linux/devices can be made, by a process under these rules.

    A rule may deny that by name: Docker denies all of /dev/fuse, and then allows what `--device /dev/fuse:/dev/fuse:r` asks.
    """
    made = []
    for index, node in enumerate(nodes):
        if node.type != "p" and node.major is not None and node.minor is not None:
            rule = Rule(True, {"u": "c"}.get(node.type, node.type), node.major, node.minor, "m", f"/linux/devices/{index}")
            if any(not other.allow and "m" in other.access and _covers(other, rule) for other in found):
                made.append(rule)
    return tuple(made)


def v1_writes(found: tuple[Rule, ...]) -> list[tuple[str, str, str]]:
    """Return (file, line, pointer) for the devices controller of version 1.

    The kernel keeps exceptions: of what is allowed, or, once everything is, of
    what is denied.  It takes one back only under the same numbers, and what is
    a part of one cannot be another.
    """
    lines = [("devices.deny", "a", AT)]
    exceptions = True  # are what is allowed
    for place, rule in enumerate(found):
        file = "devices.allow" if rule.allow else "devices.deny"
        if rule.type == "a":
            lines.append((file, "a", rule.pointer))
            exceptions = not rule.allow
            continue
        back = rule.allow is not exceptions  # it takes back what other rules said
        others = [other for other in found[:place] if other.allow is exceptions and other.type != "a"]
        if back and any(_wider(other, rule) for other in others):
            hint = f"list what is {'allowed' if exceptions else 'denied'} instead"
            raise ConfigError("cannot punch hole in existing wildcard rule", pointer=rule.pointer, hint=hint)
        narrower = [other for other in others if back and _covers(rule, other)]
        for numbers in dict.fromkeys((one.major, one.minor) for one in (*narrower, rule)):
            major, minor = ("*" if number == ALL else str(number) for number in numbers)
            lines.append((file, f"{rule.type} {major}:{minor} {rule.access}", rule.pointer))
    return lines


def _covers(rule: Rule, other: Rule) -> bool:
    """Return whether every device of OTHER is one of RULE."""
    return rule.type == other.type and rule.major in (ALL, other.major) and rule.minor in (ALL, other.minor)


def _wider(other: Rule, rule: Rule) -> bool:
    """Return whether RULE takes back a part of what OTHER says; version 1 would keep to all of that.

    What crosses it (one has the major, the other the minor) is such a part too.
    That a node may be made is no matter: every container may make every one.
    """
    same = (other.major, other.minor) == (rule.major, rule.minor)
    crosses = all(ALL in pair or pair[0] == pair[1] for pair in ((other.major, rule.major), (other.minor, rule.minor)))
    shared = set(other.access) & set(rule.access) - ({"m"} if other.allow else set())
    return other.type == rule.type and crosses and not _covers(rule, other) and not same and bool(shared)


def v1_change(present: str, found: tuple[Rule, ...]) -> list[tuple[str, str, str]]:
    """Return (file, line, pointer) to go from devices.list PRESENT to rules FOUND, with no moment of less than both allow.

    What is new is allowed first, then what is gone is denied.  Only to "all" and
    from it there is no such way: the caller stops the container meanwhile.  From
    "all" to "all", writing it again forgets what was denied, which no file tells.
    """
    lines = v1_writes(found)
    old, new = _entries(line.partition(" ") for line in present.splitlines()), _entries(_allowed(lines))
    if EVERYTHING in new:
        return lines[1:]
    if EVERYTHING in old:
        return lines
    wanted = {key: letters - old.get(key, frozenset()) for key, letters in new.items()}
    surplus = {key: letters - new.get(key, frozenset()) for key, letters in old.items()}
    return [
        (file, f"{key} {''.join(sorted(letters))}", AT)
        for file, part in (("devices.allow", wanted), ("devices.deny", surplus))
        for key, letters in part.items()
        if letters
    ]


def _allowed(lines: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield (type and numbers, "", access) of what is allowed after LINES were written in their order."""
    made: dict[str, set[str]] = {}
    for file, line, _ in lines:
        if line == "a":
            made = {EVERYTHING: set("rwm")} if file == "devices.allow" else {}
            continue
        key, _, access = line.rpartition(" ")
        letters = made.setdefault(key, set())
        made[key] = letters | set(access) if file == "devices.allow" else letters - set(access)
    for key, letters in made.items():
        kind, _, numbers = key.partition(" ")
        yield kind, "", f"{numbers} {''.join(sorted(letters))}"


def _entries(parts: Iterable[tuple[str, str, str]]) -> dict[str, frozenset[str]]:
    """Return the letters of access by type and numbers."""
    made = {}
    for kind, _, rest in parts:
        numbers, _, access = rest.rpartition(" ")
        if access:
            made[f"{kind} {numbers}"] = frozenset(access)
    return made
