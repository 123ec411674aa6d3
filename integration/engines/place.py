"""Where an engine lives during its tests: mount and network namespaces of its own, and a directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.harness import keeper
from integration.harness.leaks import mounts
from integration.harness.machine import SCRATCH
from integration.harness.runtime import run, wait_for
from pyrunc.linux.process import CLONE_NEWNET, setns

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = subprocess.CompletedProcess[str]

EMULATED = SCRATCH.is_mount()  # in the virtual machine, which takes its time
SECONDS = 600 if EMULATED else 100
HOLD = "ip link set lo up && echo ready && exec sleep infinity"


class Place:
    """Namespaces held by a process that sleeps, and what runs in them; DIRECTORY is for roots, sockets and logs."""

    def __init__(self, directory: Path) -> None:
        """Make the namespaces."""
        self.directory = directory
        self.before, self.mounts = keeper.left(), set(mounts())
        self.daemons: list[subprocess.Popen[bytes]] = []
        argv = ["unshare", "-m", "-n", "--propagation", "private", "sh", "-c", HOLD]
        self.holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.holder.stdout
        assert self.holder.stdout.readline() == b"ready\n", "no namespaces for the engine"

    def argv(self, *words: str | Path) -> list[str]:
        """Return the command that runs WORDS there."""
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", "--", *map(str, words)]

    def run(self, *words: str | Path, check: bool = True, **options: Any) -> Done:
        """Run WORDS there; a status that is not 0 fails the test unless CHECK is false."""
        return run(self.argv(*words), words, check=check, **{"timeout": SECONDS, **options})

    def popen(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start WORDS there, with pipes; the test has to wait for it."""
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(self.argv(*words), text=True, **{**pipes, **options})

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to PORT of HOST as it is made there; a socket stays in the network it was made in."""

        def connected() -> socket.socket:
            with open(f"/proc/{self.holder.pid}/ns/net") as network:
                setns(network.fileno(), CLONE_NEWNET)
            return socket.create_connection((host, port), SECONDS)

        with ThreadPoolExecutor(1) as thread:  # only this thread changes, and ends
            return thread.submit(connected).result()

    def hide(self, *paths: str) -> None:
        """Have empty directories at PATHS there, instead of what the engine would share with all of the machine."""
        for path in paths:
            script = 'mountpoint -q "$0" || { mkdir -p "$0" && mount -t tmpfs -o mode=711 pyrunc-test "$0"; }'
            self.run("sh", "-ec", script, path)

    def daemon(self, *words: str | Path, ready: Callable[[], object], **options: Any) -> subprocess.Popen[bytes]:
        """Start a daemon there with Popen's OPTIONS, wait until it is READY, and stop it at the end; it logs to NAME.log."""
        log = self.directory / f"{Path(words[0]).name}.log"
        with log.open("ab") as file:
            started = subprocess.Popen(self.argv(*words), stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options)
        self.daemons.append(started)

        def up() -> bool:
            assert started.poll() is None, f"{words[0]} ended:\n{log.read_text()[-2000:]}"
            return bool(ready())

        wait_for(up, lambda: log.read_text()[-2000:], SECONDS, what=f"{words[0]} to be ready")
        return started

    def stop(self, daemon: subprocess.Popen[bytes]) -> None:
        """End a DAEMON as an administrator does, and wait for it."""
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
            raise AssertionError(f"{daemon.args!r} did not end on SIGTERM") from None
        finally:
            self.daemons.remove(daemon)

    def stays(self) -> list[str]:
        """Return the processes that were not there before and are none of ours: what a runtime or an engine left."""
        ours = {self.holder.pid, *(daemon.pid for daemon in self.daemons)}
        return [keeper.shown(pid) for pid in keeper.left() - self.before - ours]

    def new_mounts(self) -> list[str]:
        """Return the mounts of this, the tests' own, mount namespace that were not there before."""
        return [line for number, line in mounts().items() if number not in self.mounts]

    def close(self) -> None:
        """Stop what runs there; then fail for processes and mounts that stay."""
        try:
            for daemon in reversed(self.daemons.copy()):
                self.stop(daemon)
            wait_for(lambda: not self.stays(), self.stays, 10, what="processes to end")
            # Others work on this machine too, and may mount something for a moment.
            wait_for(lambda: not self.new_mounts(), self.new_mounts, 10, what="mounts to go")
        finally:
            self.holder.kill()
            self.holder.communicate()
            for pid in keeper.left() - self.before:
                os.kill(pid, signal.SIGKILL)
