"""Device rules: the eBPF program and the lines of version 1 decide as the rules say, letter by letter."""

from __future__ import annotations

from itertools import product
from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cgroup import bpf, devices
from pyrunc.cgroup.devices import ALL, DEFAULTS, Rule
from pyrunc.errors import ConfigError
from pyrunc.oci.linux import Device
from pyrunc.oci.resources import DeviceRule

NUMBERS = (0, 1, 3, 5, 8, 10, 136, 229, 4095, 1048575)
ACCESSES = ("r", "w", "m", "rw", "rwm", "wm")


def run(program: bytes, kind: str, access: str, major: int, minor: int) -> bool:
    """Interpret PROGRAM as the kernel would; refuse what its verifier would: jumps back or out, other opcodes."""
    bits = sum(bpf.ACCESS[letter] for letter in access)
    context = ((bits << 16) | (1 if kind == "b" else 2), major, minor)
    registers = {1: None}
    count, place = len(program) // 8, 0
    assert len(program) % 8 == 0
    while True:
        code, both, offset, value = unpack_from("=BBhi", program, 8 * place)
        dst, src, place = both & 15, both >> 4, place + 1
        if code == 0x61:  # ldxw
            assert src == 1
            registers[dst] = context[offset // 4]
        elif code in (0xB4, 0xBC):  # mov32
            registers[dst] = (value if code == 0xB4 else registers[src]) & 0xFFFFFFFF
        elif code == 0x54:  # and32
            registers[dst] &= value & 0xFFFFFFFF
        elif code == 0x74:  # rsh32
            registers[dst] >>= value
        elif code in (0x15, 0x55):  # jeq, jne: 64 bits, the value sign-extended
            same = registers[dst] == value & 0xFFFFFFFFFFFFFFFF
            if same == (code == 0x15):
                assert 0 <= offset < count - place
                place += offset
        elif code == 0x95:  # exit
            return bool(registers[0])
        else:
            pytest.fail(f"opcode {code:#x}")


def reached(program: bytes) -> set[int]:
    """Return which instructions of PROGRAM can be reached at all."""
    found: set[int] = set()
    todo = [0]
    while todo:
        place = todo.pop()
        if place in found:
            continue
        found.add(place)
        code, _, offset, _ = unpack_from("=BBhi", program, 8 * place)
        if code != 0x95:
            todo.append(place + 1)
        if code in (0x15, 0x55):
            todo.append(place + 1 + offset)
    return found


def reference(rules: tuple[Rule, ...], kind: str, access: str, major: int, minor: int) -> bool:
    """Decide by the documentation: for each letter the last rule that matches, deny being the default."""

    def matches(rule: Rule, letter: str) -> bool:
        numbers = rule.major in (ALL, major) and rule.minor in (ALL, minor)
        return rule.type in ("a", kind) and numbers and letter in rule.access

    return all(next((rule.allow for rule in reversed(rules) if matches(rule, letter)), False) for letter in access)


def version_1(lines: list[tuple[str, str, str]], kind: str, access: str, major: int, minor: int) -> bool:
    """Decide as security/device_cgroup.c does after LINES were written: exceptions by exact numbers, from "a" on."""
    exceptions: dict[tuple[str, str], set[str]] = {}
    usual = "devices.allow"
    for file, line, _ in lines:
        if line == "a":
            exceptions, usual = {}, file
            continue
        type_, numbers, letters = line.split()
        held = exceptions.setdefault((type_, numbers), set())
        held |= set(letters) if file != usual else set()
        held -= set(letters) if file == usual else set()
    names = [(kind, f"{a}:{b}") for a in (major, "*") for b in (minor, "*")]
    if usual == "devices.allow":
        return not any(set(access) & exceptions.get(name, set()) for name in names)
    return any(set(access) <= exceptions.get(name, set()) for name in names)


def asked(**fields: object) -> DeviceRule:
    return DeviceRule(**{"allow": True, "type": "c", "access": "rwm", **fields})


@pytest.mark.parametrize(
    ("rules", "kind", "access", "numbers", "allowed"),
    [
        ((), "c", "rw", (1, 3), True),  # /dev/null
        ((), "c", "rwm", (5, 2), True),  # /dev/ptmx
        ((), "c", "rw", (136, 7), True),  # a pty
        ((), "c", "rw", (10, 229), False),
        ((), "b", "r", (8, 0), False),
        ((), "b", "m", (8, 0), True),  # making a node that cannot be opened
        ((asked(major=10, minor=229),), "c", "rw", (10, 229), True),
        ((asked(major=10, minor=229),), "b", "rw", (10, 229), False),
        ((asked(major=10),), "c", "rw", (10, 1), True),
        ((asked(major=10, minor=-1),), "c", "rw", (10, 1), True),
        ((asked(major=0, minor=0),), "c", "r", (9, 9), False),
        ((asked(major=0, minor=0),), "c", "r", (0, 0), True),
        ((asked(type="u", major=10),), "c", "rw", (10, 1), True),
        ((asked(type="b", major=8, access="r"),), "b", "r", (8, 0), True),
        ((asked(type="b", major=8, access="r"),), "b", "rw", (8, 0), False),
        ((asked(major=9, minor=9, access="r"), asked(major=9, minor=9, access="w")), "c", "rw", (9, 9), True),
        ((asked(major=9, minor=9), asked(major=9, minor=9, access="w", allow=False)), "c", "rw", (9, 9), False),
        ((asked(major=9, minor=9), asked(major=9, minor=9, access="w", allow=False)), "c", "r", (9, 9), True),
        ((asked(major=9, minor=9), asked(major=9, allow=False)), "c", "r", (9, 9), False),
        ((asked(major=1, allow=False),), "c", "r", (1, 3), False),
        ((asked(major=9, access=""),), "c", "rwm", (9, 9), True),
        ((asked(major=9, access="rwa"),), "c", "rw", (9, 9), True),
        ((asked(major=9, access="rwa"),), "c", "m", (9, 9), True),
        ((asked(major=9, access="xr"),), "c", "w", (9, 9), False),
        ((asked(major=9, access="rrw"),), "c", "rw", (9, 9), True),
        ((), "c", "rw", (10, 200), True),
        ((asked(type="p"),), "c", "r", (9, 9), False),
        ((asked(type="a"), asked(major=9, allow=False)), "c", "r", (9, 9), False),
        ((asked(type="a"), asked(major=9, allow=False)), "c", "r", (8, 9), True),
        ((asked(type="a"), asked(major=9, allow=False), asked(major=9, access="r")), "c", "r", (9, 9), True),
        ((asked(type="a"), asked(major=9, allow=False), asked(major=9, access="r")), "c", "w", (9, 9), False),
        ((asked(type="a"), asked(major=9, minor=9, allow=False), asked(major=9)), "c", "rw", (9, 9), True),
    ],
)
def test_decisions(rules: tuple[DeviceRule, ...], kind: str, access: str, numbers: tuple[int, int], allowed: bool):
    found = devices.rules(rules)
    assert run(bpf.program(found), kind, access, *numbers) is allowed
    assert version_1(devices.v1_writes(found), kind, access, *numbers) is allowed


@pytest.mark.parametrize("kind", ["a", ""])
def test_a_rule_about_everything_starts_afresh(kind: str):
    """As version 1 does with "a": what stands before it no longer counts."""
    rule = asked(major=9)
    allow, deny = (DeviceRule(allow=value, type=kind, access="rwm") for value in (True, False))
    assert devices.rules((rule, deny)) == DEFAULTS
    everything = devices.rules((rule, allow))
    assert [r.type for r in everything] == ["a"]
    assert run(bpf.program(everything), "b", "rwm", 8, 0)
    assert devices.v1_writes(everything) == [("devices.deny", "a", devices.AT), ("devices.allow", "a", f"{devices.AT}/1")]
    later = devices.rules((rule, allow, asked(type="b", major=8, allow=False)))
    assert not run(bpf.program(later), "b", "r", 8, 0)
    assert run(bpf.program(later), "b", "r", 9, 0)


@pytest.mark.parametrize("access", ["xy", "R"])
def test_letters_that_are_no_access(access):
    with pytest.raises(ConfigError) as caught:
        devices.rules((asked(), asked(access=access)))
    assert caught.value.pointer == f"{devices.AT}/1/access"


def test_version_1_cannot_deny_a_part_of_a_wildcard():
    found = devices.rules((asked(major=8, type="b"), asked(major=8, minor=1, type="b", access="w", allow=False)))
    with pytest.raises(ConfigError) as caught:
        devices.v1_writes(found)
    assert caught.value.pointer == f"{devices.AT}/1"
    assert not run(bpf.program(found), "b", "w", 8, 1)


def test_version_1_cannot_allow_a_part_of_what_is_denied_of_everything():
    found = devices.rules((asked(type="a"), asked(major=9, allow=False), asked(major=9, minor=1)))
    with pytest.raises(ConfigError) as caught:
        devices.v1_writes(found)
    assert caught.value.pointer == f"{devices.AT}/2"
    assert run(bpf.program(found), "c", "rw", 9, 1)


ASKED = st.builds(
    DeviceRule,
    allow=st.booleans(),
    type=st.sampled_from(("c", "b", "u", "a", "", "p")),
    major=st.none() | st.sampled_from((-1, *NUMBERS)),
    minor=st.none() | st.sampled_from((-1, *NUMBERS)),
    access=st.sampled_from(("", *ACCESSES)),
)
LISTS = st.lists(ASKED, max_size=6).map(tuple)
WHERE = {"kind": st.sampled_from("cb"), "major": st.sampled_from(NUMBERS), "minor": st.sampled_from(NUMBERS)}


@given(rules=LISTS, **WHERE)
def test_the_program_decides_as_the_rules_say(rules: tuple[DeviceRule, ...], kind: str, major: int, minor: int):
    found = devices.rules(rules)
    program = bpf.program(found)
    assert reached(program) == set(range(len(program) // 8))  # or the kernel refuses it
    for access in ACCESSES:
        assert run(program, kind, access, major, minor) == reference(found, kind, access, major, minor)


@given(rules=LISTS, **WHERE)
def test_the_versions_agree(rules: tuple[DeviceRule, ...], kind: str, major: int, minor: int):
    """For reading and writing, where version 1 can say it at all."""
    found = devices.rules(rules)
    try:
        lines = devices.v1_writes(found)
    except ConfigError:
        return
    program = bpf.program(found)
    for access in "rw":
        assert version_1(lines, kind, access, major, minor) == run(program, kind, access, major, minor)


# config-linux.md, "Default Devices", with what terminals need; and no other may be opened.
OPEN_TO_ALL = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}


def test_what_every_container_may_open():
    program, lines = bpf.program(DEFAULTS), devices.v1_writes(DEFAULTS)
    for kind, major, minor in product("cb", (0, 1, 5, 8, 136), range(12)):
        allowed = kind == "c" and ((major, minor) in OPEN_TO_ALL or major == 136)
        for access in ("r", "w", "rw"):
            assert run(program, kind, access, major, minor) is allowed
            assert version_1(lines, kind, access, major, minor) is allowed
        assert run(program, kind, "m", major, minor)


def test_the_default_program_decides_every_pair():
    program = bpf.program(DEFAULTS)
    for kind, major, minor in product("cb", NUMBERS, NUMBERS):
        for access in ACCESSES:
            assert run(program, kind, access, major, minor) == reference(DEFAULTS, kind, access, major, minor)


def test_nodes_can_be_made_whatever_is_denied():
    """Docker denies /dev/fuse, and --device=/dev/fuse:/dev/fuse:r allows to read it; only the node itself is added."""
    asked = (
        DeviceRule(allow=False, access="rwm"),
        DeviceRule(allow=False, type="c", major=10, minor=229, access="rwm"),
        DeviceRule(allow=True, type="c", major=10, minor=229, access="r"),
    )
    rules = devices.rules(asked)
    nodes = (Device(type="c", path="/dev/mine", major=10, minor=229), Device(type="b", path="/dev/disk", major=8, minor=0))
    added = devices.for_nodes(rules, nodes)
    assert [(rule.type, rule.major, rule.minor, rule.access, rule.pointer) for rule in added] == [
        ("c", 10, 229, "m", "/linux/devices/0")
    ]
    before, after = bpf.program(rules), bpf.program((*rules, *added))
    assert [run(before, "c", access, 10, 229) for access in "mrw"] == [False, True, False]
    assert [run(after, "c", access, 10, 229) for access in "mrw"] == [True, True, False]
