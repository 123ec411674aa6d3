"""Which file a process will execute: found, checked and held by descriptor before it runs.

/proc/self/exe of our own process is the host's python3.  An image whose
program is a link to it, a script with it after `#!`, or an ELF file that has it
as interpreter, would hand it to the container (CVE-2019-5736): so each link of
that chain is resolved inside the root and compared with our own inode, and what
was checked is what execveat(2) gets.
"""

from __future__ import annotations

import errno
import posix
from _signal import SIG_SETMASK, pthread_sigmask
from _struct import unpack_from

from pyrunc.errors import OpError
from pyrunc.linux import fs
from pyrunc.linux import process as p
from pyrunc.plan.op import PROC
from pyrunc.plan.process import BY_PATH
from pyrunc.run.steps import execfailure, filters, rootpath, trampoline, users
from pyrunc.run.steps.executable import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.run.context import Context

HEAD = 256  # enough for the `#!` line (execve(2)) and an ELF file's header
PATH_MAX = 4096
SHEBANG_MAX = 256
SCRIPTS_MAX = 5  # as deep as execve(2) goes
PT_INTERP, EHDR_SIZE = 3, 64
# Elf64 and Elf32: format of an offset, where e_phoff and e_phentsize are, sizeof(Phdr), where p_offset is.
LAYOUTS = (("=Q", 32, 54, 56, 8), ("=I", 28, 42, 32, 4))
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG)  # so the next is looked at
ANY_EXECUTE = execfailure.ANY_EXECUTE
# What an errno of execve(2) means beyond its name.
WHY = {
    errno.ENOENT: ": the program is gone, or the interpreter that it names or that binfmt_misc has for it cannot be reached",
}


def open_program(
    context: Context, root: int, cwd: str, args: tuple[str, ...], env: tuple[str, ...], uid: int, listens: bool, how: str
) -> None:
    """Find ARGS[0] as execvp(3) would in ENV's PATH, inside ROOT; lay out the new image.

    Where PATH leads to several, all are opened: which one runs depends on what
    the user may execute, which `choose_program` asks once the ids are set.
    UID is that of the user whose HOME is to be looked up, -1 for none.  LISTENS says that LISTEN_PID, which ENV has
    then, is to be the pid that this process has for itself.  HOW is that of `exec_program`.  Raises OpError in the
    words that engines turn into exit codes 126 and 127.
    """
    if uid >= 0:
        context.home = users.home_of(users.read_table(root, "etc/passwd"), uid)
        env = (*env, f"HOME={context.home}")
    if listens:
        env = tuple(f"{entry}{posix.getpid()}" if entry == "LISTEN_PID=" else entry for entry in env)
    context.root = root
    paths = _search(root, cwd, args[0], env)
    for path in paths:
        found = Program(_absolute(cwd, path))
        try:
            prepare(context, found, cwd, args, env, path)
            if how == BY_PATH:
                found.path, found.image = found.checked[0], p.Image(args, env)
            else:
                found.trampoline = trampoline.prepare(context.slots.get(PROC, -1), found.checked[0], args, env, found.head)
        except OpError as error:
            found.error = error
        context.programs.append(found)
    if len(paths) == 1 and context.programs[0].error is not None:
        raise context.programs[0].error


def prepare(context: Context, found: Program, cwd: str, args: tuple[str, ...], env: tuple[str, ...], path: str) -> None:
    """Open the program at PATH, or the interpreter that it names, check it, and lay out its image in FOUND."""
    root = context.root
    fd = _open(root, cwd, path, args[0])
    if not posix.fstat(fd).st_mode & ANY_EXECUTE:  # before anything else is found wrong with it: engines go by that
        raise OpError(
            f'exec: "{args[0]}": permission denied: nobody may execute it: chmod +x',
            errno=errno.EACCES,
            hint="chmod +x in the image",
        )
    found.seen.append((found.path, _identity(fd)))
    for _ in range(SCRIPTS_MAX):
        head = posix.pread(fd, HEAD, 0)
        if not head.startswith(b"#!"):
            break
        interpreter, argument = shebang(head, path)
        args = (interpreter, *([argument] if argument else []), path, *args[1:])
        posix.close(fd)
        fd, path = _open_interpreter(root, cwd, interpreter, path), interpreter
        found.checked.append(_absolute(cwd, path))
        found.seen.append((found.checked[-1], _identity(fd)))
    else:
        raise OpError(
            f"exec {path}: too many levels of script interpreters",
            errno=errno.ELOOP,
            hint="name a program in the first line of the script",
        )
    found.fd, found.path, found.head = fd, found.checked[-1], head
    _refuse_ourselves(context, fd, path)
    for interpreter in elf_interpreters(fd, head):
        loader = _open_interpreter(root, cwd, interpreter, path)
        _refuse_ourselves(context, loader, path)
        found.seen.append((_absolute(cwd, interpreter), _identity(loader)))
        posix.close(loader)
    found.image = p.Image(args, env)


def _identity(file: int | str) -> tuple[int, int, int]:
    """Return what is another for another FILE (a descriptor or a path), or for other contents."""
    found = posix.stat(file)
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _search(root: int, cwd: str, name: str, env: tuple[str, ...]) -> list[str]:
    """Return the paths of program NAME: itself if it has a slash, else every one in PATH that somebody may execute."""
    if "/" in name:
        return [name]
    path = next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
    found: list[str] = []
    denied = False
    for directory in path.split(":") if path else ():
        candidate = f"{directory or '.'}/{name}"
        try:
            fd = rootpath.open_path(root, _absolute(cwd, candidate))
        except OSError as error:
            if error.errno in NOT_THERE:
                continue
            raise
        mode = posix.fstat(fd).st_mode
        posix.close(fd)
        if mode & rootpath.S_IFMT == rootpath.S_IFREG:
            if mode & ANY_EXECUTE:
                found.append(candidate)
            denied = True
    if found:
        return found
    if denied:
        raise OpError(f'exec: "{name}": permission denied', errno=errno.EACCES, hint="chmod +x in the image")
    raise OpError(
        f'exec: "{name}": executable file not found in $PATH',
        errno=errno.ENOENT,
        hint="correct the name or PATH, or put the program into the image",
    )


def _absolute(cwd: str, path: str) -> str:
    """Return PATH, which may be relative to CWD, from the root."""
    return path if path.startswith("/") else f"{cwd}/{path}"


def _open(root: int, cwd: str, path: str, name: str) -> int:
    """Open program PATH for reading, whatever file it is."""
    flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY
    try:
        fd = fs.openat2(root, _absolute(cwd, path), flags, 0, fs.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            text = f'exec: "{name}": a link into /proc, or a loop, is not followed: permission denied'
            raise OpError(text, errno=errno.EACCES, hint="name the program itself, or mend the link") from None
        raise OpError(
            f'exec: "{name}": stat {path}: {(error.strerror or "").lower()}',
            errno=error.errno or 0,
            hint=execfailure.REMEDIES.get(error.errno or 0, execfailure.CORRECT),
        ) from None
    mode = posix.fstat(fd).st_mode
    if mode & rootpath.S_IFMT == rootpath.S_IFDIR:
        raise OpError(f'exec: "{name}": is a directory: permission denied', errno=errno.EACCES, hint="name a program")
    if mode & rootpath.S_IFMT != rootpath.S_IFREG:
        raise OpError(f'exec: "{name}": not a regular file: permission denied', errno=errno.EACCES, hint="name a program")
    return fd


def _open_interpreter(root: int, cwd: str, path: str, script: str) -> int:
    """Open PATH, which SCRIPT names as its interpreter."""
    try:
        return _open(root, cwd, path, script)
    except OpError as error:
        text = posix.strerror(error.errno).lower()
        why, hint = f'its interpreter "{path}" could not be opened', "put that into the image, or correct what names it"
        if path.endswith("\r"):
            why, hint = "its first line ends in CR LF", "save it with Unix line ends"
        raise OpError(f"exec {script}: {text}: {why}", errno=error.errno or 0, hint=hint) from None


def shebang(head: bytes, path: str) -> tuple[str, str]:
    """Return interpreter and argument of the script that begins with HEAD, as execve(2) reads them."""
    line = head[2:SHEBANG_MAX].partition(b"\n")[0].strip(b" \t")
    end = next((index for index, byte in enumerate(line) if byte in b" \t"), len(line))
    interpreter, argument = line[:end], line[end:]
    if not interpreter:
        raise OpError(
            f"exec {path}: exec format error: nothing follows #!", errno=errno.ENOEXEC, hint="write the interpreter behind it"
        )
    argument = argument.strip(b" \t")
    return str(interpreter, "utf-8", "surrogateescape"), str(argument, "utf-8", "surrogateescape")


def elf_interpreters(fd: int, head: bytes) -> list[str]:
    """Return each PT_INTERP of ELF file FD, which begins with HEAD (elf(5)).

    Read where the kernel reads it, anywhere in the file, and in both layouts:
    the kernel goes by the machine and does not look at the file's class.
    """
    found: list[str] = []
    if head[:4] != b"\x7fELF" or len(head) < EHDR_SIZE:
        return found
    for word, start_at, size_at, row_size, place_at in LAYOUTS:
        size, count = unpack_from("=HH", head, size_at)
        if size != row_size:
            continue  # which the kernel refuses
        try:
            table = posix.pread(fd, size * count, unpack_from(word, head, start_at)[0])
            for row in range(0, len(table) - size + 1, size):
                if unpack_from("=I", table, row)[0] == PT_INTERP:
                    name = posix.pread(fd, PATH_MAX, unpack_from(word, table, row + place_at)[0])
                    found.append(str(name.partition(b"\0")[0], "utf-8", "surrogateescape"))
        except (OSError, OverflowError):
            continue  # an offset that is none: the kernel will say
    return found


def _refuse_ourselves(context: Context, fd: int, path: str) -> None:
    """Refuse to execute the interpreter that we are."""
    found = posix.fstat(fd)
    if (found.st_dev, found.st_ino) == context.own_inode:
        text = f"exec {path}: this is the runtime's own interpreter on the host: permission denied"
        raise OpError(text, errno=errno.EACCES, hint="use a copy of it")


def choose_program(context: Context) -> None:
    """Choose the first program that the user, who this process is by now, may execute."""
    closed = ""  # asked once: a second answer may be another
    for found in context.programs:
        refused = next((path for path in found.checked if not _may_execute(path)), "")
        if not refused:
            if found.error is not None:
                raise found.error
            if context.names >= 0 and found.fd != context.number:
                found.fd = posix.dup2(found.fd, context.number, inheritable=False)
            context.program = found
            return
        closed = closed or refused
    first = context.programs[0].checked
    which = "" if closed == first[0] else f': its interpreter "{closed}" may not be executed'
    raise OpError(
        f'exec: "{first[0]}": permission denied{which}{execfailure.forbidden(closed)}',
        errno=errno.EACCES,
        hint="let the user of the container execute it, and pass the directories on the way",
    )


def _may_execute(path: str) -> bool:
    """Return whether this process may reach and execute PATH (access(2)): a mode, a directory or noexec may forbid it."""
    try:
        fs.faccessat2(fs.AT_FDCWD, path, posix.X_OK, fs.AT_EACCESS)
    except PermissionError:
        return False
    return True


def exec_program(context: Context, how: str) -> None:
    """Load the filter, and become the program.

    HOW is BY_DESCRIPTOR, or BY_PATH for filters that know no other.  A descriptor is close-on-exec, so
    the kernel takes no script by it: a file that has become one since it was checked is refused.
    Returns only by raising OpError.
    """
    program = context.program
    if program is None or program.image is None:
        raise OpError("nothing to execute: the plan opened no program", hint="please report it")
    if how == BY_PATH:
        _refuse_others(program)
    if not context.filtered:
        pthread_sigmask(SIG_SETMASK, ())
        filters.apply_filter(context)
    try:
        _execute(context, program, program.image, how)
    except OSError as error:
        reason = (error.strerror or "").lower() + WHY.get(error.errno or 0, "")
        if error.errno == errno.ENOEXEC:
            reason += f": {execfailure.unloadable(program.head)}"
        note_failure(context)
        raise OpError(
            f"exec {program.path}: {reason}",
            errno=error.errno or 0,
            hint=execfailure.REMEDIES.get(error.errno or 0, execfailure.CORRECT),
        ) from None
    note_failure(context)
    raise OpError(
        f"exec {program.path}: it has returned, and executed nothing: the seccomp agent has answered for the kernel",
        hint="let the agent continue execve(2), or allow it",
    )


def _execute(context: Context, program: Program, image: p.Image, how: str) -> None:
    """Execute PROGRAM, of IMAGE; by a trampoline if the kernel has an interpreter for it that needs its path."""
    if how == BY_PATH:
        p.execve(program.path, image)
    try:
        if context.names >= 0:
            p.execveat(context.names, context.name, image, 0)
        else:
            p.execveat(program.fd, "", image, p.AT_EMPTY_PATH)
    except FileNotFoundError:
        if program.trampoline is None:
            raise
        p.execveat(program.trampoline.fd, "", program.trampoline.image, p.AT_EMPTY_PATH)


def note_failure(context: Context) -> None:
    """Note in memory that nothing was executed: under a filter with an agent it may be that nothing can be said."""
    if context.listener is not None:
        context.listener.note_failure()


def _refuse_others(program: Program) -> None:
    """Refuse what has taken the place of a file of PROGRAM's since that was checked."""
    for path, before in program.seen:
        try:
            now = _identity(path)
        except OSError:
            now = (0, 0, 0)
        if now != before:
            raise OpError(f"exec {path}: replaced while it was being started", errno=errno.EACCES, hint="start it again")
