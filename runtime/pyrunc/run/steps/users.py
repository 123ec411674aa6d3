"""Users of a container, from its own /etc/passwd and /etc/group, parsed here.

The C library would load NSS modules, from the container once we are in it.
"""

from __future__ import annotations

import posix

from pyrunc.errors import UsageError
from pyrunc.linux.fs import RESOLVE_IN_ROOT, openat2
from pyrunc.oci.convert import ID_MAX
from pyrunc.run.steps.rootpath import S_IFMT, S_IFREG

DEFAULT_HOME = "/"
TABLE_MAX = 1 << 20  # bytes; what lies beyond is not looked at


def read_table(root: int, path: str) -> bytes:
    """Return file PATH inside ROOT, as far as it goes; empty if it is missing or no plain file."""
    flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
    try:
        fd = openat2(root, path, flags, 0, RESOLVE_IN_ROOT)
    except OSError:
        return b""  # an image without users: everybody is a number
    try:
        if posix.fstat(fd).st_mode & S_IFMT != S_IFREG:
            return b""
        return posix.read(fd, TABLE_MAX)
    finally:
        posix.close(fd)


def _rows(text: bytes, fields: int) -> list[list[bytes]]:
    """Return the colon-separated rows of TEXT with at least so many FIELDS; others are no entries."""
    rows = (line.split(b":") for line in text.split(b"\n"))
    return [row for row in rows if len(row) >= fields]


def home_of(passwd: bytes, uid: int) -> str:
    """Return the home directory of UID (passwd(5)), or "/"."""
    wanted = b"%d" % uid
    for row in _rows(passwd, 6):
        if row[2] == wanted and row[5]:
            return str(row[5], "utf-8", "surrogateescape")
    return DEFAULT_HOME


def name_of(passwd: bytes, uid: int) -> str:
    """Return the name of UID (passwd(5)), "" if it has none."""
    wanted = b"%d" % uid
    return next((str(row[0], "utf-8", "replace") for row in _rows(passwd, 3) if row[2] == wanted), "")


def _number(text: str, what: str) -> int | None:
    """Return TEXT as an id; None if it is a name.

    Whatever begins like a number is one, and must be a plain one: a passwd file
    that has a user "4294967296" must not decide who that is (CVE-2016-3697).
    """
    if not text[:1].isdigit() and text[:1] not in ("+", "-"):
        return None
    plain = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
    if not plain or len(text) > 10 or int(text) > ID_MAX:
        hint = f"a decimal number from 0 to {ID_MAX}, or a name"
        raise UsageError(f'"{text}" is no {what}', hint=hint)
    return int(text)


def _lookup(text: str, table: bytes, what: str) -> list[bytes]:
    """Return the row of name TEXT in TABLE."""
    wanted = text.encode("utf-8", "surrogateescape")
    for row in _rows(table, 4 if what == "user" else 3):
        if row[0] == wanted:
            return row
    raise UsageError(
        f'no {what} "{text}" in the container\'s /etc/{"passwd" if what == "user" else "group"}',
        hint="name one that the file has, or a number",
    )


def _id(field: bytes, text: str, what: str) -> int:
    """Return FIELD of the row of TEXT as an id: with (uid_t)-1, setresuid(2) would leave us root."""
    if not field.isdigit() or len(field) > 10 or int(field) > ID_MAX:
        table = "passwd" if what == "user" else "group"
        raise UsageError(
            f'{what} "{text}" has no usable number in the container\'s /etc/{table}', hint="mend its line there, or name a number"
        )
    return int(field)


def resolve(text: str, uid: int, gid: int, passwd: bytes, group: bytes) -> tuple[int, int]:
    """Return the ids that `exec --user TEXT` means: USER[:GROUP], each a number or a name.

    What TEXT leaves out stays UID and GID; a user given by name brings its
    group along.  Raises UsageError (CVE-2026-30892 ran such a thing as root).
    """
    if not text or text == ":":
        raise UsageError("--user is empty", hint="write UID, UID:GID, or names")
    user, colon, groupname = text.partition(":")
    if colon and not groupname:
        raise UsageError(f'"{text}" names no group after the colon', hint="write UID:GID, or leave the colon out")
    if user:
        number = _number(user, "user")
        if number is None:
            row = _lookup(user, passwd, "user")
            number, gid = _id(row[2], user, "user"), _id(row[3], user, "user")
        uid = number
    if groupname:
        number = _number(groupname, "group")
        gid = _id(_lookup(groupname, group, "group")[2], groupname, "group") if number is None else number
    return uid, gid
