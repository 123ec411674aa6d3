"""The file `state` in a container's directory: what is remembered of it between two commands.

A line for each value, or for each place and annotation: its name and its words,
with tabs between; a word with a character that does not print is written with
backslashes, as in a Python literal.  Not JSON, as loading a scanner for that
would be a twentieth of the time of `state` and `kill`.
"""

from __future__ import annotations

import posix
from _codecs import unicode_escape_decode, unicode_escape_encode
from errno import EMFILE, ENFILE, ENOMEM

from pyrunc import handover
from pyrunc.cgroup.paths import Place
from pyrunc.errors import ConfigError, StateError
from pyrunc.plan.op import Token
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

STATE = "state"
OURS = (ENFILE, EMFILE, ENOMEM)  # what an open(2) lacks, and not the file
# Ops whose tokens are for a create that fails; a delete leaves what they are of.
PASSING = ("clone3", "run_hook", "move_device", "use_resctrl_class", "bind_rootfs")
MADE = "made"  # beside it, until its init is ready: what has been made so far
NUMBERS = ("owner", "pid", "start", "root_mount")
ESCAPES = "ntrxuU"  # what follows a backslash, beside another
TRUTHS = ("own_pid_namespace", "user_unit")
LISTS = ("joins", "hooks", "resctrl_joins", "resctrl_owns", "listener", "found")


class SavedState(Record):
    """One container.

    `pid` is 0 until its init is ready; `start` is that process's start time
    in clock ticks since boot (proc(5)), which tells it from a later process
    of the same pid; `root_mount` is the id of the mount that was its root then, 0 if
    that could not be seen.  `hooks` are the kinds that later commands must run,
    `joins` the types of namespaces that its config names, `unit` is systemd's (if `user_unit`, the user's own),
    `resctrl_joins` are the groups of resctrl that its processes join, `resctrl_owns`
    those of them that it is to have for itself, `found` the directories (of cgroups and
    resctrl) that were there before it, `made` the tokens of what it has made,
    `listener` is path and metadata of a seccomp agent, if `start` must tell one.
    """

    id: str
    bundle: str
    rootfs: str
    created: str
    owner: int
    pid: int = 0
    start: int = 0
    root_mount: int = 0
    annotations: dict[str, str] = {}  # noqa: RUF012 - records do not change
    places: tuple[Place, ...] = ()
    joins: tuple[str, ...] = ()
    own_pid_namespace: bool = True
    hooks: tuple[str, ...] = ()
    unit: str = ""
    user_unit: bool = False
    resctrl_joins: tuple[str, ...] = ()
    resctrl_owns: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    made: tuple[Token, ...] = ()


def load(directory: str) -> SavedState:
    """Return what DIRECTORY remembers.

    Raises StateError if it is no container's, ConfigError if its file cannot be read, or is not one that `save` wrote.
    """
    try:
        fd = posix.open(f"{directory}/{STATE}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        raise missing(directory) from None
    except OSError as error:
        if error.errno in OURS:
            raise
        raise _damaged(directory, f"cannot be read: {(error.strerror or '').lower()}") from None
    try:
        text = posix.read(fd, posix.fstat(fd).st_size)  # it never changes: another takes its name
    except OSError as error:
        raise _damaged(directory, f"cannot be read: {(error.strerror or '').lower()}") from None
    finally:
        posix.close(fd)
    try:
        return _parse(str(text, "utf-8"))
    except (ValueError, LookupError, TypeError):
        raise _damaged(directory, "is damaged") from None


def missing(directory: str) -> StateError:
    """Return the error for a container that should be in DIRECTORY, in words that engines look for."""
    root, _, name = directory.rpartition("/")
    return StateError("container does not exist", hint=f"there is no {name} below {root}: see pyrunc list, and --root")


def _damaged(directory: str, how: str) -> ConfigError:
    """Return the error for what DIRECTORY remembers no more; HOW is what became of the file."""
    hint = "delete --force ends what is in the container's cgroup, and removes it"
    return ConfigError(f"{directory}/{STATE} {how}", hint=hint)


def _parse(text: str) -> SavedState:
    """Return what TEXT says.  Raises ValueError, LookupError or TypeError for what `save` does not write."""
    values: dict[str, Any] = {}
    places: list[Place] = []
    annotations: dict[str, str] = {}
    made: list[Token] = []
    *lines, last = text.split("\n")
    for line in lines:
        name, first, *more = map(_read, line.split("\t"))
        if name == "places":
            places.append(Place(first, more[0], tuple(more[1:])))
        elif name == "annotations":
            annotations[first] = more[0]
        elif name == "made":
            made.append(Token(first, tuple(more)))
        elif name in LISTS:
            values[name] = (first, *more)
        elif name in TRUTHS:
            values[name] = first == "True"
        else:
            values[name] = int(first) if name in NUMBERS else first
    if last:
        raise ValueError("the last line has no end")
    return SavedState(places=tuple(places), annotations=annotations, made=tuple(made), **values)


def _lines(saved: SavedState) -> Iterator[tuple[str, ...]]:
    """Yield the words of each line for SAVED."""
    for name, value in saved.items():
        if name == "places":
            for place in saved.places:
                yield name, place.directory, place.mount, *place.controllers
        elif name == "annotations":
            for key, text in saved.annotations.items():
                yield name, key, text
        elif name == "made":
            for token in saved.made:
                yield name, token.call, *token.words
        elif name not in LISTS:
            yield name, str(value)
        elif value:
            yield name, *value


def _write(word: str) -> str:
    """Return WORD as it is written."""
    return word if word.isprintable() and "\\" not in word else str(unicode_escape_encode(word)[0], "ascii")


def _read(word: str) -> str:
    """Return what WORD was before it was written.  Raises ValueError for what `_write` does not write."""
    if "\\" not in word:
        return word
    _, *escapes = word.replace("\\\\", "").split("\\")
    if any(escape[:1] not in ESCAPES or not escape for escape in escapes):  # the decoder warns of those, and lets them pass
        raise ValueError("an escape that is none")
    return unicode_escape_decode(word)[0]


def note(directory: str, tokens: tuple[Token, ...]) -> None:
    """Write down in DIRECTORY that TOKENS have come about: we may be killed before the next `save`."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOFOLLOW
    fd = posix.open(f"{directory}/{MADE}", flags, 0o600)
    try:
        posix.write(fd, "".join("\t".join(map(_write, (each.call, *each.words))) + "\n" for each in tokens).encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{directory}/{MADE}") from None  # write(2) knows no name to tell
    finally:
        posix.close(fd)


def noted(directory: str) -> tuple[Token, ...]:
    """Return the tokens that `note` has written in DIRECTORY; a line that it was killed in, or that is damaged, means nothing."""
    try:
        fd = posix.open(f"{directory}/{MADE}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except FileNotFoundError:
        return ()
    try:
        *lines, _ = str(posix.read(fd, posix.fstat(fd).st_size), "utf-8", "replace").split("\n")
    finally:
        posix.close(fd)
    found = []
    for line in lines:
        try:
            call, *words = map(_read, line.split("\t"))
        except ValueError:
            continue  # damaged, and so no proof of anything
        found.append(Token(call, tuple(words)))
    return tuple(found)


def save(directory: str, saved: SavedState) -> None:
    """Replace what DIRECTORY remembers by SAVED; a reader sees the old or the new, whole."""
    text = "".join("\t".join(map(_write, words)) + "\n" for words in _lines(saved))
    write_file(f"{directory}/{STATE}", text.encode())


def write_file(path: str, data: bytes) -> None:
    """Write DATA to PATH at once: to a draft beside it, which then takes the name.

    The draft of a command that was killed is in nobody's way: it has the same
    name each time, and the next command takes it away.
    """
    draft = write_draft(path, data)
    try:
        posix.rename(draft, path)
    except OSError as error:
        posix.unlink(draft)
        raise OSError(error.errno, error.strerror, path) from None


def write_draft(path: str, data: bytes) -> str:
    """Write DATA to a draft of PATH, and return the draft's: rename(2) makes it count.  Raises OSError with PATH."""
    handover.begin()
    head, slash, tail = path.rpartition("/")
    draft = f"{head}{slash}.{tail}"
    try:
        fd = _new(draft)
        try:
            while data:
                data = data[posix.write(fd, data) :]
        except BaseException:
            posix.unlink(draft)
            raise
        finally:
            posix.close(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # write(2) knows no name to tell
    return draft


def _new(path: str) -> int:
    """Open new file PATH for writing; what somebody left there goes."""
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
    try:
        return posix.open(path, flags, 0o644)
    except FileExistsError:
        posix.unlink(path)
        return posix.open(path, flags, 0o644)
