"""events: statistics that runc would give of the same container, and what happens to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.runtime import WAIT, wait_for
from integration.looking import cgroup_of, unified

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

MIB = 1 << 20
BUSY = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/data/f bs=64k count=20 2>/dev/null; touch /data/there; sleep 1000"
# What the last runc has and 1.1 has not: pressure, and the peak of version 2.
NEWER = {"psi", "max"}


def limited(b: Bundle, **resources: Any) -> Bundle:
    b.linux["resources"] = resources
    return b


def stats(runtime: Runtime, name: str) -> dict[str, Any]:
    """Return the data of one event, after a look at what surrounds it."""
    text = runtime("events", "--stats", name).stdout
    assert text.count("\n") == 1
    document = json.loads(text)
    assert list(document) == ["type", "id", "data"]
    assert (document["type"], document["id"]) == ("stats", name)
    data: dict[str, Any] = document["data"]
    return data


def shape(value: Any, at: str = "") -> dict[str, str]:
    """Return the pointer of each value, with its type; numbers are all alike."""
    if isinstance(value, dict):
        return {key: kind for name, item in value.items() for key, kind in shape(item, f"{at}/{name}").items()} or {at: "{}"}
    if isinstance(value, list):
        return {key: kind for item in value[:1] for key, kind in shape(item, f"{at}/0").items()} or {at: "[]"}
    return {at: "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__}


def busy(runtime: Runtime, b: Bundle) -> str:
    """Start B and wait until it has used some of everything."""
    name = runtime.start(b)
    wait_for((b.rootfs / "data/there").exists, "the container to be busy")
    return name


def settled(b: Bundle) -> Bundle:
    return limited(
        b, memory={"limit": 64 * MIB, "swap": 80 * MIB}, pids={"limit": 42}, cpu={"quota": 20000, "period": 50000}
    )


# One document


@pytest.fixture
def runc(runtime, tmp_path):
    """runc beside the runtime under test."""
    found = shutil.which("runc")
    if found is None:
        pytest.skip("runc is not installed")
    made = type(runtime)(found, _directory(tmp_path))
    yield made
    made.close()
    for name in made.ids:
        _remove_parents(name)


def test_keys_are_runcs(runtime, runc, bundle):
    """Of two containers with the same configuration, runc and the runtime under test tell the same keys."""
    ours = shape(stats(runtime, busy(runtime, settled(bundle(BUSY)))))
    theirs = shape(stats(runc, busy(runc, settled(bundle(BUSY)))))
    assert {key: kind for key, kind in theirs.items() if ours.get(key) != kind and not by_chance(key)} == {}
    assert {key for key in ours if key not in theirs and not by_chance(key)} == set()
    assert len(ours) > 30


def by_chance(key: str) -> bool:
    """Return whether both need not have KEY: what is left out at zero, and what only the last runc has."""
    parts = set(key.split("/"))
    return bool(parts & (NEWER | {"throttledPeriods", "throttledTime", "cache"})) or key.startswith("/blkio")


def test_other_documents_are_runcs(runtime, runc, bundle):
    """What state and ps tell as JSON has runc's keys; update and pause tell nothing."""
    ours, theirs = ((each, each.start(settled(bundle()))) for each in (runtime, runc))
    for words in (("state",), ("ps", "--format", "json"), ("list", "--format", "json")):
        mine, other = (
            shape(json.loads(each(*words, *([] if words[0] == "list" else [name])).stdout)) for each, name in (ours, theirs)
        )
        assert mine == other, words
    for each, name in (ours, theirs):
        for words in (("update", "--pids-limit", "9"), ("pause",), ("resume",)):
            done = each(*words, name)
            assert (done.stdout, done.stderr) == ("", "")


def _directory(path: Path) -> Path:
    made = path / "other"
    made.mkdir()
    return made


def _remove_parents(name: str) -> None:
    """Remove what runc leaves, which the test asked for."""
    subprocess.run(["find", "/sys/fs/cgroup", "-name", f"{name}-parent", "-exec", "rmdir", "{}", "+"], check=False)


def test_values(runtime, bundle):
    """Limits are the configuration's, and what was used is there."""
    name = busy(runtime, settled(bundle(BUSY)))
    found = stats(runtime, name)
    assert found["pids"] == {"current": 2, "limit": 42} or found["pids"]["limit"] == 42
    assert found["pids"]["current"] >= 1
    assert found["memory"]["usage"]["limit"] == 64 * MIB
    assert found["memory"]["swap"]["limit"] == 80 * MIB
    assert 0 < found["memory"]["usage"]["usage"] < 64 * MIB
    assert found["memory"]["raw"]["pgfault"] > 0
    assert found["cpu"]["usage"]["total"] > 1_000_000
    assert found["cpu"]["throttling"]["periods"] > 0
    assert found["network_interfaces"] is None
    assert found["intel_rdt"] == {}
    if not unified():
        directory = cgroup_of(runtime.pid(name), "cpuacct")
        assert found["cpu"]["usage"]["total"] == int((directory / "cpuacct.usage").read_text())
        assert sum(found["cpu"]["usage"]["percpu"]) == found["cpu"]["usage"]["total"]
        assert found["cpuset"]["mems"] == [0]


def test_throttling_is_counted(runtime, bundle):
    name = runtime.start(limited(bundle("while true; do :; done"), cpu={"quota": 5000, "period": 50000}))
    wait_for(lambda: stats(runtime, name)["cpu"]["throttling"].get("throttledTime", 0) > 0, "throttling")
    assert stats(runtime, name)["cpu"]["throttling"]["throttledPeriods"] > 0


def test_a_full_group_counts_failures(runtime, bundle):
    b = bundle("tail -c 99999999 /dev/zero; touch /data/there; sleep 1000")  # alone: see test_running_out_of_memory
    name = busy(runtime, limited(b, memory={"limit": 16 * MIB}))
    found = stats(runtime, name)["memory"]
    if unified() and runtime.name == "runc":
        pytest.skip("1.1 does not count them on version 2")
    assert found["usage"]["failcnt"] > 0


def test_without_limits(runtime, bundle):
    found = stats(runtime, runtime.start(bundle()))
    assert "limit" not in found["pids"]
    assert found["memory"]["usage"]["limit"] == ((1 << 64) - 1 if unified() else 9223372036854771712)


def test_states(runtime, bundle):
    name = runtime.create(bundle())
    assert stats(runtime, name)["pids"]["current"] >= 1
    runtime("start", name)
    runtime("pause", name)
    assert stats(runtime, name)["pids"]["current"] == 1
    runtime("resume", name)
    runtime.end(name)
    for words in (("--stats",), ()):
        assert f"container with id {name} is not running" in runtime.refuses("events", *words, name)


def test_no_container(runtime):
    assert "does not exist" in runtime.refuses("events", "pyrunc-test-nobody")


@pytest.mark.parametrize("interval", ["0s", "-1s", "5", "s", "5x", "5s3", "", "1..5s"])
def test_no_interval(runtime, bundle, interval):
    name = runtime.start(bundle())
    if runtime.name == "runc" and interval not in ("0s", "-1s"):
        pytest.skip("1.1 shows its usage")
    found = runtime.refuses("events", "--interval", interval, name)
    if runtime.name == "pyrunc":
        assert "--interval" in found


# One after another


class Told:
    """`events` of container NAME, which tells into a file.

    Of a pipe, what has been read ahead of a line is not what communicate() goes on with: a test that did
    not get the processor for a second found half a line.
    """

    def __init__(self, runtime: Runtime, name: str) -> None:
        """Begin, and wait for the first event: it watches by then."""
        self.path = runtime.directory / f"{name}.events"
        with self.path.open("wb") as out:
            self.process = runtime.popen("events", "--interval", "200ms", name, stdout=out)
        wait_for(self.events, "the first event")

    def events(self) -> list[dict[str, Any]]:
        """Return what it has told until now."""
        return [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]

    def others(self) -> list[dict[str, Any]]:
        """Return those that are no statistics."""
        return [event for event in self.events() if event["type"] != "stats"]

    def ends(self) -> None:
        """Check that it ends by itself, with nothing to say."""
        _, said = self.process.communicate(timeout=WAIT)
        assert (self.process.returncode, said) == (0, "")

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def lines(watch: Any, seconds: float) -> list[dict[str, Any]]:
    """Let WATCH go on for SECONDS, end it, and return what it told."""
    time.sleep(seconds)
    watch.kill()
    return [json.loads(line) for line in watch.communicate()[0].splitlines()]


@pytest.mark.parametrize(("interval", "least", "most"), [("200ms", 5, 11), ("1s", 1, 2), ("0m0.5s", 2, 4), ("1m", 0, 0)])
def test_an_interval(runtime, bundle, interval, least, most):
    name = runtime.start(bundle())
    with runtime.popen("events", "--interval", interval, name) as watch:
        found = lines(watch, 2.3)
    assert least <= len(found) <= most
    assert {event["type"] for event in found} <= {"stats"}


def test_it_sees_what_changes(runtime, bundle):
    name = runtime.start(limited(bundle(), pids={"limit": 30}))
    with runtime.popen("events", "--interval", "100ms", name) as watch:
        time.sleep(0.5)
        runtime("update", "--pids-limit", "31", name)
        found = [event["data"]["pids"]["limit"] for event in lines(watch, 0.5)]
    assert found == sorted(found)
    assert {30, 31} == set(found)


@pytest.mark.pyrunc_only("1.1 goes on until the cgroup is removed")
@pytest.mark.parametrize("how", ["exit", "kill", "delete"])
def test_it_ends_with_the_container(runtime, bundle, how):
    b = bundle("while [ ! -e /data/stop ]; do sleep 0.05; done")
    name = runtime.start(b)
    told = Told(runtime, name)
    if how == "exit":
        (b.rootfs / "data/stop").touch()
    elif how == "kill":
        runtime("kill", name, "KILL")
    else:
        runtime("delete", "--force", name)
    told.ends()
    assert not told.others()


def test_running_out_of_memory(runtime, bundle):
    """The victim is a child: the container goes on, and the event tells.

    It is alone: of several in a pipe, one that still wants memory when the victim has just gone makes the kernel kill
    whoever is left, which is the init.
    """
    b = bundle("while [ ! -e /data/go ]; do usleep 10000; done; tail -c 99999999 /dev/zero; touch /data/there; sleep 1000")
    name = runtime.start(limited(b, memory={"limit": 16 * MIB, "swap": 16 * MIB}))
    told = Told(runtime, name)
    (b.rootfs / "data/go").touch()
    wait_for(told.others, "the event")
    wait_for((b.rootfs / "data/there").exists, "the end of the victim")
    seen = len(told.events())
    wait_for(lambda: len(told.events()) > seen, "it to go on")
    told.end()
    assert all(event == {"type": "oom", "id": name} for event in told.others())
    assert runtime.status(name) == "running"


@pytest.mark.pyrunc_only("1.1 may miss it: it ends or goes on, as it happens")
def test_the_init_runs_out_of_memory(runtime, bundle):
    """The last thing that is told of a container that memory killed is that."""
    b = bundle("while [ ! -e /data/go ]; do usleep 10000; done; exec tail -c 99999999 /dev/zero")
    name = runtime.start(limited(b, memory={"limit": 16 * MIB, "swap": 16 * MIB}))
    told = Told(runtime, name)
    (b.rootfs / "data/go").touch()
    told.ends()
    assert told.events()[-1]["type"] == "oom"
    assert runtime.status(name) == "stopped"


def test_nobody_reads(runtime, bundle):
    """It ends as a program that SIGPIPE ends, with nothing to say about it."""
    name = runtime.start(bundle())
    with runtime.popen("events", "--interval", "100ms", name) as watch:
        watch.stdout.close()
        assert watch.wait(10) in (141, -13)
        assert watch.stderr.read() == ""


def test_two_watch(runtime, bundle):
    b = bundle()
    name = runtime.start(b)
    with (
        runtime.popen("events", "--interval", "200ms", name) as one,
        runtime.popen("events", "--interval", "200ms", name) as two,
    ):
        assert json.loads(one.stdout.readline())["id"] == json.loads(two.stdout.readline())["id"] == name
        one.kill()
        two.kill()
        one.communicate()
        two.communicate()
