"""The commands that faults are put into: what goes before each, and what has to be true after it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from integration.faults.scene import Wrong, hierarchies, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.faults.scene import Said, Scene

GONE = ""  # all but an empty directory, perhaps
SLEEPS = ("sleep", "1000")
ANY = ("", "creating", "created", "running", "paused", "stopped")


class Verb(NamedTuple):
    """One command: `words` after `before`; if it says that it has worked, `worked` looks whether it has.

    `refused` are the states that it may leave when it says that it has not; `keeps` says that the container is used again.
    """

    name: str
    before: Callable[[Scene], None]
    words: Callable[[Scene], tuple[str, ...]]
    worked: Callable[[Scene, Said], None]
    refused: tuple[str, ...]
    keeps: bool = False
    kinds: tuple[str, ...] = ("plain", "mapped")


def _must(scene: Scene, *words: str) -> None:
    """Run WORDS, which have to work."""
    done = scene(*words)
    if done.status != 0:
        raise Wrong(f"{words}: {done}")


def _nothing(scene: Scene) -> None:
    """Begin with no container."""


def _created(scene: Scene) -> None:
    """Begin with one that waits."""
    _must(scene, *scene.create)


def _running(scene: Scene) -> None:
    """Begin with one that runs."""
    _must(scene, *scene.run_detached)


def _same(scene: Scene) -> None:
    """Begin with the one that runs, if it still does."""
    if scene.state().get("status") != "running":
        _must(scene, "delete", "--force", scene.id)
        _running(scene)


def _stopped(scene: Scene) -> None:
    """Begin with one that has ended."""
    _running(scene)
    _must(scene, "kill", scene.id, "KILL")
    wait_for(lambda: scene.truth() == "stopped", "it to be stopped")


def _paused(scene: Scene) -> None:
    """Begin with one that stands still."""
    _running(scene)
    _must(scene, "pause", scene.id)


def _is(status: str) -> Callable[[Scene, Said], None]:
    """Return what checks that the container is in STATUS."""

    def check(scene: Scene, _: Said) -> None:
        found = scene.truth()
        if found != status:
            raise Wrong(f"it says it has worked, and the container is {found!r}, not {status}")

    return check


def _is_created(scene: Scene, said: Said) -> None:
    """Check a create that says it has worked: the container starts, and is as confined as any."""
    _is("created")(scene, said)
    _must(scene, "start", scene.id)
    scene.as_good(scene.state()["pid"], "init")


def _is_running(scene: Scene, said: Said) -> None:
    """Check a start that says it has worked."""
    _is("running")(scene, said)
    scene.as_good(scene.state()["pid"], "init")


def _is_deleted(scene: Scene, said: Said) -> None:
    """Check a delete that says it has worked."""
    _is("")(scene, said)
    scene.nothing()


def _is_killed(scene: Scene, _: Said) -> None:
    """Check a kill that says it has worked."""
    wait_for(lambda: scene.state()["status"] == "stopped", "it to be stopped", 5)


def _is_updated(scene: Scene, _: Said) -> None:
    """Check an update that says it has worked."""
    (found,) = [file for file in (top / scene.cgroup / "own/pids.max" for top in hierarchies()) if file.exists()]
    if found.read_text().strip() != "77":
        raise Wrong(f"it says it has worked, and pids.max is {found.read_text()}")


def _has_executed(scene: Scene, _: Said) -> None:
    """Check an exec that says it has worked: its process is as confined as any, and then ends."""
    file = scene.path / "exec.pid"
    pid = int(file.read_text())
    if not running(pid):
        raise Wrong("it says it has worked, and its process does not run")
    scene.as_good(pid, "exec")
    os.kill(pid, 9)
    wait_for(lambda: not running(pid), "what was executed to end")


def _exec(scene: Scene) -> tuple[str, ...]:
    """Return an exec whose process is known by a file."""
    file = scene.path / "exec.pid"
    Path(file).unlink(missing_ok=True)
    return ("exec", "--detach", "--pid-file", str(file), scene.id, *SLEEPS)


def _on(*words: str) -> Callable[[Scene], tuple[str, ...]]:
    """Return what makes WORDS with the container's id at the end."""
    return lambda scene: (*words, scene.id)


def _update(scene: Scene) -> tuple[str, ...]:
    return ("update", "--pids-limit", "77", "--cpu-share", "300", "--memory", "200M", scene.id)


def _checkpoint(scene: Scene) -> tuple[str, ...]:
    return ("checkpoint", "--image-path", str(scene.path / "image"), "--work-path", str(scene.path / "work"), scene.id)


def _reads(*words: str, keeps: bool = True) -> Verb:
    """Return a command that only looks."""
    return Verb(words[0], _same, lambda s: tuple(s.id if w == "ID" else w for w in words), _is("running"), ("running",), keeps, ("plain",))


VERBS = (
    Verb("create", _nothing, lambda s: s.create, _is_created, ("",)),
    Verb("run", _nothing, lambda s: s.run_detached, _is_running, ("",)),
    Verb("start", _created, _on("start"), _is_running, ("", "created", "stopped", "running")),
    Verb("exec", _same, _exec, _has_executed, ("running",), keeps=True),
    Verb("delete", _stopped, _on("delete"), _is_deleted, ("stopped", GONE), kinds=("plain",)),
    Verb("delete --force", _running, _on("delete", "--force"), _is_deleted, ("running", "stopped", GONE), kinds=("plain",)),
    Verb("kill", _running, lambda s: ("kill", s.id, "KILL"), _is_killed, ("running", "stopped"), kinds=("plain",)),
    Verb("pause", _running, _on("pause"), _is("paused"), ("running", "paused"), kinds=("plain",)),
    Verb("resume", _paused, _on("resume"), _is("running"), ("running", "paused"), kinds=("plain",)),
    Verb("update", _same, _update, _is_updated, ("running",), keeps=True, kinds=("plain",)),
    Verb("checkpoint", _same, _checkpoint, _is("running"), ("running",), keeps=True, kinds=("plain",)),
    _reads("state", "ID"),
    _reads("list"),
    _reads("ps", "ID"),
    _reads("events", "--stats", "ID"),
)
BY_NAME = {verb.name: verb for verb in VERBS}
