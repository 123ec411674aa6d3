"""What is fuzzed: every document and text that pyrunc reads and somebody else has written.

A target takes one input.  It may refuse it, by PyruncError in one line; any other exception is a fault, and so are a hang and
memory that stays.  tests/test_fuzz.py has each for seconds, script/fuzz for minutes.
"""

# ruff: noqa: E501
from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from pyrunc.cgroup import knobs
from pyrunc.cli import parse
from pyrunc.cli.table import GLOBAL, ROWS
from pyrunc.container import merge, salvage, statefile
from pyrunc.container.verbs import check, planning
from pyrunc.criu import messages, report, streams
from pyrunc.criu.protobuf import decode
from pyrunc.errors import HookError, PyruncError
from pyrunc.install.edit import Wanted, diff
from pyrunc.install.engines import ENGINES
from pyrunc.jsonio import loads
from pyrunc.log import SHOWN, Log
from pyrunc.oci import parsing
from pyrunc.oci.hooks import Hook
from pyrunc.oci.linux import linux
from pyrunc.oci.resources import resources
from pyrunc.plan import build, mountopts
from pyrunc.run import undo
from pyrunc.run.steps import hooks, users
from pyrunc.seccomp import compile as compiler
from pyrunc.seccomp import library
from tests.machines import MACHINES
from tests.planned import GOLDEN, request
from tests.schemas import CHANGES, change, full, nodes, recorded, short

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(__file__).parent / "corpus"  # inputs that were once a fault, one file each below the target's name
FILES = {"containerd": "etc/containerd/config.toml", "docker": "etc/docker/daemon.json"}
TOML = """version = 2
# a comment
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    options = { SystemdCgroup = true }
"""
DAEMON = '{\n  "log-driver": "journald",\n  "runtimes": {"kata": {"path": "/usr/bin/kata"}},\n  "features": {"buildkit": true}\n}\n'
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:user,root\n"
STATE = statefile.SavedState(
    "box", "/bundle", "/bundle/rootfs", "2026-01-01T00:00:00.5Z", 0, 7, 9, {"a": "b\tc"}, hooks=("poststop",), found=("/x",)
)
WORDS = ["a", "ID", "--", "-", "--x", "-1", "=", "--root=", "--help", "-h", "1m", "9999999999999999999999", "\udcff", "é", "\0", ""]
WORDS += ["true", "false", "json", "SIGKILL", "KILL", "RTMIN+1"]


class Target(NamedTuple):
    """What is fuzzed: where its inputs come from, and what is done with one."""

    inputs: st.SearchStrategy[Any]
    does: Callable[[Any], object]
    share: float = 1.0  # of the usual number of examples


@functools.cache
def bases(part: str) -> list[Any]:
    """Return documents of PART (config, process, resources) that are right."""
    found = [short(document) for kind, _, document in recorded() if kind == part]
    golden = [json.loads(path.read_bytes()) for path in sorted(GOLDEN.glob("*.json"))]
    if part == "config":
        found += [full(), *(document for document in golden if "ociVersion" in document)]
    elif part == "process":
        found += [full()["process"], *(document for document in golden if "ociVersion" not in document)]  # type: ignore[index]
    elif part == "seccomp":
        found += [full()["linux"]["seccomp"]]  # type: ignore[index]
        found += [document["linux"]["seccomp"] for document in bases("config") if document.get("linux", {}).get("seccomp")]
    else:
        found += [full()["linux"]["resources"]]  # type: ignore[index]
    return found


def mutated(document: Any, steps: list[tuple[int, Any]]) -> Any:
    """Return DOCUMENT with a change at some places: of each step the number chooses which."""
    for number, how in steps:
        places = nodes(document)
        document = change(document, places[number % len(places)], how)
    return document


def documents(part: str) -> st.SearchStrategy[Any]:
    """Return documents of PART in which little is wrong, or nothing."""
    steps = st.lists(st.tuples(st.integers(0, 1 << 20), st.sampled_from(CHANGES) | st.text(max_size=8)), max_size=4)
    return st.builds(mutated, st.deferred(lambda: st.sampled_from(bases(part))), steps)


def mangled(*texts: bytes) -> st.SearchStrategy[bytes]:
    """Return TEXTS in which a few bytes are others, are missing, or are there twice."""

    def mangle(text: bytes, steps: list[tuple[int, int, bytes]]) -> bytes:
        for start, length, put in steps:
            at = start % (len(text) + 1)
            text = text[:at] + put + text[at + length :]
        return text

    put = st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"]", b"\\", b"\n", b"\t", b":", b",", b"[x]", b"\xff", b"0" * 5000, b"\0"])
    steps = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 9), put), max_size=5)
    return st.builds(mangle, st.sampled_from(texts), steps) | st.binary(max_size=60)


def texts(part: str) -> st.SearchStrategy[bytes]:
    """Return the text of documents of PART, some of it no JSON at all."""
    whole = documents(part).map(lambda document: json.dumps(document).encode())
    broken = st.deferred(lambda: mangled(*(json.dumps(document).encode() for document in bases(part)[:8])))
    return whole | whole | whole | broken


@functools.cache
def scratch() -> str:
    """Return a directory for targets that read files."""
    directory = tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-")
    _KEPT.append(directory)
    return directory.name


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _file(name: str, data: bytes) -> str:
    """Write DATA to file NAME of the scratch directory, and return its path."""
    path = f"{scratch()}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def _plan(text: bytes) -> None:
    """Plan what TEXT says, for every machine."""
    config = parsing.parse(text)
    for facts in MACHINES.values():
        build.build(config, facts, request())


def _exec(text: bytes) -> None:
    """Plan the process that TEXT says."""
    process = parsing.parse_process(text)
    for facts in MACHINES.values():
        build.build_exec(process, ("mount", "pid", "user"), (), linux({}, "/linux"), facts, request())


def _check(text: bytes) -> None:
    """Let `check` look at a bundle whose config.json is TEXT, and tell; and `plan`."""
    _file("bundle/config.json", text)
    os.makedirs(f"{scratch()}/bundle/rootfs/bin", exist_ok=True)
    found = check.check(f"{scratch()}/bundle")
    for each in (*found.violations, *found.lacking, *found.warnings):
        assert each.message, each
    planning.plan(f"{scratch()}/bundle")


def _update(document: Any) -> None:
    """Merge an update into limits, as `update` does."""
    resources(document, knobs.ROOT)
    for base in bases("resources"):
        resources(merge.merged(base, document), knobs.ROOT)


def _state(text: bytes) -> None:
    """Read a state file, what was noted, and what can be salvaged."""
    directory = f"{scratch()}/box"
    _file("box/state", text)
    _file("box/made", text)
    _file("box/config.json", b"{}" if len(text) % 2 else text)
    found = statefile.noted(directory)
    undo.backwards(token for token in found if token.call not in ("clone3", "start_scope") and "/" not in "".join(token.words))
    try:
        statefile.load(directory)
    except PyruncError as error:
        salvage.saved(directory, error, Log())


def _seccomp(document: Any) -> None:
    """Compile a profile."""
    wanted = linux({"seccomp": document}, "/linux").seccomp
    if wanted is not None:
        compiler.compile_filter(wanted)


def _users(tables: tuple[bytes, bytes, str]) -> None:
    """Look users up."""
    passwd, group, text = tables
    users.home_of(passwd, 1000)
    users.resolve(text, 0, 0, passwd, group)


def _options(words: list[str]) -> None:
    """Read the options of a mount."""
    mountopts.parse(tuple(words))


def _argv(words: list[str]) -> None:
    """Take a command line apart."""
    general, place = parse.parse_general(words)
    parse.parse_command(words, place, general)


def _manifest(text: bytes) -> None:
    """Read what a checkpoint has written beside the image, CRIU's answers, and its log."""
    directory = os.open(os.path.dirname(_file("image/descriptors.json", text)), os.O_RDONLY)
    try:
        report.last_errors(_file("image/dump.log", text))
        streams.inherited(streams.read(directory, "/image"))
    finally:
        os.close(directory)


def _answer(data: bytes) -> None:
    """Decode an answer of CRIU's.  For what is none its worker says so (ValueError)."""
    try:
        decode(messages.RESPONSE, data)
    except ValueError as error:
        raise PyruncError(str(error)) from None


def _engine(name: str) -> Callable[[bytes], None]:
    """Return what registers with engine NAME, whose file is given, and takes that back."""

    def does(text: bytes) -> None:
        _file(f"{name}/{FILES[name]}", text)
        wanted = Wanted("pyrunc", "/usr/local/bin/pyrunc", default=True, destdir=f"{scratch()}/{name}")
        for each in (ENGINES[name].add(wanted), ENGINES[name].remove(wanted)):
            diff(each)

    return does


def _hook(said: tuple[bytes, bytes, int]) -> None:
    """Run a hook that says something on both streams and ends with a status."""
    out, err, status = _file("hook/out", said[0]), _file("hook/err", said[1]), said[2]
    script = f"cat {out}; cat {err} >&2; exit {status}"
    try:
        hooks.run_with_state(Hook("/bin/sh", ("sh", "-c", script), (), 10), b"{}", "prestart", 0, "/")
    except HookError as error:
        _shown(str(error))
        raise
    assert status == 0


def _shown(text: str) -> None:
    """Check that TEXT, which quotes somebody, is one line on a terminal, which obeys nothing in it, and one of a log."""
    assert not set(text.translate(SHOWN)) & set(map(chr, SHOWN)), text
    log = os.open(_file("hook/log", b""), os.O_RDWR)
    try:
        Log(log, "json").error(text)
        (line,) = os.pread(log, 1 << 20, 0).splitlines()
    finally:
        os.close(log)
    assert json.loads(line)["msg"] == text, text


OPTIONS = ["ro", "rw", "rbind", "bind", "nosiud", "size=1g", "mode=0755", "idmap", "ridmap", "idmap=uids=0-1-2", "tmpcopyup", "lowerdir=/a:/b"]
OPTIONS += ["x" * 5000, ",", "=", "a,b,c", "rro", "private", "rshared", "remount", "defaults", "", "é", "uid=-1", "rnoatime", "noatime"]
COMMANDS = [f"--{name}" for option in (*GLOBAL, *(each for row in ROWS.values() for each in row().options)) for name in option.names]
TARGETS = {
    "parse": Target(texts("config"), parsing.parse, 3),
    "process": Target(texts("process"), _exec, 1),
    "plan": Target(texts("config"), _plan, 1),
    "check": Target(texts("config"), _check, 0.2),
    "update": Target(documents("resources"), _update, 1),
    "state": Target(mangled("".join("\t".join(line) + "\n" for line in statefile._lines(STATE)).encode()), _state, 2),
    "json": Target(mangled(b'{"a": [1, -2.5e3, "\\u00e9\\ud83d\\ude00", null, true, {"b": {}}]}'), lambda text: loads(text, "x"), 3),
    "users": Target(st.tuples(mangled(PASSWD), mangled(GROUP), st.text(max_size=12)), _users, 2),
    "mount options": Target(st.lists(st.sampled_from(OPTIONS) | st.text(max_size=10), max_size=8), _options, 2),
    "argv": Target(st.lists(st.sampled_from([*ROWS, *COMMANDS, *WORDS]) | st.text(max_size=8), max_size=8), _argv, 3),
    "manifest": Target(mangled(b'["pipe:[1]","/dev/null","socket:[2]"]', b"(00.1) 7: Error (criu/x.c:1): no\n"), _manifest, 1),
    "answer": Target(mangled(b"\x08\x05\x10\x01", b"\x08\x07\x10\x01\x32\x04\x0a\x02ab"), _answer, 3),
    "hook output": Target(st.tuples(mangled(b"no such device\n", b"\x1b[2J\xe2\x80\xa8\xed\xa0\x80" * 999), mangled(b"a\nb\r"), st.integers(0, 255)), _hook, 0.1),
    "containerd": Target(mangled(TOML.encode()), _engine("containerd"), 0.5),
    "docker": Target(mangled(DAEMON.encode()), _engine("docker"), 1),
}
try:
    library.load()
    TARGETS["seccomp"] = Target(documents("seccomp"), _seccomp, 0.3)
except PyruncError:
    pass  # without libseccomp nothing compiles


def told(error: PyruncError) -> None:
    """Check that ERROR is one line that says something."""
    text = str(error)
    assert text.strip(), repr(error)
    assert len(text) < 20_000, f"{len(text)} characters"


def one(name: str, made: Any) -> None:
    """Give target NAME one input: it takes or refuses it."""
    try:
        TARGETS[name].does(made)
    except PyruncError as error:
        told(error)


def corpus(name: str) -> list[Path]:
    """Return the inputs of target NAME that are kept: Python literals."""
    return sorted((CORPUS / name.replace(" ", "-")).glob("*.py")) if CORPUS.is_dir() else []


def resident() -> int:
    """Return how many bytes of memory this process has (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
