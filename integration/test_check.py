"""What `create` or `start` refuses on this machine, `check` says before, at the same place; and of what runs it says nothing.

The runtime itself is the judge: each bundle is run, too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.harness.bundle import Bundle

NOT_HERE = 1


def program(*args: str) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        b.process["args"] = list(args)

    return change


def script(text: bytes, mode: int = 0o755) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        (b.rootfs / "bin/x").write_bytes(text)
        (b.rootfs / "bin/x").chmod(mode)
        b.process["args"] = ["x"]

    return change


def mount(destination: str, **rest: object) -> Callable[[Bundle], None]:
    return lambda b: b.config["mounts"].append({"destination": destination, "source": "x", **rest})


def cwd(path: str) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        b.process["cwd"] = path

    return change


def closed(mode: int, *capabilities: str) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        shutil.copy(b.rootfs / "bin/busybox", b.rootfs / "data/true")
        (b.rootfs / "data").chmod(mode)
        b.process["args"] = ["/data/true"]
        b.process["user"] = {"uid": 1000, "gid": 1000}
        b.process["capabilities"] = {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")}

    return change


def joining(path: str) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] != "network"]
        b.linux["namespaces"].insert(0, {"type": "network", "path": path})

    return change


def rlimit(hard: int) -> Callable[[Bundle], None]:
    def change(b: Bundle) -> None:
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": hard, "soft": 1024}]

    return change


def foreign(b: Bundle) -> None:
    data = bytearray((b.rootfs / "bin/busybox").read_bytes())
    data[18:20] = b"\x08\x00"  # EM_MIPS
    script(bytes(data))(b)


def loaderless(b: Bundle) -> None:
    """A program of the host's, which is linked dynamically, in an image without libraries."""
    script(Path("/bin/cat").read_bytes())(b)


SOURCE, OPTION, TO = "/mounts/{}/source", "/mounts/{}/options/0", "/mounts/{}/destination"
ARGS = "/process/args/0"
REFUSED = {
    "no program": (program("nosuch"), ARGS),
    "no program at its path": (program("/bin/nosuch"), ARGS),
    "a directory": (program("/bin"), ARGS),
    "not executable": (script(b"#!/bin/sh\n", 0o644), ARGS),
    "no interpreter": (script(b"#!/nosuch\n"), ARGS),
    "line ends": (script(b"#!/bin/sh\r\n"), ARGS),
    "text": (script(b"true\n"), ARGS),
    "empty": (script(b""), ARGS),
    "another machine": (foreign, ARGS),
    "no loader": (loaderless, ARGS),
    "a closed directory": (closed(0o700), ARGS),
    "cwd is a file": (cwd("/bin/busybox"), "/process/cwd"),
    "cwd below a file": (cwd("/bin/busybox/x"), "/process/cwd"),
    "no source": (mount("/data", type="bind", source="/no/such", options=["bind"]), SOURCE),
    "source below a file": (mount("/data", type="bind", source="/etc/passwd/x", options=["rbind"]), SOURCE),
    "option": (mount("/data", type="tmpfs", options=["nosiud"]), OPTION),
    "option's value": (mount("/data", type="tmpfs", options=["size=1x"]), OPTION),
    "option of devpts": (mount("/data", type="devpts", options=["gdi=5"]), "/mounts/{}"),
    "option of overlay": (mount("/data", type="overlay", options=["redirect=1", "lowerdir=/etc:/usr"]), "/mounts/{}"),
    "no lower directory": (mount("/data", type="overlay", options=["lowerdir=/etc:/no/such"]), "/mounts/{}"),
    "overlay of nothing": (mount("/data", type="overlay"), "/mounts/{}"),
    "overlay of one": (mount("/data", type="overlay", options=["lowerdir=/etc"]), "/mounts/{}"),
    "no namespace": (joining("/no/such"), "/linux/namespaces/0/path"),
    "another namespace": (joining("/proc/self/ns/uts"), "/linux/namespaces/0/path"),
    "a file as namespace": (joining("/etc/passwd"), "/linux/namespaces/0/path"),
    "too many open files": (rlimit(1 << 40), "/process/rlimits/0/hard"),
    "on a file": (mount("/bin/busybox", type="tmpfs"), TO),
    "below a file": (mount("/bin/busybox/x", type="tmpfs"), TO),
    "a file on a directory": (mount("/data", type="bind", source="/etc/passwd", options=["bind"]), TO),
}
FINE = {
    "as it is": program("true"),
    "link": program("/bin/true"),
    "script": script(b"#!/bin/sh\n"),
    "script of a script": lambda b: (script(b"#!/bin/sh\n")(b), script(b"#!/bin/x y\n")(b), program("true")(b)),
    "open directory": closed(0o755),
    "capability": closed(0o700, "CAP_DAC_OVERRIDE"),
    "a new directory": lambda b: (program("true")(b), cwd("/data/new")(b)),
    "program in a mount": lambda b: (program("/data/busybox", "true")(b), mount("/data", source=f"{b.path}/rootfs/bin", options=["bind"])(b)),
    "directory in a mount": lambda b: (program("true")(b), cwd("/bin/busybox/x")(b), cwd("/proc/self")(b)),
    "overlay": lambda b: (program("true")(b), mount("/data", type="overlay", options=["lowerdir=/etc:/usr"])(b)),
    "options": lambda b: (program("true")(b), mount("/data", type="tmpfs", options=["size=1m,mode=700", "nosuid"])(b)),
    "file on file": lambda b: (program("true")(b), mount("/etc/passwd", source="/etc/passwd", options=["bind"])(b)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_said_before(runtime, bundle, what):
    change, place = REFUSED[what]
    b = bundle("true")
    b.config["root"]["readonly"] = False
    place = place.format(len(b.config["mounts"]))
    change(b)
    b.save()
    done = runtime("run", "--bundle", str(b.path), runtime.prepare(b), check=False)
    assert done.returncode not in (0, 2)
    if runtime.name == "pyrunc":
        assert f"(at {place}" in done.stderr
        report = runtime("check", "--json", str(b.path), check=False)
        assert report.returncode == NOT_HERE, report
        found = json.loads(report.stdout)
        assert [each["pointer"] for each in found["lacking"] if f"(at {each['pointer']}" in done.stderr]
        assert all(each["hint"] and each["severity"] == "error" for each in found["lacking"])


@pytest.mark.parametrize("what", FINE)
def test_of_what_runs_nothing_is_said(runtime, bundle, what):
    b = bundle("true")
    b.config["root"]["readonly"] = False
    FINE[what](b)
    b.save()
    runtime("run", "--bundle", str(b.path), runtime.prepare(b))
    if runtime.name == "pyrunc":
        assert runtime("check", str(b.path)).stdout == "runs here\n"


@pytest.mark.pyrunc_only("has no check")
def test_check_changes_nothing(runtime, bundle):
    """Neither in the image nor among the mounts, modules or processes of the machine."""
    b = bundle("true")
    lower, upper, work = (b.path / name for name in ("lower", "upper", "work"))
    for each in (lower, upper, work):
        each.mkdir()
    mount("/data/new", type="overlay", options=[f"lowerdir={lower},upperdir={upper},workdir={work}"])(b)
    b.process["cwd"] = "/not/there/yet"
    b.save()

    def seen() -> list[str]:
        files = [f"{path} {path.lstat().st_mtime_ns}" for path in sorted(b.path.rglob("*"))]
        return [*files, Path("/proc/self/mountinfo").read_text(), *sorted(path.name for path in Path("/sys/module").iterdir())]

    before = seen()
    assert runtime("check", str(b.path)).stdout == "runs here\n"
    assert seen() == before
