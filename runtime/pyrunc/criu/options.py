"""What a caller may ask of checkpoint and restore, as CRIU is to be told."""

from __future__ import annotations

import errno
import posix

from pyrunc.criu import messages as m
from pyrunc.errors import UsageError
from pyrunc.linux.process import CLONE_NEWNET
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IMAGES = "checkpoint"  # the directory for images, where none is named
LOG_DEBUG = 4
CONFIG_FILE = "/etc/criu/runc.conf"  # runc's: whoever has one means every runtime of its kind
CONFIG_ANNOTATION = "org.criu.config"
PORT_MAX = 65535


class CriuOptions(Record):
    """What both have.

    `program` is criu ("": what PATH has), `images` and `work` are directories, for the images and for CRIU's logs ("":
    with the images).
    """

    program: str = ""
    images: str = ""
    work: str = ""
    tcp_established: bool = False
    ext_unix_sk: bool = False
    shell_job: bool = False
    file_locks: bool = False
    cgroups_mode: str = ""
    empty_ns: tuple[str, ...] = ()
    auto_dedup: bool = False
    lazy_pages: bool = False
    tcp_close: bool = False
    network_lock: str = ""


class DumpOptions(CriuOptions):
    """How to take a container down.

    `parent` is the directory of an earlier image, relative to `images`; `page_server` is ADDRESS:PORT;
    `status_fd` is a descriptor that is told when lazy pages can be fetched (-1: none).
    """

    parent: str = ""
    leave_running: bool = False
    pre_dump: bool = False
    page_server: str = ""
    status_fd: int = -1
    skip_in_flight: bool = False
    link_remap: bool = False


def criu(general: dict[str, Any], given: dict[str, Any]) -> CriuOptions:
    """Return what both commands have of the command line: its GENERAL options, and those GIVEN to the command."""
    flags = ("tcp_established", "ext_unix_sk", "shell_job", "file_locks", "auto_dedup", "lazy_pages", "tcp_close")
    return CriuOptions(
        program=general.get("criu", ""),
        images=given.get("image_path", ""),
        work=given.get("work_path", ""),
        cgroups_mode=given.get("manage_cgroups_mode", ""),
        network_lock=given.get("network_lock", ""),
        empty_ns=tuple(given.get("empty_ns", ())),
        **{name: bool(given.get(name)) for name in flags},
    )


def mode(word: str) -> int:
    """Return CRIU's number for WORD of --manage-cgroups-mode.  Raises UsageError."""
    if word and word not in m.CGROUP_MODES:
        raise UsageError(f'invalid manage-cgroups-mode value "{word}"', hint="one of " + ", ".join(m.CGROUP_MODES))
    return m.CGROUP_MODES[word] if word else m.CGROUP_MODE_DEFAULT


def empty(kinds: tuple[str, ...]) -> int:
    """Return the flags of the namespaces that come back empty; that of the network always does: engines set it up.

    Raises UsageError for another of KINDS.
    """
    for kind in kinds:
        if kind != "network":
            raise UsageError(f'--empty-ns: namespace "{kind}" is not supported', hint="network is")
    return CLONE_NEWNET


def page_server(text: str) -> dict[str, Any] | None:
    """Return CRIU's message for page server TEXT, ADDRESS:PORT or [ADDRESS]:PORT; None for no text.  Raises UsageError."""
    if not text:
        return None
    address, colon, port = text.rpartition(":")
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    if not colon or not address or not (port.isascii() and port.isdigit()):
        raise UsageError(f'invalid page server "{text}"', hint="use --page-server ADDRESS:PORT")
    if not 0 < int(port[:6]) <= PORT_MAX:
        raise UsageError(f'invalid port "{port}" of the page server', hint=f"from 1 to {PORT_MAX}")
    return {"address": address, "port": int(port)}


def common(options: CriuOptions, annotations: dict[str, str]) -> dict[str, Any]:
    """Return what both requests tell CRIU.  Raises UsageError."""
    return {
        "log_level": LOG_DEBUG,
        "manage_cgroups": True,
        "manage_cgroups_mode": mode(options.cgroups_mode),
        "notify_scripts": True,
        "tcp_established": options.tcp_established,
        "ext_unix_sk": options.ext_unix_sk,
        "shell_job": options.shell_job,
        "file_locks": options.file_locks,
        "empty_ns": empty(options.empty_ns),
        "orphan_pts_master": True,
        "auto_dedup": options.auto_dedup,
        "lazy_pages": options.lazy_pages,
        "tcp_close": options.tcp_close,
        "network_lock": m.NETWORK_LOCKS.get(options.network_lock),
        "config_file": annotations.get(CONFIG_ANNOTATION, CONFIG_FILE) or None,
    }


def images(options: CriuOptions) -> str:
    """Return the absolute path of the directory for images."""
    return _absolute(options.images or IMAGES)


def logs(options: CriuOptions) -> str:
    """Return the absolute path of the directory for logs."""
    return _absolute(options.work) if options.work else images(options)


def open_directory(path: str, option: str, *, make: bool) -> int:
    """Open directory PATH, which OPTION names; MAKE it, with what is missing above it, if it is not there.

    Raises UsageError.
    """
    try:
        if make:
            _make(path)
        return posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"{option}: cannot use {path}: {(error.strerror or '').lower()}",
            hint="name a directory that is there and may be written to",
        ) from None


def parent(options: DumpOptions) -> str | None:
    """Return the parent image, relative to the images.  Raises UsageError unless it is a directory."""
    if not options.parent:
        return None
    if options.parent.startswith("/"):
        raise UsageError("--parent-path must be relative", hint="to the directory of --image-path")
    path = f"{images(options)}/{options.parent}"
    try:
        if posix.stat(path).st_mode & 0o170000 != 0o040000:
            raise OSError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR))
    except OSError as error:
        raise UsageError(
            f"invalid --parent-path: {path}: {(error.strerror or '').lower()}",
            hint="name the directory of an earlier dump, relative to the images'",
        ) from None
    return options.parent


def _absolute(path: str) -> str:
    """Return PATH, which may be relative to the working directory, as an absolute one."""
    return path if path.startswith("/") else f"{posix.getcwd()}/{path}"


def _make(path: str) -> None:
    """Make directory PATH, and what is missing above it, for nobody else to list; root of a user namespace looks into it.

    CRIU makes the files in it, which hold a container's memory, for root alone.
    """
    made = ""
    for part in path.strip("/").split("/"):
        made = f"{made}/{part}"
        try:
            posix.mkdir(made, 0o711)
        except FileExistsError:
            continue
