"""Run one hook: state on standard input, a time limit, and what it said if it failed (config.md, "POSIX-platform Hooks").

Used by the host side and by the sealed child alike, so nothing here imports,
looks up a codec, or reads a file of the container.  Loaded only for a plan, or
by a command, that has hooks to run.
"""

from __future__ import annotations

import posix
from _signal import (
    SIG_BLOCK,
    SIG_SETMASK,
    SIGHUP,
    SIGINT,
    SIGKILL,
    SIGPIPE,
    SIGQUIT,
    SIGSYS,
    SIGTERM,
    pthread_sigmask,
    sigtimedwait,
    strsignal,
)
from select import POLLIN, POLLOUT, poll
from time import monotonic

from pyrunc.errors import HookError, OpError
from pyrunc.jsonio import dumps
from pyrunc.linux import process
from pyrunc.plan.op import Token
from pyrunc.plan.process import BY_PATH
from pyrunc.run.steps import hookprocess, program, users
from pyrunc.run.steps.executable import Program
from pyrunc.run.steps.hookprocess import Around, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.oci.hooks import Hook
    from pyrunc.run.context import Context

    Limits = tuple[tuple[int, int, int], ...]

OUTPUT_MAX = 4096  # bytes of each stream that are kept for the message
# A hook's own children may hold its pipes open for ever: after its end, wait this long for the rest.
AFTERWARDS = 0.1
STARTABLE = "name a program that is there, and that may be executed"
BY_HAND = "see what the hook says, and run it by hand with the state on its standard input"
POLL_MAX = 3_600_000  # milliseconds of one poll(2), which takes no more than 31 bits of them
ENDING = (SIGTERM, SIGINT, SIGHUP, SIGQUIT)
SIGINFO_SIZE = 128  # struct signalfd_siginfo begins with the signal's number


def run_hook(
    context: Context,
    hook: Hook,
    kind: str,
    index: int,
    status: str,
    directory: int | str,
    env: tuple[str, ...] | None,
    home: int,
    confined: tuple[str, Limits] | None,
) -> None:
    """Run HOOK of KIND, number INDEX, with the container's state in STATUS on its standard input.

    It starts in DIRECTORY.  Where it names no environment it gets ENV, with
    HOME for user HOME if that is not -1; without an ENV, that of the runtime.
    CONFINED is how the container's program is executed, and its limits: for a
    hook that is a program of the image.  Raises HookError.
    """
    pid = context.slots.get("child", 0)
    state = dumps({**context.state, "status": status, "pid": pid or posix.getpid()}).encode()
    if pid:  # we are the host's side: poststop hooks are to take back what it does
        context.record(Token("run_hook", (kind,)))
    if hook.env is None and env is not None and home >= 0:
        env = (*env, f"HOME={_home(context, home)}")
    argv, env = hook.args or (hook.path,), environment(hook, env)
    if confined is None:
        started = context.waits_for if pid else _nobody
        outputs = (context.slots.get("hook-stdout", -1), context.slots.get("hook-stderr", -1))
        attend(hook, state, kind, index, process.Image(argv, env), Around(hook.path, directory, outputs=outputs), started)
        return
    how, limits = confined
    root = posix.open("/", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    found = Program(hook.path)
    try:
        context.root = root
        program.prepare(context, found, str(directory), argv, env, hook.path)
        filters = None if context.filtered else context.filter
        # We are in DIRECTORY, which we may not be allowed to enter any more.
        around = Around(found.path, None, limits, filters, -1 if how == BY_PATH else found.fd)
        attend(hook, state, kind, index, found.image or process.Image(argv, env), around)
    except OpError as error:
        text = f"error running {kind} hook #{index}: {error.message}"
        raise HookError(text, pointer=f"/hooks/{kind}/{index}/path", hint=error.hint) from None
    finally:
        for each in (root, found.fd):
            if each >= 0:
                posix.close(each)


def _nobody(_: int) -> None:
    """Tell nobody of a hook that has been started."""


def run_with_state(
    hook: Hook,
    state: bytes,
    kind: str,
    index: int,
    bundle: str,
    started: Callable[[int], None] = _nobody,
    outputs: tuple[int, int] = (-1, -1),
) -> None:
    """Run HOOK of KIND in the runtime's own surroundings, from BUNDLE, with STATE on its standard input.  Raises HookError.

    STARTED is called with its pid.  OUTPUTS take what it says on standard output and error; -1: we keep that for the error.
    """
    image = process.Image(hook.args or (hook.path,), environment(hook, None))
    attend(hook, state, kind, index, image, Around(hook.path, bundle, outputs=outputs), started)


def environment(hook: Hook, env: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the environment of HOOK: its own, else ENV, else that of the runtime."""
    if hook.env is not None:
        return tuple({entry.partition("=")[0]: entry for entry in hook.env}.values())
    if env is not None:
        return env
    return tuple(str(name + b"=" + value, "utf-8", "surrogateescape") for name, value in posix.environ.items())


def _home(context: Context, uid: int) -> str:
    """Return the home of user UID by the container's files, which are looked at once."""
    if context.home is None:
        context.home = users.home_of(users.read_table(context.slots["root"], "etc/passwd"), uid)
    return context.home


def attend(
    hook: Hook,
    state: bytes,
    kind: str,
    index: int,
    image: process.Image,
    around: Around,
    started: Callable[[int], None] = _nobody,
) -> None:
    """Run HOOK as IMAGE, with what is AROUND it and STATE on its standard input; STARTED is called with its pid.

    Raises HookError: it cannot be started, its status is not 0, or it takes
    longer than its timeout and is killed, with its process group.  That it
    does not read STATE is no error.
    """
    name = f"error running {kind} hook #{index}: {hook.path}"
    at = f"/hooks/{kind}/{index}"
    pipes = (posix.pipe(), posix.pipe(), posix.pipe())
    (stdin, to_hook), (from_hook, stdout), (errors, stderr) = pipes
    outcome = Outcome()
    try:
        given = (stdin, *(file if file >= 0 else pipe for file, pipe in zip(around.outputs, (stdout, stderr), strict=True)))
        pid = hookprocess.start(image, around, given, outcome)
    except OSError as error:
        for pair in pipes:
            for fd in pair:
                posix.close(fd)
        raise HookError(f"{name}: {(error.strerror or '').lower()}", pointer=at, hint=STARTABLE) from None
    for fd in (stdin, stdout, stderr):
        posix.close(fd)
    try:
        started(pid)
        out, err, late = _watch(pid, to_hook, (from_hook, errors), state, hook.timeout)
    except BaseException:
        _kill(pid)
        posix.waitpid(pid, 0)
        raise
    status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    said = f", stdout: {out}, stderr: {err}"
    if failed := outcome.said():
        raise HookError(f"{name}: {failed}", pointer=f"{at}/path", hint=STARTABLE)
    if late:
        text = f"{name}: hook ran past specified timeout of {hook.timeout:.1f}s, and was killed{said}"
        raise HookError(text, pointer=f"{at}/timeout", hint="raise timeout, or see what it waits for")
    if status:
        raise HookError(f"{name}: {_ending(status, around)}{said}", pointer=at, hint=BY_HAND)


def _ending(status: int, around: Around) -> str:
    """Return how a hook has ended: with STATUS, or by the signal of that number, negated."""
    if status > 0:
        return f"exit status {status}"
    forbidden = ", by the seccomp filter" if status == -SIGSYS and around.filter is not None else ""
    return f"killed by signal {-status} ({(strsignal(-status) or 'unknown').lower()}{forbidden})"


def _kill(pid: int) -> None:
    """Kill hook PID and its process group: what it has started must not outlive its time limit."""
    for kill in (posix.killpg, posix.kill):
        try:
            kill(pid, SIGKILL)
        except ProcessLookupError:
            continue


class _Pipes:
    """The three pipes of a running hook, watched together with its end, and with signals that wait for us."""

    def __init__(self, pid: int, stdin: int, outputs: tuple[int, int], state: bytes) -> None:
        """Watch process PID, feed STATE to STDIN, keep what comes out of OUTPUTS."""
        self.pid, self.stdin, self.state = pid, stdin, state
        self.said = dict.fromkeys(outputs, b"")
        self.open = {stdin, *outputs}
        self.pidfd = posix.pidfd_open(pid)
        self.open.add(self.pidfd)
        self.signals = process.signalfd(sum(1 << number - 1 for number in ENDING))
        self.open.add(self.signals)
        self.watch = poll()
        posix.set_blocking(stdin, False)
        for fd in (self.pidfd, self.signals, *outputs):
            self.watch.register(fd, POLLIN)
        self.watch.register(stdin, POLLOUT)

    def close(self, fd: int) -> None:
        """Be done with FD."""
        self.watch.unregister(fd)
        self.open.discard(fd)
        posix.close(fd)

    def step(self, milliseconds: int) -> bool:
        """Wait for something to happen and deal with it; return whether anything did."""
        events = self.watch.poll(milliseconds)
        for fd, _ in events:
            if fd == self.stdin:
                self._feed()
            elif fd in self.said:
                data = posix.read(fd, 65536)
                self.said[fd] = (self.said[fd] + data)[-OUTPUT_MAX:]
                if not data:
                    self.close(fd)
            elif fd == self.signals:
                self._pass_on()
            else:
                self.close(fd)
        return bool(events)

    def _feed(self) -> None:
        """Write what fits; a hook that does not want the state closes its end (EPIPE).

        The new process does not ignore SIGPIPE, as its program must not: held back meanwhile, it is taken away here.
        """
        before = pthread_sigmask(SIG_BLOCK, (SIGPIPE,))
        try:
            self.state = self.state[posix.write(self.stdin, self.state) :]
        except BrokenPipeError:
            self.state = b""
            sigtimedwait((SIGPIPE,), 0)
        finally:
            pthread_sigmask(SIG_SETMASK, before)
        if not self.state:
            self.close(self.stdin)

    def _pass_on(self) -> None:
        """Give the hook's group the signal that waits for us, as a terminal would: it is what ends us now."""
        number = posix.read(self.signals, SIGINFO_SIZE)[0]
        try:
            posix.killpg(self.pid, number)
        except ProcessLookupError:
            pass  # it has just ended


def _watch(pid: int, stdin: int, outputs: tuple[int, int], state: bytes, timeout: int | None) -> tuple[str, str, bool]:
    """Feed and read the hook until it ends; return what it said, and whether it took too long."""
    pipes = _Pipes(pid, stdin, outputs, state)
    try:
        deadline = None if timeout is None else monotonic() + timeout
        late = False
        while pipes.pidfd in pipes.open:
            left = POLL_MAX if deadline is None else max(0, int((deadline - monotonic()) * 1000) + 1)
            if not pipes.step(min(left, POLL_MAX)) and deadline is not None and monotonic() >= deadline:
                late, deadline = True, None
                _kill(pid)
        end = monotonic() + AFTERWARDS
        while pipes.open & set(outputs) and monotonic() < end:
            pipes.step(10)
    finally:
        for fd in tuple(pipes.open):
            pipes.close(fd)
    out, err = (str(pipes.said[fd], "utf-8", "replace").strip() for fd in outputs)
    return out, err, late
