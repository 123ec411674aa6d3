"""Every command on a busybox bundle with the config.json that `spec` writes, of which not a byte is changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.bundle import make_rootfs
from integration.harness.receiver import Receiver
from integration.harness.runtime import wait_for
from integration.test_tty import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.harness.runtime import Runtime

SECONDS = 20
PROMPT = "/ # "  # of busybox's shell, for root


@pytest.fixture(params=["runc", "own"])
def unchanged(request: pytest.FixtureRequest, tmp_path: Path, runtime: Runtime) -> Iterator[Path]:
    """Return a bundle as `runc spec`, or the runtime's own `spec`, makes it."""
    path = tmp_path / "unchanged"
    make_rootfs(path / "rootfs")
    program = "runc" if request.param == "runc" else runtime.binary
    subprocess.run([program, "spec"], cwd=path, check=True)
    written = (path / "config.json").read_bytes()
    config = json.loads(written)
    assert config["process"]["terminal"] is True
    assert config["process"]["args"] == ["sh"]
    yield path
    assert (path / "config.json").read_bytes() == written


class Shell:
    """The master of a container's terminal, with its shell behind."""

    def __init__(self, master: int) -> None:
        """Take MASTER over."""
        self.master, self.text = master, ""

    def read_until(self, wanted: str) -> None:
        """Read until WANTED has come."""
        os.set_blocking(self.master, False)
        wait_for(lambda: wanted in self._more(), lambda: self.text, SECONDS, what=f"{wanted!r} in")

    def _more(self) -> str:
        """Read what there is."""
        try:
            self.text += os.read(self.master, 4096).decode()
        except OSError:
            pass  # nothing yet, or nobody any more
        return self.text

    def write(self, text: str) -> None:
        """Type TEXT."""
        os.write(self.master, text.encode())


def created(runtime: Runtime, path: Path) -> tuple[str, Shell]:
    """Create a container of the bundle at PATH; return its id and its terminal."""
    name = runtime.new_id()
    console = Receiver(runtime.directory / "s")
    words = ("create", "--bundle", str(path), "--console-socket", console.path, name)
    log = runtime.directory / "log"
    done = runtime("--log", str(log), *words, check=False, stdout=-3, stderr=-3)
    assert done.returncode == 0, log.read_text()
    _, master = console.receive()
    return name, Shell(master)


def status(runtime: Runtime, name: str) -> tuple[str, bool]:
    """Return the status of NAME, and whether it has a pid."""
    state = runtime.state(name)
    return state["status"], state["pid"] > 0


def test_every_command(runtime: Runtime, unchanged: Path) -> None:
    name, shell = created(runtime, unchanged)
    assert status(runtime, name) == ("created", True)
    assert runtime.state(name)["bundle"] == str(unchanged)
    runtime("start", name)
    assert status(runtime, name) == ("running", True)
    shell.read_until(PROMPT)
    shell.write("tty; echo $((6*7)); hostname\n")
    hostname = json.loads((unchanged / "config.json").read_text())["hostname"]
    shell.read_until(f"42\r\n{hostname}\r\n")
    look(runtime, name)
    runtime("pause", name)
    assert status(runtime, name) == ("paused", True)
    runtime("resume", name)
    assert status(runtime, name) == ("running", True)
    shell.write("echo still $((40+2))\n")
    shell.read_until("still 42\r\n")
    runtime("kill", name, "KILL")
    runtime.wait(name, "stopped")
    runtime("delete", name)
    assert "container does not exist" in runtime.refuses("state", name)
    os.close(shell.master)


def look(runtime: Runtime, name: str) -> None:
    """Look at the running container NAME by exec, ps and list."""
    assert runtime.exec(name, "sh", "-c", "id -u; pwd; echo $TERM").stdout == "0\n/\nxterm\n"
    assert runtime.exec(name, "sh", "-c", "exit 5", check=False).returncode == 5
    assert "Read-only file system" in runtime.exec(name, "touch", "/made", check=False).stderr
    screen = Screen(runtime.argv("exec", "-t", name, "sh", "-c", "sleep 0.3; stty size; exit 6"))
    screen.read_until("30 100")
    assert screen.close() == 6
    pid = runtime.pid(name)
    assert json.loads(runtime("ps", "--format", "json", name).stdout) == [pid]
    assert str(pid) in runtime("ps", name).stdout
    rows: list[dict[str, Any]] = json.loads(runtime("list", "--format", "json").stdout)
    assert [(row["id"], row["status"], row["pid"]) for row in rows] == [(name, "running", pid)]
    assert runtime("list", "-q").stdout == f"{name}\n"


def test_the_shell_ends(runtime: Runtime, unchanged: Path) -> None:
    name, shell = created(runtime, unchanged)
    runtime("start", name)
    shell.read_until(PROMPT)
    shell.write("exit\n")
    runtime.wait(name, "stopped")
    assert status(runtime, name) == ("stopped", False)
    runtime("delete", name)
    os.close(shell.master)


def test_delete_by_force(runtime: Runtime, unchanged: Path) -> None:
    name, shell = created(runtime, unchanged)
    runtime("start", name)
    runtime("delete", "--force", name)
    assert "container does not exist" in runtime.refuses("state", name)
    os.close(shell.master)


def test_run_on_a_terminal(runtime: Runtime, unchanged: Path) -> None:
    name = runtime.new_id()
    screen = Screen(runtime.argv("run", "--bundle", str(unchanged), name))
    screen.read_until(PROMPT)
    screen.write("stty size; echo status $((1+2))\r")
    screen.read_until("30 100\r\n")
    screen.read_until("status 3\r\n")
    assert status(runtime, name) == ("running", True)
    screen.write("exit 7\r")
    assert screen.close() == 7
    assert "container does not exist" in runtime.refuses("state", name)


def foreground(runtime: Runtime, name: str) -> str:
    """Return the name of the process that ^C on the terminal of container NAME's init would end (proc(5), tpgid), "" if it is gone."""
    try:
        group = Path(f"/proc/{runtime.pid(name)}/stat").read_text().rpartition(")")[2].split()[5]
        return Path(f"/proc/{group}/comm").read_text().strip()
    except OSError:
        return ""


def test_interrupted_on_a_terminal(runtime: Runtime, unchanged: Path) -> None:
    """^C ends what the shell runs, not the shell; ^D ends the shell."""
    name = runtime.new_id()
    screen = Screen(runtime.argv("run", "--bundle", str(unchanged), name))
    screen.read_until(PROMPT)
    screen.write("echo go $((1+2)); sleep 1000\r")
    screen.read_until("go 3\r\n")
    wait_for(lambda: foreground(runtime, name) == "sleep", "sleep to have the terminal")
    screen.write("\x03")
    screen.write("echo on $((1+3))\r")
    screen.read_until("on 4\r\n")
    screen.write("\x04")
    assert screen.close() == 0


def test_detached_run(runtime: Runtime, unchanged: Path) -> None:
    name = runtime.new_id()
    console = Receiver(runtime.directory / "s")
    words = ("run", "--detach", "--bundle", str(unchanged), "--console-socket", console.path, name)
    runtime(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, master = console.receive()
    shell = Shell(master)
    shell.read_until(PROMPT)
    assert status(runtime, name) == ("running", True)
    runtime.end(name)
    runtime("delete", name)
    os.close(master)
