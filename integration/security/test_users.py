"""Numbers and names of users that would become root (CVE-2016-3697, CVE-2026-30892), and numbers that a register cuts off."""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest

from integration.looking import FIRST
from integration.security.naive import caught

# An image may say of anything that it is root.
NO_NUMBERS = ("4294967296", "4294967295", "-1", "01", "+1", "0x1", "1e0", "99999999999999999999", "\u0661")
PASSWD = "".join(f"{text}:x:0:0::/:/bin/sh\n" for text in NO_NUMBERS)
GROUP = "".join(f"{text}:x:0:\n" for text in NO_NUMBERS)


@pytest.fixture
def lying(runtime, bundle):
    """Return a running container whose files say that all of NO_NUMBERS are root; it is itself user 5 of group 6."""
    b = bundle()
    for name, text in (("passwd", PASSWD), ("group", GROUP)):
        with (b.rootfs / "etc" / name).open("a") as file:
            file.write(text)
    b.process["user"] = {"uid": 5, "gid": 6}
    return runtime.start(b)


def not_root(ids: tuple[int, int] | None) -> None:
    """Check that nobody has become root by IDS, None if there was none."""
    assert ids is None or 0 not in ids


def ids_of(runtime, name: str, user: str) -> tuple[int, int] | None:
    """Return the ids that `exec --user USER` leads to in container NAME, None if it is refused."""
    done = runtime.exec("--user", user, name, "sh", "-c", "id -u; id -g", check=False)
    if done.returncode:
        assert done.returncode == 255, done
        assert "Traceback" not in done.stderr
        return None
    uid, gid = done.stdout.split()
    return int(uid), int(gid)


@pytest.mark.pyrunc_only("takes numbers only, and some of these for them")
@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_looks_like_a_number_is_no_name(runtime, lying, text):
    for user in (text, f"{text}:7", f"7:{text}"):
        found = ids_of(runtime, lying, user)
        not_root(found)
        assert found is None


def test_what_looks_like_a_number_is_no_name_bites():
    """Who looks names up first, or lets setuid(2) cut numbers off, becomes root."""

    def by_name(text: str) -> int:
        return {line.split(":")[0]: int(line.split(":")[2]) for line in PASSWD.splitlines()}.get(text, 1)

    with caught():
        not_root((by_name("4294967296"), 1))
    with caught():
        not_root((ctypes.c_uint32(int("4294967296")).value, 1))


TABLE = {
    "": None, "1": (1, 6), "1:2": (1, 2), ":2": (5, 2), "1:": None, ":": None, "01": None, "+1": None, "1:2:3": None,
    "user": (1000, 1000), "user:staff": (1000, 50), "1:staff": (1, 50), "user:2": (1000, 2), "nobody-here": None,
}  # fmt: skip


def as_written(found: dict[str, tuple[int, int] | None]) -> None:
    """Check that FOUND is what was asked for: never root, which nobody has named."""
    assert found == TABLE


@pytest.mark.pyrunc_only("takes numbers only")
def test_exec_is_who_was_asked_for(runtime, lying):
    """CVE-2026-30892: what is left out stays the container's, and what cannot be read is no user at all."""
    as_written({text: ids_of(runtime, lying, text) for text in TABLE})


def test_exec_is_who_was_asked_for_bites():
    def naive(text: str) -> tuple[int, int]:
        user, _, group = text.partition(":")
        return (int(user) if user.isdigit() else 0), (int(group) if group.isdigit() else 0)

    with caught():
        as_written({text: naive(text) for text in TABLE})


# What a register cuts off: c_uint32(2**32) is 0, which is root.

TOO_LARGE = (1 << 32, (1 << 32) + 1, (1 << 64), (1 << 32) - 1, -1)
MAPPING = ("hostID", "containerID", "size")
FIELDS = ("uid", "gid", "additionalGids", *MAPPING, "oomScoreAdj", "rlimit", "umask")


def put(b, field: str, number: int) -> str:
    """Put NUMBER at FIELD of B's configuration, and return the pointer."""
    if field in ("uid", "gid", "umask"):
        b.process["user"] = {"uid": 5, "gid": 5, field: number}
        return f"/process/user/{field}"
    if field == "additionalGids":
        b.process["user"] = {"uid": 5, "gid": 5, field: [number]}
        return f"/process/user/{field}/0"
    if field == "oomScoreAdj":
        b.process[field] = number
        return f"/process/{field}"
    if field == "rlimit":
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": number, "hard": number}]
        return "/process/rlimits/0/"
    b.namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": FIRST, "size": 65536}]
    b.linux["uidMappings"][0][field] = number
    return f"/linux/uidMappings/0/{field}"


def nobody_ran(done) -> None:
    """Check that nothing was run, as whoever it may be."""
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.pyrunc_only("cuts some of them off")
@pytest.mark.parametrize("field", FIELDS)
def test_numbers_that_do_not_fit(runtime, bundle, field):
    b = bundle("id", "-u")
    for number in TOO_LARGE:
        if number > 0 and ((field == "rlimit" and number < 1 << 64) or (field in MAPPING and number < 1 << 32)):
            continue  # a number like others there; the kernel says which sums of them are none
        pointer = put(b, field, number)
        done = runtime.run(b, check=False)
        nobody_ran(done)
        assert pointer in done.stderr
        assert "Traceback" not in done.stderr


def test_numbers_that_do_not_fit_bites():
    """By ctypes as it is, setresuid(2) takes what is cut off: here it stays root, and does not even know."""
    code = (
        "import ctypes, os; libc = ctypes.CDLL(None); number = ctypes.c_uint32(1 << 32)\n"
        "libc.setresuid(number, number, number); print(os.getuid())"
    )
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == os.getuid() == 0
    with caught():
        nobody_ran(done)
