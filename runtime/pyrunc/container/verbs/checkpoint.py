"""`checkpoint`: take a container down to files by CRIU, or copy it while it goes on."""

from __future__ import annotations

import errno
import posix
from fcntl import F_GETFL, fcntl

from pyrunc import handover
from pyrunc.cgroup import freezer
from pyrunc.container import store, work
from pyrunc.container.statefile import load
from pyrunc.container.status import guard, status_of
from pyrunc.container.verbs import delete
from pyrunc.criu import externals, messages, options, report, streams
from pyrunc.criu.worker import Worker
from pyrunc.errors import UnsupportedError, UsageError
from pyrunc.host import facts, mounted
from pyrunc.linux.fs import O_PATH
from pyrunc.oci import parsing
from pyrunc.plan.namespaces import FILES, has, is_new
from pyrunc.plan.paths import cleaned
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrunc.container.statefile import SavedState
    from pyrunc.container.work import Work
    from pyrunc.criu.options import DumpOptions
    from pyrunc.log import Log
    from pyrunc.oci.config import Config

LOG = "dump.log"
JOINED = (("network", externals.NETWORK), ("pid", externals.PID))  # what CRIU takes for external, and its key
ACCESS_MODE, READ_ONLY = 0o3, 0


def checkpoint(root: str, container: str, asked: DumpOptions, log: Log) -> None:
    """Checkpoint CONTAINER; unless it is to go on, it is deleted afterwards.

    Raises StateError unless it runs or is paused, UnsupportedError for what CRIU
    (or the lack of it) does not allow, OpError with CRIU's own words if it fails;
    then the container goes on.
    """
    directory = store.directory(root, container)
    working = work.begin(directory, "checkpoint")
    opened: list[int] = []
    try:
        saved = load(directory)
        guard("checkpoint", saved, status_of(directory, saved))
        with open(f"{directory}/{store.CONFIG}", "rb") as file:
            config = cleaned(parsing.parse(file.read()), saved.rootfs)
        externals.refuse(config)
        if store.has_notify_socket(directory):
            hint = "unset NOTIFY_SOCKET when it is created"
            raise UnsupportedError("cannot checkpoint a container that has a socket to report its readiness", hint=hint)
        _refuse_added(directory, saved)
        request = _options(asked, saved, config)
        _check_status_fd(asked)
        opened.append(options.open_directory(options.images(asked), "--image-path", make=True))
        request |= {"images_dir_fd": opened[0], "parent_img": options.parent(asked)}
        if asked.work:
            opened.append(options.open_directory(options.logs(asked), "--work-path", make=True))
            request["work_dir_fd"] = opened[1]
        if not asked.pre_dump:
            request |= _outside(saved, config, opened[0])
        _dump(asked, request, working)
        if not asked.leave_running and not asked.pre_dump:
            delete.destroy(directory, saved, log)
    finally:
        for fd in opened:
            posix.close(fd)
        working.close()


def _refuse_added(directory: str, saved: SavedState) -> None:
    """Raise UnsupportedError if the container has mounts that its configuration does not know."""
    from pyrunc.container.verbs import mounts

    if found := mounts.present(directory, saved.pid):
        text = f"cannot checkpoint a container with a mount that was added at {found[0]['destination']}"
        raise UnsupportedError(text, hint="take it away by mounts remove")


def _check_status_fd(asked: DumpOptions) -> None:
    """Raise UsageError unless the descriptor of --status-fd can be written to."""
    if asked.status_fd < 0:
        return
    try:
        readonly = fcntl(asked.status_fd, F_GETFL) & ACCESS_MODE == READ_ONLY
    except OSError as error:
        raise UsageError(
            f"invalid --status-fd argument {asked.status_fd}: {(error.strerror or '').lower()}",
            hint="name a descriptor that is open for writing",
        ) from None
    if readonly:
        raise UsageError(f"invalid --status-fd argument {asked.status_fd}: not writable", hint="open it for writing")


def _options(asked: DumpOptions, saved: SavedState, config: Config) -> dict[str, Any]:
    """Return what CRIU is told about the container as a whole."""
    found = freezer.of(saved.places)
    return {
        **options.common(asked, config.annotations),
        "log_file": LOG,
        "root": saved.rootfs,
        "pid": saved.pid,
        "leave_running": asked.leave_running or asked.pre_dump,
        "tcp_skip_in_flight": asked.skip_in_flight,
        "link_remap": asked.link_remap,
        "freeze_cgroup": found[0] if found else None,
        "ps": options.page_server(asked.page_server),
        "track_mem": asked.pre_dump or bool(asked.parent),
        "external": _joined(saved, config),
    }


def _joined(saved: SavedState, config: Config) -> list[str]:
    """Return the namespaces that the container has joined and that CRIU is to leave out."""
    found = []
    for kind, key in JOINED:
        if has(config.linux, kind) and not is_new(config.linux, kind):
            name = FILES.get(kind, kind)
            found.append(f"{name}[{posix.stat(f'/proc/{saved.pid}/ns/{name}').st_ino}]:{key}")
    return found


def _outside(saved: SavedState, config: Config, images: int) -> dict[str, Any]:
    """Return what CRIU is to leave out, mounts and streams, and note the streams in IMAGES."""
    rows = mounted.rows(saved.pid)
    found = list(externals.mounts(config, facts.probe(), saved.bundle, saved.places))
    root = posix.open(f"/proc/{saved.pid}/root", O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        places = {each.destination: where for each in found if (where := _where(root, each.destination))}
        null = posix.stat(externals.NULL).st_rdev
        masked = [where for path in config.linux.maskedPaths if (where := _where(root, path, null))]
    finally:
        posix.close(root)
    deep = {each.destination for each in found if each.deep}
    keys = externals.points(places, rows, deep)
    keys |= dict.fromkeys(masked, externals.NULL_MASK.key)
    names = streams.names(saved.pid, rows)
    streams.write(images, names)
    return {
        "ext_mnt": [{"key": point, "val": key} for point, key in keys.items()],
        "external": [*_joined(saved, config), *streams.external(names)],
    }


def _where(root: int, path: str, device: int = 0) -> str:
    """Return the path, without links, that PATH leads to in the container whose root is ROOT.

    "" if that is nowhere, or not DEVICE where one is given.
    """
    try:
        fd = rootpath.open_path(root, path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return ""
        raise
    try:
        right = not device or posix.fstat(fd).st_rdev == device
        return posix.readlink(f"/proc/self/fd/{fd}") if right else ""
    finally:
        posix.close(fd)


def _dump(asked: DumpOptions, request: dict[str, Any], working: Work) -> None:
    """Let CRIU do it."""

    def notify(script: str, _: int, fd: int) -> None:
        """Tell whoever waits that lazy pages can be fetched."""
        if fd >= 0:
            posix.close(fd)
        if script == "status-ready" and asked.status_fd >= 0:
            posix.write(asked.status_fd, b"\0")
            posix.close(asked.status_fd)

    worker = Worker(asked.program)
    handover.begin()
    try:
        working.waits_for(worker.pid)
        worker.version()
        if asked.pre_dump:
            worker.need("mem_track", "--pre-dump")
        if asked.lazy_pages:
            worker.need("lazy_pages", "--lazy-pages")
        kind = messages.PRE_DUMP if asked.pre_dump else messages.DUMP
        answer = worker.ask(kind, request, notify=notify)
    except BaseException:
        worker.end()  # not by force: the container's processes stand in its hands
        raise
    status = worker.end()  # after a pre-dump it waits for another one, and ends badly if there is none
    if not answer.get("success") or (status and not asked.pre_dump):
        doing = "pre-dump the container" if asked.pre_dump else "checkpoint the container"
        raise report.failed(doing, f"{options.logs(asked)}/{LOG}", answer)
