"""Users by number and name, from tables that an image has made (CVE-2016-3697, CVE-2026-30892)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import UsageError
from pyrunc.run.steps import users

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
user:x:1000:100::/home/user:/bin/sh
1001:x:0:0:a number for a name:/root:/bin/sh
4294967296:x:0:0::/root:/bin/sh
+7:x:0:0::/root:/bin/sh
homeless:x:2000:200:::
short:x:3000
three:x:3000:
# comment
:x:0:0::/root:/bin/sh
huge:x:4294967295:0::/:
vast:x:0:99999999999999999999::/:
negative:x:-1:0::/:
word:x:zero:0::/:
odd:x:0x10:0::/:
empty:x::0::/:
user:x:0:0:a second one:/root:/bin/sh
caf\xc3\xa9:x:1002:102::/home/caf\xc3\xa9:/bin/sh
"""
COFFEE = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
GROUP = b"root:x:0:\nstaff:x:50:user\n51:x:0:\nbad:x:fifty:\nhuge:x:4294967295:\nshort:x\nmany:x:52:" + b"a," * 5000 + b"\n"


def resolve(text: str) -> tuple[int, int]:
    return users.resolve(text, 5, 6, PASSWD, GROUP)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("0", (0, 6)),
        ("1000", (1000, 6)),
        ("0:0", (0, 0)),
        ("4294967294:4294967294", (4294967294, 4294967294)),
        ("user", (1000, 100)),
        ("user:staff", (1000, 50)),
        ("user:7", (1000, 7)),
        ("7:staff", (7, 50)),
        (":staff", (5, 50)),
        (":7", (5, 7)),
        ("root", (0, 0)),
        ("1001", (1001, 6)),  # a number stays one, whatever the table calls so
        ("7:51", (7, 51)),
        ("7:many", (7, 52)),
        ("homeless", (2000, 200)),
        (COFFEE, (1002, 102)),
    ],
)
def test_who_that_is(text: str, ids: tuple[int, int]):
    assert resolve(text) == ids


@pytest.mark.parametrize(
    "text",
    ["", ":", "0:", "user:", "4294967295", "4294967296", "4294967296:0", "7:4294967296", "-1", "+0", "+7", "-0", "00", "007"]
    + ["0x0", "1e3", "1_000", "9" * 5000, "7:-1", "1 ", "1\n", "٣", "²", "1user", "nobody", "nobody:0", "7:nobody", "0:0:0"]
    + ["short", "#", " user", "User", "user ", "\0", "7:short", "root\0", "\udcff"],
)
def test_nobody(text: str):
    """None of these may be taken for root, or for anybody else."""
    with pytest.raises(UsageError) as caught:
        resolve(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("nobody", 'no user "nobody" in'), ("7:nobody", 'no group "nobody" in')])
def test_which_table_has_no_such_name(text: str, said: str):
    with pytest.raises(UsageError) as caught:
        resolve(text)
    assert caught.value.message == f"{said} the container's /etc/{'group' if ':' in text else 'passwd'}"


@pytest.mark.parametrize("text", ["huge", "vast", "negative", "word", "odd", "empty", "7:bad", "7:huge"])
def test_rows_whose_numbers_are_none(text: str):
    with pytest.raises(UsageError) as caught:
        resolve(text)
    what, table = ("group", "group") if ":" in text else ("user", "passwd")
    name = text.removeprefix("7:")
    assert caught.value.message == f'{what} "{name}" has no usable number in the container\'s /etc/{table}'


@given(text=st.text(max_size=12), passwd=st.binary(max_size=80), group=st.binary(max_size=80))
def test_any_tables(text: str, passwd: bytes, group: bytes):
    try:
        found = users.resolve(text, 5, 6, passwd, group)
    except UsageError:
        return
    assert all(0 <= number < 2**32 - 1 for number in found)


@given(st.lists(st.sampled_from([b"user", b":", b"x", b"0", b"1", b"\n", b"-1", b"4294967295", b""]), max_size=30))
def test_tables_made_of_likely_parts(parts: list[bytes]):
    table = b"user:" + b"".join(parts)
    try:
        found = users.resolve("user:user", 5, 6, table, table)
    except UsageError:
        return
    assert all(0 <= number < 2**32 - 1 for number in found)


@pytest.mark.parametrize(
    ("uid", "home"),
    [(0, "/root"), (1000, "/home/user"), (2000, "/"), (3000, "/"), (12345, "/"), (1002, f"/home/{COFFEE}")],
)
def test_homes(uid: int, home: str):
    assert users.home_of(PASSWD, uid) == home


def test_a_home_that_is_not_utf_8():
    assert users.home_of(b"a:x:7:7::/\xff:", 7) == "/\udcff"


@pytest.fixture
def root(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield tmp_path, fd
    os.close(fd)


def test_a_table_is_read_inside_the_root(root: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory):
    path, fd = root
    assert users.read_table(fd, "/etc/passwd") == b""
    (path / "etc/passwd").write_bytes(PASSWD)
    assert users.read_table(fd, "/etc/passwd") == PASSWD
    outside = tmp_path_factory.mktemp("outside") / "passwd"
    outside.write_text("stolen")
    for target in (str(outside), "../" * 20 + str(outside)):
        (path / "etc/passwd").unlink()
        (path / "etc/passwd").symlink_to(target)
        assert users.read_table(fd, "/etc/passwd") == b""


def test_a_fifo_does_not_hang_and_a_directory_is_none(root: tuple[Path, int]):
    path, fd = root
    os.mkfifo(path / "etc/passwd")
    (path / "etc/group").mkdir()
    assert users.read_table(fd, "/etc/passwd") == b""
    assert users.read_table(fd, "/etc/group") == b""


def test_only_so_much_is_read(root: tuple[Path, int]):
    path, fd = root
    with open(path / "etc/passwd", "wb") as file:
        file.truncate(1 << 34)
    assert len(users.read_table(fd, "/etc/passwd")) == 1 << 20
