"""Run one hook: state on standard input, a time limit, and what it said if it failed (config.md, "POSIX-platform Hooks").

Used by the host side and by the sealed child alike, so nothing here imports,
looks up a codec, or reads a file of the container.
"""

from __future__ import annotations

import posix
from _signal import SIGKILL, valid_signals
from select import POLLIN, POLLOUT, poll
from time import monotonic

from pyrunc.errors import HookError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.hooks import Hook

OUTPUT_MAX = 4096  # bytes of each stream that are kept for the message
# A hook's own children may hold its pipes open for ever: after its end, wait this long for the rest.
AFTERWARDS = 0.1
SIGNALS = tuple(valid_signals() - {SIGKILL, 19})  # 19, SIGSTOP, has no action to reset either


def run_hook(hook: Hook, state: bytes, kind: str, index: int) -> None:
    """Run HOOK with STATE on its standard input.

    Raises HookError: it cannot be started, its status is not 0, or it takes
    longer than its timeout and is killed.  That it does not read STATE is no error.
    """
    name = f"error running {kind} hook #{index}: {hook.path}"
    at = f"/hooks/{kind}/{index}"
    stdin, stdout, stderr = posix.pipe(), posix.pipe(), posix.pipe()
    try:
        pid = _spawn(hook, stdin[0], stdout[1], stderr[1])
    except OSError as error:
        for fd in (*stdin, *stdout, *stderr):
            posix.close(fd)
        raise HookError(f"{name}: {(error.strerror or '').lower()}", pointer=f"{at}/path") from None
    for fd in (stdin[0], stdout[1], stderr[1]):
        posix.close(fd)
    kept = _attend(pid, stdin[1], (stdout[0], stderr[0]), state, hook.timeout)
    status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    said = f", stdout: {kept[0]}, stderr: {kept[1]}"
    if kept[2]:
        raise HookError(f"{name}: killed after its timeout of {hook.timeout} s{said}", pointer=f"{at}/timeout")
    if status:
        how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
        raise HookError(f"{name}: {how}{said}", pointer=at)


def _spawn(hook: Hook, stdin: int, stdout: int, stderr: int) -> int:
    """Start HOOK with exactly its own environment, and the signals as a fresh process has them."""
    env = {}
    for entry in hook.env:
        key, _, value = entry.partition("=")
        env[key] = value
    actions = [(posix.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((stdin, stdout, stderr))]
    argv = hook.args or (hook.path,)
    return posix.posix_spawn(hook.path, argv, env, file_actions=actions, setsigmask=(), setsigdef=SIGNALS)


class _Pipes:
    """The three pipes of a running hook, watched together with its end."""

    def __init__(self, pid: int, stdin: int, outputs: tuple[int, int], state: bytes) -> None:
        """Watch process PID, feed STATE to STDIN, keep what comes out of OUTPUTS."""
        self.pid, self.stdin, self.state = pid, stdin, state
        self.pidfd = posix.pidfd_open(pid)
        self.said = dict.fromkeys(outputs, b"")
        self.open = {self.pidfd, stdin, *outputs}
        self.watch = poll()
        posix.set_blocking(stdin, False)
        for fd in (self.pidfd, *outputs):
            self.watch.register(fd, POLLIN)
        self.watch.register(stdin, POLLOUT)

    def close(self, fd: int) -> None:
        """Be done with FD."""
        self.watch.unregister(fd)
        self.open.discard(fd)
        posix.close(fd)

    def step(self, milliseconds: int | None) -> bool:
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
            else:
                self.close(fd)
        return bool(events)

    def _feed(self) -> None:
        """Write what fits; a hook that does not want the state closes its end (EPIPE)."""
        try:
            self.state = self.state[posix.write(self.stdin, self.state) :]
        except BrokenPipeError:
            self.state = b""
        if not self.state:
            self.close(self.stdin)


def _attend(
    pid: int, stdin: int, outputs: tuple[int, int], state: bytes, timeout: int | None
) -> tuple[str, str, bool]:
    """Feed and read the hook until it ends; return what it said, and whether it took too long."""
    pipes = _Pipes(pid, stdin, outputs, state)
    deadline = None if timeout is None else monotonic() + timeout
    late = False
    while pipes.pidfd in pipes.open:
        left = None if deadline is None else max(0, int((deadline - monotonic()) * 1000) + 1)
        if not pipes.step(left) and deadline is not None and monotonic() >= deadline:
            late, deadline = True, None
            posix.kill(pid, SIGKILL)
    end = monotonic() + AFTERWARDS
    while pipes.open & set(outputs) and monotonic() < end:
        pipes.step(10)
    for fd in tuple(pipes.open):
        pipes.close(fd)
    out, err = (str(pipes.said[fd], "utf-8", "replace").strip() for fd in outputs)
    return out, err, late
