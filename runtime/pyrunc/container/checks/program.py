"""The program that a container is to run, and its directory: found in the image as `create` finds it, and looked at."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks import binary, permission
from pyrunc.container.checks.view import Hidden
from pyrunc.errors import OpError, UnsupportedError
from pyrunc.linux import fs
from pyrunc.run import failure
from pyrunc.run.context import Context
from pyrunc.run.steps import execfailure, program, rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrunc.container.checks.view import View
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process
    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.steps.executable import Program

ARGS = "/process/args/0"
STRING_MAX = 32 * 4096  # bytes of one argument or variable with its end (execve(2), "Limits on size")
NETWORK = "libnetwork-setkey"  # in the arguments of the hook that Docker gives every container
NOEXEC, ELSEWHERE = ": it is on a mount with noexec", "keep the image on a mount without noexec"


def errors(config: Config, plan: Plan, facts: HostFacts, view: View) -> Iterator[UnsupportedError]:
    """Yield why the program of CONFIG, which PLAN is for, cannot run in the image of VIEW, as far as that is seen."""
    user = config.process
    if user is None or not user.args[0]:
        return
    denied = failure.denial(plan, "")
    if denied is not None:
        yield UnsupportedError(denied.message, pointer=denied.pointer, hint=denied.hint)
        return
    nodes = [each.args[1] for each in plan.child if each.call == "make_node"]
    refused = _no_directory(user.cwd, errno.ENOTDIR) if user.cwd != "/" and user.cwd in nodes else _directory(user.cwd, view)
    if refused:
        yield UnsupportedError(refused, pointer="/process/cwd", hint="name a directory, or one that can be made")
        return
    op = next(each for each in plan.child if each.call == "open_program")
    view.through = True
    variables: Any = op.args[3]
    if any(len(each.encode()) >= STRING_MAX for each in (*user.args, *variables)):
        text = f"exec {user.args[0]}: {posix.strerror(errno.E2BIG).lower()}"
        yield UnsupportedError(text, pointer=ARGS, hint=execfailure.REMEDIES[errno.E2BIG])
        return
    try:
        _try(config, user, op, facts, view)
    except (Hidden, OSError):
        return  # not for us to see
    except OpError as error:
        if error.errno == errno.ENOENT and brought_by_hooks(config):
            return  # a warning of `missing`
        hint = error.hint or execfailure.REMEDIES.get(error.errno, execfailure.CORRECT)
        yield UnsupportedError(error.message, pointer=ARGS, hint=hint)


def missing(config: Config, plan: Plan, facts: HostFacts, view: View) -> str:
    """Return what is said of the program of CONFIG if it is missing in VIEW, and only hooks could bring it; else ""."""
    user = config.process
    if user is None or not user.args[0] or not brought_by_hooks(config):
        return ""
    op = next(each for each in plan.child if each.call == "open_program")
    try:
        _try(config, user, op, facts, view)
    except (Hidden, OSError):
        return ""
    except OpError as error:
        return error.message if error.errno == errno.ENOENT else ""
    return ""


def brought_by_hooks(config: Config) -> bool:
    """Return whether hooks of CONFIG may yet put something into the root.  Docker's own, which names the network, does not."""
    hooks = config.hooks
    return any(NETWORK not in each.args for each in (*hooks.prestart, *hooks.createRuntime, *hooks.createContainer))


def _directory(path: str, view: View) -> str:
    """Return why PATH cannot be the current directory, "" if it is one, will be made, or cannot be known."""
    code = errno.ENOTDIR
    try:
        mode = view.find(path)
    except Hidden:
        return _outside(path)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return ""
        mode, code = rootpath.S_IFREG, error.errno
    if not mode or mode & rootpath.S_IFMT == rootpath.S_IFDIR:
        return ""
    return _no_directory(path, code)


def _outside(path: str) -> str:
    """Return the same for a PATH below a mount: in procfs and sysfs nobody makes a directory, and ours show what is there."""
    kernel = path.startswith(("/proc/", "/sys/")) and ".." not in path.split("/") and not path.split("/")[2][:1].isdigit()
    if not kernel or posix.access(path, posix.F_OK):
        return ""
    return _no_directory(path, errno.ENOENT)


def _no_directory(path: str, code: int) -> str:
    """Return what is said of PATH, which CODE keeps from being the current directory."""
    return f'chdir to cwd ("{path}") set in config.json failed: {posix.strerror(code).lower()}'


def _try(config: Config, process: Process, op: Op, facts: HostFacts, view: View) -> None:
    """Do what OP does, without executing what it opens for PROCESS.  Raises OpError as `create` does, OSError and Hidden."""
    variables: Any = op.args[3]
    env, cut = _known(process, variables, view)
    context = Context({}, {})
    found = posix.stat("/proc/self/exe")
    context.own_inode = (found.st_dev, found.st_ino)
    try:
        program.open_program(context, view.root, process.cwd, process.args, env, -1, False, str(op.args[6]))
    except OpError:
        if not context.programs:
            if cut:
                raise Hidden from None  # what comes later in PATH may have it
            raise
    try:
        _choose(config, process, context, facts, view, cut=cut)
    finally:
        for each in context.programs:
            if each.fd >= 0:
                posix.close(each.fd)


def _known(process: Process, env: tuple[str, ...], view: View) -> tuple[tuple[str, ...], bool]:
    """Return ENV, that of PROCESS, with PATH cut before the first directory that VIEW cannot show, and whether it was cut.

    Raises Hidden for a program that is named by its path, and leads there.
    """
    name = process.args[0]
    if "/" in name:
        mode = view.find(_absolute(process, name))
        if not mode:
            text = f'exec: "{name}": stat {name}: {posix.strerror(errno.ENOENT).lower()}'
            raise OpError(text, errno=errno.ENOENT, hint=execfailure.REMEDIES[errno.ENOENT])
        if mode & rootpath.S_IFMT == rootpath.S_IFDIR:
            text = f'exec: "{name}": is a directory: {posix.strerror(errno.EACCES).lower()}'
            raise OpError(text, errno=errno.EACCES, hint="name a program")
        return env, False
    path = next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
    known: list[str] = []
    for directory in path.split(":") if path else ():
        try:
            if not view.find(_absolute(process, f"{directory or '.'}/{name}")):
                continue
        except Hidden:
            return (f"PATH={':'.join(known)}",), True
        except OSError:
            pass  # which is no reason to look no further
        known.append(directory)
    return (f"PATH={':'.join(known)}",), False


def _absolute(process: Process, path: str) -> str:
    """Return PATH, which may be relative to the directory of PROCESS, from the root."""
    return path if path.startswith("/") else f"{process.cwd}/{path}"


def _choose(config: Config, process: Process, context: Context, facts: HostFacts, view: View, *, cut: bool) -> None:
    """Raise OpError if PROCESS can execute none of the programs in CONTEXT, and none may follow after a CUT.  Raises Hidden."""
    closed = ""
    for found in context.programs:
        _refuse_hidden(found, process, view)
        forbidden = permission.forbidden(config, facts, view.root, found.checked)
        if found.error is not None and (not forbidden or len(context.programs) == 1):
            raise found.error
        if not forbidden:
            if _is_noexec(found):
                raise OpError(f'exec: "{found.path}": permission denied{NOEXEC}', errno=errno.EACCES, hint=ELSEWHERE)
            reason = binary.unloadable(found.head, found.path)
            if reason:
                raise OpError(
                    f"exec {found.path}: exec format error: {reason}",
                    errno=errno.ENOEXEC,
                    hint=execfailure.REMEDIES[errno.ENOEXEC],
                )
            return
        closed = closed or forbidden
    if cut:
        return
    first = context.programs[0].checked[0]
    which = "" if closed == first else f': its interpreter "{closed}" may not be executed'
    why = NOEXEC if _is_noexec(context.programs[0]) else ""
    raise OpError(f'exec: "{first}": permission denied{which}{why}', errno=errno.EACCES, hint=ELSEWHERE if why else "")


def _is_noexec(found: Program) -> bool:
    """Return whether FOUND lies on a mount from which nobody may execute."""
    return found.fd >= 0 and bool(posix.fstatvfs(found.fd).f_flag & posix.ST_NOEXEC)


def _refuse_hidden(found: Program, process: Process, view: View) -> None:
    """Raise Hidden if FOUND, or what it names as its interpreter, lies where VIEW shows nothing, or we may not look."""
    path = found.checked[0]
    for _ in range(program.SCRIPTS_MAX + 1):
        path = _absolute(process, path)
        try:
            view.find(path)
            fd = fs.openat2(view.root, path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK, 0, fs.RESOLVE_IN_ROOT)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise Hidden from None
            return  # as `create` will find it
        try:
            head = posix.pread(fd, program.HEAD, 0)
            if not head.startswith(b"#!"):
                for loader in program.elf_interpreters(fd, head):
                    view.find(_absolute(process, loader))
                return
            path = program.shebang(head, path)[0]
        except (OSError, OpError):
            return
        finally:
            posix.close(fd)
