"""What is said about a config.json that is wrong: where, what was expected, what was found, what to do."""

from __future__ import annotations

import copy
import itertools
import json

import pytest

from pyrunc.errors import ConfigError
from pyrunc.oci import parsing
from tests.planned import minimal

EVERYTHING = minimal(
    hostname="a",
    mounts=[{"destination": "/a", "type": "tmpfs"}],
    hooks={"prestart": [{"path": "/hook"}]},
    linux={
        "namespaces": [{"type": "pid"}, {"type": "uts"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2}],
        "resources": {"devices": [{"allow": True}], "memory": {}, "pids": {}},
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG"}]},
        "sysctl": {},
    },
)
ABSENT = object()
TYPES = [  # pointer, value put there, what the message says
    ("", [], "expected an object, found an array"),
    ("", "text", 'expected an object, found "text"'),
    ("", None, "expected an object, found null"),
    ("/ociVersion", ABSENT, "ociVersion is missing"),
    ("/ociVersion", None, "ociVersion is missing"),
    ("/ociVersion", 1, "expected a string, found 1"),
    ("/ociVersion", "1.3", 'expected a version such as 1.3.0, found "1.3"'),
    ("/ociVersion", "v1.0.0", 'expected a version such as 1.3.0, found "v1.0.0"'),
    ("/ociVersion", "1.0.x", 'expected a version such as 1.3.0, found "1.0.x"'),
    ("/ociVersion", "1.\N{ARABIC-INDIC DIGIT ONE}.0", 'expected a version such as 1.3.0, found "1.\N{ARABIC-INDIC DIGIT ONE}.0"'),
    ("/ociVersion", "2.0.0", 'expected a version from 1.0.0 to 1.3.x, found "2.0.0"'),
    ("/ociVersion", "0.9.0", 'expected a version from 1.0.0 to 1.3.x, found "0.9.0"'),
    ("/ociVersion", "1.4.0", 'expected a version from 1.0.0 to 1.3.x, found "1.4.0"'),
    ("/ociVersion", "1." + "9" * 5000 + ".0", 'expected a version from 1.0.0 to 1.3.x, found "1.' + "9" * 57 + "..."),
    ("/process", [], "expected an object, found an array"),
    ("/process/cwd", ABSENT, "cwd is missing"),
    ("/process/cwd", "tmp", 'expected an absolute path, found "tmp"'),
    ("/process/cwd", "", 'expected an absolute path, found ""'),
    ("/process/args", ABSENT, "args[0] is missing"),
    ("/process/args", [], "args[0] is missing"),
    ("/process/args", [""], "args[0] is missing"),
    ("/process/args", "sh", 'expected an array, found "sh"'),
    ("/process/args/0", 5, "expected a string, found 5"),
    ("/process/terminal", 1, "expected true or false, found 1"),
    ("/process/terminal", "true", 'expected true or false, found "true"'),
    ("/process/env/0", "A", 'environment entry "A" has no "="'),
    ("/process/env/0", "=A", 'environment entry "=A" has no name before the "="'),
    ("/linux/devices/0/major", 4096, "expected an integer from 0 to 4095, found 4096"),
    ("/linux/devices/0/major", -1, "expected an integer from 0 to 4095, found -1"),
    ("/linux/devices/0/minor", 1 << 20, "expected an integer from 0 to 1048575, found 1048576"),
    ("/linux/devices/0/minor", -2, "expected an integer from 0 to 1048575, found -2"),
    ("/linux/resources/devices/0/major", 4096, "expected an integer from -1 to 4095, found 4096"),
    ("/linux/resources/devices/0/minor", -2, "expected an integer from -1 to 1048575, found -2"),
    ("/process/user/uid", -1, "expected an integer from 0 to 4294967294, found -1"),
    ("/process/user/uid", 4294967295, "expected an integer from 0 to 4294967294, found 4294967295"),
    ("/process/user/uid", True, "expected an integer, found true"),
    ("/process/user/uid", 1.0, "expected an integer, found 1.0"),
    ("/process/user/uid", "0", 'expected an integer, found "0"'),
    ("/process/user/uid", 10**4200, f"expected an integer from 0 to 4294967294, found 1{'0' * 59}..."),
    ("/process/user/umask", 0o1000, "expected an integer from 0 to 511, found 512"),
    ("/process/user/additionalGids/0", [], "expected an integer, found an array"),
    ("/process/oomScoreAdj", 1001, "expected an integer from -1000 to 1000, found 1001"),
    ("/process/ioPriority/class", "LOUD", ("expected one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE, "
     'found "LOUD"')),
    ("/root/path", ABSENT, "path is missing"),
    ("/root/path", {}, "expected a string, found an object"),
    ("/root/readonly", "no", 'expected true or false, found "no"'),
    ("/hostname", "a" * 65, "longer than 64 bytes"),
    ("/hostname", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 33, "longer than 64 bytes"),
    ("/mounts/0/destination", ABSENT, "destination is missing"),
    ("/mounts/0/options/0", False, "expected a string, found false"),
    ("/annotations/a~1b~0c", 1, "expected a string, found 1"),
    ("/hooks/prestart/0/path", "hook", 'expected an absolute path, found "hook"'),
    ("/hooks/prestart/0/timeout", 0, "expected an integer from 1 to 2147483647, found 0"),
    ("/linux/namespaces/0/type", "pidd", ("expected one of pid, network, mount, ipc, uts, user, cgroup, time, "
     'found "pidd"')),
    ("/linux/namespaces/0/path", "proc/1", 'expected an absolute path, found "proc/1"'),
    ("/linux/namespaces/1/type", "pid", "namespace pid is listed twice"),
    ("/linux/uidMappings", ABSENT, "a new user namespace needs mappings"),
    ("/linux/uidMappings/0/size", 0, "expected an integer from 1 to 4294967295, found 0"),
    ("/linux/timeOffsets", {"boottime": {}}, "timeOffsets needs a time namespace"),
    ("/domainname", "x" * 65, "longer than 64 bytes"),
    ("/linux/devices/0/type", "d", 'expected one of c, b, u, p, found "d"'),
    ("/linux/devices/0/major", ABSENT, "major is missing"),
    ("/linux/devices/0/minor", ABSENT, "minor is missing"),
    ("/linux/rootfsPropagation", "rpublic", ("expected one of shared, slave, private, unbindable, rshared, rslave, "
     'rprivate, runbindable, found "rpublic"')),
    ("/linux/resources/memory/limit", 1 << 63, f"expected an integer from {-(1 << 63)} to {(1 << 63) - 1}, found {1 << 63}"),
    ("/linux/resources/devices/0/allow", ABSENT, "allow is missing"),
    ("/linux/resources/hugepageLimits", [{"pageSize": "64kB", "limit": 1}], 'expected a size such as 2MB, found "64kB"'),
    ("/linux/resources/hugepageLimits", [{"pageSize": "../MB", "limit": 1}], 'expected a size such as 2MB, found "../MB"'),
    ("/linux/resources/hugepageLimits", [{"pageSize": "MB", "limit": 1}], 'expected a size such as 2MB, found "MB"'),
    ("/linux/seccomp/syscalls/0/names", ABSENT, "names is missing"),
    ("/linux/seccomp/syscalls/0/args/0/index", 6, "expected an integer from 0 to 5, found 6"),
    ("/linux/seccomp/listenerMetadata", "x", "listenerMetadata without listenerPath"),
    ("/linux/sysctl/a", 1, "expected a string, found 1"),
]  # fmt: skip


def changed(pointer: str, value: object) -> object:
    """Return EVERYTHING with VALUE at POINTER, with what is missing on the way."""
    if not pointer:
        return value
    document = copy.deepcopy(EVERYTHING)
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    place = document
    for step, after in itertools.pairwise(steps):
        made = [] if after.isdigit() else {}
        if isinstance(place, list):
            if int(step) == len(place):
                place.append(made)
            place = place[int(step)]
        else:
            place = place.setdefault(step, made)
    last = steps[-1]
    if value is ABSENT:
        del place[last]
    elif isinstance(place, list):
        place[int(last) :] = [value]
    else:
        place[last] = value
    return document


def error_of(document: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parsing.parse(json.dumps(document).encode())
    return caught.value


def test_the_base_is_right():
    assert parsing.parse(json.dumps(EVERYTHING).encode()).hostname == "a"


@pytest.mark.parametrize(("pointer", "value", "message"), TYPES)
def test_one_fault(pointer: str, value: object, message: str):
    if "/args/0/index" in pointer:
        pointer, value = pointer.rpartition("/")[0], {"index": value, "value": 0, "op": "SCMP_CMP_EQ"}
        error = error_of(changed(pointer, value))
        pointer += "/index"
    else:
        error = error_of(changed(pointer, value))
    assert error.pointer == (f"{pointer}/0/pageSize" if pointer.endswith("hugepageLimits") else pointer)
    assert error.message == message
    assert "\n" not in str(error)
    assert not pointer or pointer in str(error)


@pytest.mark.parametrize(
    ("changes", "pointer", "hint"),
    [
        ({"hostname": "a", "linux": {}}, "/hostname", 'add {"type": "uts"} to /linux/namespaces'),
        ({"domainname": "a", "linux": {}}, "/domainname", 'add {"type": "uts"} to /linux/namespaces'),
        ({"linux": {"namespaces": [{"type": "pid"}] * 2}}, "/linux/namespaces/1/type", "remove one"),
        (
            {"linux": {"namespaces": [{"type": "user"}]}},
            "/linux/uidMappings",
            "add linux.uidMappings, or nobody is root in the container",
        ),
        ({"process": {"cwd": "/"}}, "/process/args", "name the program to run"),
        ({"process": {}}, "/process/cwd", "the specification requires it"),
        ({"process": {"cwd": "/", "args": ["a"], "env": ["B"]}}, "/process/env/0", 'write it as "NAME=value"'),
        (
            {"process": {"cwd": "/", "args": ["a"], "ioPriority": {"priority": 1}}},
            "/process/ioPriority/class",
            "the specification requires it",
        ),
        ({"ociVersion": "3.0.0"}, "/ociVersion", "this runtime follows 1.3.0"),
        (
            {"linux": {"timeOffsets": {"realtime": {}}, "namespaces": [{"type": "time"}]}},
            "/linux/timeOffsets/realtime",
            "one of monotonic, boottime",
        ),
        (
            {"linux": {"timeOffsets": {"a/b": {}}, "namespaces": [{"type": "time"}]}},
            "/linux/timeOffsets/a~1b",
            "one of monotonic, boottime",
        ),
    ],
)
def test_hints(changes: dict, pointer: str, hint: str):
    error = error_of(minimal(**changes))
    assert (error.pointer, error.hint) == (pointer, hint)
    assert str(error) == f"{error.message} (at {pointer}; {hint})"


@pytest.mark.parametrize(
    ("limits", "message", "pointer"),
    [
        ([("RLIMIT_AS", 1, 2)], "soft limit 2 is above hard 1", "/process/rlimits/0/soft"),
        ([("RLIMIT_AS", 1, 1)] * 2, "RLIMIT_AS is listed twice", "/process/rlimits/1/type"),
    ],
)
def test_rlimits(limits: list[tuple[str, int, int]], message: str, pointer: str):
    rows = [dict(zip(("type", "hard", "soft"), limit, strict=True)) for limit in limits]
    error = error_of(minimal(process={"cwd": "/", "args": ["a"], "rlimits": rows}))
    assert (error.message, error.pointer) == (message, pointer)


def test_null_is_absent():
    """Engines written in Go send null for empty slices and maps."""
    nothing = dict.fromkeys(("mounts", "hooks", "annotations", "hostname"))
    linux = {"devices": None, "resources": None, "sysctl": None, "namespaces": None}
    made = parsing.parse(json.dumps(minimal(**nothing, linux=linux)).encode())
    assert made == parsing.parse(json.dumps(minimal(linux={})).encode())


def test_unknown_properties_are_ignored():
    """config.md, "Extensibility"."""
    assert parsing.parse(json.dumps(minimal(windows={"a": 1}, x=[])).encode()) == parsing.parse(json.dumps(minimal()).encode())


def test_a_process_document_has_its_own_root():
    with pytest.raises(ConfigError) as caught:
        parsing.parse_process(b'{"cwd": "/", "args": ["a"], "env": ["A"]}')
    assert caught.value.pointer == "/env/0"
    with pytest.raises(ConfigError, match=r"process\.json: invalid JSON"):
        parsing.parse_process(b"{")
