"""`mounts`: mounts that come to a container, and go, while it runs (crun(1), "mounts add", "mounts remove").

What was added stands in the file `mounts` of the container's directory, each with the kernel's number of it.  It is
written down before it is done, and the numbers are noted by whoever mounts (run/steps/livemounts.py): so a later
command knows what one that was killed has left.
"""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGCHLD, pthread_sigmask, signal, valid_signals
from _struct import iter_unpack

from pyrunc.container import store, work
from pyrunc.container.bundle import read_document
from pyrunc.container.initroot import open_root
from pyrunc.container.statefile import SavedState, load, write_file
from pyrunc.container.status import alive, guard, runs_still, status_of
from pyrunc.errors import ConfigError, OpError, PyruncError, StateError, UnsupportedError
from pyrunc.host import facts, mounted
from pyrunc.jsonio import dumps, loads
from pyrunc.oci import parsing
from pyrunc.plan import livemounts, paths
from pyrunc.plan.op import INIT_ROOT
from pyrunc.plan.request import Request
from pyrunc.run import executor, newprocess
from pyrunc.run.context import Context
from pyrunc.run.failure import INIT, START
from pyrunc.run.steps.livemounts import NOTE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyrunc.log import Log
    from pyrunc.plan.op import Plan

RECORD, NOTES = "mounts", "mounts.notes"
PREFIX = "/mounts"  # of pointers into a configuration; the file is the array itself
NUMBER = "id"
ADDED = "mounts list shows what was added"
ENDED = "container not running any more"
WITH_IT = "its mounts have ended with it"


def add(root: str, container: str, path: str, log: Log) -> None:
    """Mount in CONTAINER what the file at PATH lists, in the form of config.json's mounts: all of it, or nothing.

    Raises StateError unless it is created, running or paused, and what create raises for its mounts.
    """
    asked = _array(path)

    def do(directory: str, saved: SavedState) -> None:
        """Plan it, write it down, do it."""
        document: Any = loads(_config(directory))
        document["mounts"] = asked
        config = parsing.parse(dumps(document).encode())
        request = Request(id=container, bundle=saved.bundle, rootfs=saved.rootfs)
        plan = livemounts.add(config, saved.joins, facts.probe(), request)
        before = present(directory, saved.pid)
        _save(directory, [*before, *({**each, NUMBER: 0} for each in asked)])
        notes = posix.open(f"{directory}/{NOTES}", posix.O_RDWR | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o600)
        try:
            _run(plan, saved, {str(livemounts.NOTES): notes}, log)
        except BaseException:
            _take_back(directory, saved, before, log)
            raise
        _save(directory, present(directory, saved.pid))

    if asked:
        _working(root, container, do)


def remove(root: str, container: str, path: str, log: Log) -> None:
    """Unmount in CONTAINER what was added at the destinations that the file at PATH lists, the last of them first.

    Raises StateError, with nothing done, if nothing was added at one of them.
    """
    asked = _array(path)

    def do(directory: str, saved: SavedState) -> None:
        """Find them, and do it."""
        found = present(directory, saved.pid)
        left, chosen = list(found), []
        for index, each in enumerate(asked):
            at = f"/{index}/destination"
            where = each.get("destination") if isinstance(each, dict) else None
            if not isinstance(where, str):
                raise ConfigError("destination is missing", pointer=at, hint="name where it is mounted")
            there = [entry for entry in left if _place(entry["destination"], saved) == _place(where, saved)]
            if not there:
                raise ConfigError(f"no mount was added at {where}, or it is gone", pointer=at, hint=ADDED)
            left.remove(there[-1])
            chosen.append((int(there[-1][NUMBER]), f"{PREFIX}{at}"))
        try:
            _run(livemounts.remove(tuple(reversed(chosen)), saved.joins), saved, {}, log)
        finally:
            _save(directory, present(directory, saved.pid))

    if asked:
        _working(root, container, do)


def listing(root: str, container: str) -> list[dict[str, Any]]:
    """Return the mounts that were added to CONTAINER, and that are still there.  Raises StateError if it does not run."""
    directory = store.directory(root, container)
    saved = load(directory)
    guard("mounts", saved, status_of(directory, saved))
    return [{name: value for name, value in each.items() if name != NUMBER} for each in present(directory, saved.pid)]


def present(directory: str, pid: int) -> list[dict[str, Any]]:
    """Return what was added, as DIRECTORY remembers it, and is still mounted where process PID is, with its numbers.

    Raises StateError if that has ended.
    """
    if not posix.access(f"{directory}/{RECORD}", posix.F_OK):
        return []
    entries: Any = loads(read_document(f"{directory}/{RECORD}"))
    pending = [each for each in entries if not each[NUMBER]]
    if pending:
        noted = read_document(f"{directory}/{NOTES}") if posix.access(f"{directory}/{NOTES}", posix.F_OK) else b""
        numbers = [number for (number,) in iter_unpack("=Q", noted[: len(noted) // NOTE_SIZE * NOTE_SIZE])]
        for each, number in zip(pending, numbers, strict=False):
            each[NUMBER] = number
    try:
        there = {row.id for row in mounted.rows(pid)}
    except OSError:
        raise StateError(ENDED, hint=WITH_IT) from None
    return [each for each in entries if each[NUMBER] in there]


def _working(root: str, container: str, do: Callable[[str, SavedState], None]) -> None:
    """Call DO with the directory of CONTAINER and what that remembers, while nobody else works on it.

    Pointers of errors become such into the array that the caller has given.
    """
    directory = store.directory(root, container)
    load(directory)  # that there is none is said first
    working = work.begin(directory, "mounts")
    try:
        saved = load(directory)
        guard("mounts", saved, status_of(directory, saved))
        if "mount" not in saved.joins:
            text, hint = "the container is in its caller's mount namespace", "use mount(8) and umount(8)"
            raise UnsupportedError(f"cannot change its mounts: {text}", pointer="/linux/namespaces", hint=hint)
        do(directory, saved)
    except PyruncError as error:
        if error.pointer.startswith(f"{PREFIX}/"):
            error.pointer = error.pointer.removeprefix(PREFIX)
        error.message = error.message.removeprefix(f"{START}: ").removeprefix(f"{INIT}: ")  # there is no start
        raise
    finally:
        working.close()


def _run(plan: Plan, saved: SavedState, slots: dict[str, int], log: Log) -> None:
    """Carry PLAN out in the container that SAVED remembers, and wait for its process."""
    say = log.debug if log.debugging else None
    signal(SIGCHLD, SIG_DFL)
    try:
        slots |= {"init": posix.pidfd_open(saved.pid), INIT_ROOT: open_root(saved.pid)}
    except ProcessLookupError:
        raise StateError(ENDED, hint=WITH_IT) from None
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        if not alive(saved):  # the process of that number is another's by now
            raise StateError(ENDED, hint=WITH_IT)
        context = Context(slots, {}, debug=say, warn=log.warning, root_mount=saved.root_mount)
        try:
            executor.run(plan, context)
            posix.waitpid(context.slots["child"], 0)
        finally:
            if context.sock is not None:
                context.sock.close()
            newprocess.let_go(context)
    except OpError as error:
        if runs_still(saved, slots["init"], error.errno):
            raise
        raise StateError(ENDED, hint=WITH_IT) from None
    finally:
        posix.close(slots["init"])
        pthread_sigmask(SIG_SETMASK, before)


def _take_back(directory: str, saved: SavedState, before: list[dict[str, Any]], log: Log) -> None:
    """Unmount what an add that has failed has mounted already: what DIRECTORY remembers beyond BEFORE."""
    known = {each[NUMBER] for each in before}
    numbers = [int(each[NUMBER]) for each in present(directory, saved.pid) if each[NUMBER] not in known]
    try:
        if numbers:
            _run(livemounts.remove(tuple((number, "") for number in reversed(numbers)), saved.joins), saved, {}, log)
    except (OSError, PyruncError) as error:
        log.warning(f"cannot clean up after the failure: {error}")
    _save(directory, present(directory, saved.pid))


def _save(directory: str, entries: list[dict[str, Any]]) -> None:
    """Remember ENTRIES in DIRECTORY."""
    write_file(f"{directory}/{RECORD}", dumps(entries).encode())


def _config(directory: str) -> bytes:
    """Return the configuration that DIRECTORY keeps."""
    return read_document(f"{directory}/{store.CONFIG}")


def _array(path: str) -> list[Any]:
    """Return the JSON array in the file at PATH.  Raises ConfigError if there is none, OpError if it cannot be read."""
    try:
        text = read_document(path)
    except OSError as error:
        text_, hint = f"cannot read {path}: {(error.strerror or '').lower()}", "name a file with an array of mounts"
        raise OpError(text_, errno=error.errno or 0, hint=hint) from None
    found = loads(text, path)
    if not isinstance(found, list):
        hint = 'such as [{"destination": "/data", "source": "/srv", "options": ["bind"]}]'
        raise ConfigError("mounts must be an array", hint=hint)
    return found


def _place(path: str, saved: SavedState) -> str:
    """Return PATH, a destination in the container that SAVED remembers, as planned mounts have it."""
    return paths.inside(path, saved.rootfs)
