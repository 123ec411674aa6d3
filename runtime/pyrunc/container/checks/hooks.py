"""Hooks that cannot be started: what is at their path (config.md, "POSIX-platform Hooks").  What they will do nobody knows."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks import binary
from pyrunc.container.checks import program as program_of
from pyrunc.container.checks.view import Hidden
from pyrunc.errors import OpError, UnsupportedError
from pyrunc.run.context import Context
from pyrunc.run.steps import program, rootpath
from pyrunc.run.steps.executable import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.container.checks.view import View
    from pyrunc.oci.config import Config
    from pyrunc.oci.hooks import Hook
    from pyrunc.oci.process import Process

# Those that decide whether a container comes up, by where their program is (config.md, "Hooks").  Of poststop and poststart
# a failure is only logged, or comes after.
OURS, IMAGES = ("prestart", "createRuntime", "createContainer"), ("startContainer",)
BROUGHT = "nothing to do if one of the hooks brings it"
HINT = "name a program that is there, and that may be executed"


def ours(config: Config) -> Iterator[UnsupportedError]:
    """Yield an error for each hook of CONFIG that is a program of the host's and cannot be started, as far as that is seen."""
    for kind in OURS:
        for index, hook in enumerate(getattr(config.hooks, kind)):
            code = _code(hook.path)
            if code:
                text = f"error running {kind} hook #{index}: {hook.path}: {posix.strerror(code).lower()}"
                yield UnsupportedError(text, pointer=f"/hooks/{kind}/{index}/path", hint=HINT)


def inside(config: Config, view: View, doubts: list[tuple[str, str, str]]) -> Iterator[UnsupportedError]:
    """Yield the same for hooks that are programs of the image, which VIEW shows; what other hooks may bring goes to DOUBTS."""
    if config.process is None:
        return
    for kind in IMAGES:
        for index, hook in enumerate(getattr(config.hooks, kind)):
            code, reason = _inside(hook, config.process, view)
            text, at = f"error running {kind} hook #{index}: {reason}", f"/hooks/{kind}/{index}/path"
            if code == errno.ENOENT and program_of.brought_by_hooks(config):
                doubts.append((at, text, BROUGHT))
            elif reason:
                yield UnsupportedError(text, pointer=at, hint=HINT)


def _code(path: str) -> int:
    """Return the errno of executing the host's file at PATH, 0 if nothing stands against it."""
    try:
        found = posix.stat(path)
        if found.st_mode & rootpath.S_IFMT != rootpath.S_IFREG or not found.st_mode & program.ANY_EXECUTE:
            return errno.EACCES
        begins = _head(path)
    except OSError as error:
        return error.errno if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else 0
    if begins.startswith(b"#!"):
        return 0
    return errno.ENOEXEC if binary.unloadable(begins, path) else 0


def _head(path: str) -> bytes:
    """Return what the file at PATH begins with.  Raises OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    try:
        return posix.pread(fd, program.HEAD, 0)
    finally:
        posix.close(fd)


def _inside(hook: Hook, process: Process, view: View) -> tuple[int, str]:
    """Return the errno and why HOOK, a program of the image in VIEW, cannot be started beside PROCESS; "" if it may be."""
    context = Context({}, {})
    context.root = view.root
    found = posix.stat("/proc/self/exe")
    context.own_inode = (found.st_dev, found.st_ino)
    made = Program(hook.path)
    try:
        view.find(hook.path)
        program.prepare(context, made, process.cwd, hook.args or (hook.path,), (), hook.path)
        return errno.ENOEXEC, binary.unloadable(made.head, hook.path)
    except (Hidden, OSError):
        return 0, ""
    except OpError as error:
        return error.errno, error.message
    finally:
        if made.fd >= 0:
            posix.close(made.fd)
