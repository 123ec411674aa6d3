"""Many at once: fifty containers in parallel, and many commands on one container."""

from __future__ import annotations

import copy
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from integration.harness.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from integration.harness.bundle import Bundles
    from integration.harness.runtime import Runtime

SECONDS = 120  # for fifty, on a machine with two loaded processors; usually it takes eight
# What refusals begin with that are none, but bugs of ours.
BUGS = ("Traceback", "internal error", "panic:")


def at_once(does: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Call DOES with each of ITEMS, in as many threads, which all begin together; return the results."""
    items = list(items)
    barrier = threading.Barrier(len(items))

    def begin(item: Any) -> Any:
        barrier.wait()
        return does(item)

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(begin, items))


def copies(runtime: Runtime, b: Bundle, count: int) -> dict[str, Bundle]:
    """Return COUNT ids with bundles like B over its rootfs; their cgroups are all below one parent."""
    names = [runtime.new_id() for _ in range(count)]
    made = {}
    for name in names:
        path = runtime.directory / name
        path.mkdir()
        config = copy.deepcopy(b.config)
        config["root"] = {"path": str(b.rootfs), "readonly": True}
        config["linux"]["cgroupsPath"] = f"/{names[0]}-parent/{name}"
        made[name] = Bundle(path, config)
        made[name].save()
    return made


def whole_lives(runtime: Runtime, bundles: dict[str, Bundle]) -> None:
    """Take every container through its life, each step of all at once."""

    def create(name: str) -> None:
        log = runtime.directory / f"{name}.log"
        words = ("--log", str(log), "create", "--bundle", str(bundles[name].path), name)
        done = runtime(*words, check=False, stdout=-3, stderr=-3)  # nobody waits for the container's streams
        assert done.returncode == 0, log.read_text()

    at_once(create, bundles)
    states = at_once(runtime.state, bundles)
    assert {state["status"] for state in states} == {"created"}
    assert len({state["pid"] for state in states}) == len(bundles)
    at_once(lambda name: runtime("start", name), bundles)
    said = at_once(lambda name: runtime.exec(name, "sh", "-c", f"echo {name}; hostname").stdout, bundles)
    assert said == [f"{name}\nrunc\n" for name in bundles]
    listed = json.loads(runtime("list", "--format", "json").stdout)
    assert {row["id"]: row["status"] for row in listed} == dict.fromkeys(bundles, "running")
    at_once(lambda name: runtime("kill", name, "KILL"), bundles)
    at_once(lambda name: runtime.wait(name, "stopped"), bundles)
    at_once(lambda name: runtime("delete", name), bundles)
    assert not [name for name in bundles if (runtime.root / name).exists()]


@pytest.mark.slow_vm
def test_fifty_at_once(runtime: Runtime, bundle: Bundles) -> None:
    begun = time.monotonic()
    whole_lives(runtime, copies(runtime, bundle(), 50))
    assert time.monotonic() - begun < SECONDS


def test_six_at_once(runtime: Runtime, bundle: Bundles) -> None:
    whole_lives(runtime, copies(runtime, bundle(), 6))


def lives_apart(runtime: Runtime, b: Bundle, count: int, rounds: int) -> None:
    """Let containers below one parent come and go, each at its own pace: it is made and removed all the time."""

    def go(item: tuple[str, Bundle]) -> list[str]:
        name, made = item
        return [runtime("run", "--bundle", str(made.path), name).stdout for _ in range(rounds)]

    said = at_once(go, copies(runtime, b, count).items())
    assert said == [["here\n"] * rounds] * count


@pytest.mark.slow_vm
def test_a_parent_that_comes_and_goes(runtime: Runtime, bundle: Bundles) -> None:
    lives_apart(runtime, bundle("echo", "here"), 8, 12)


def test_a_parent_that_comes_and_goes_a_little(runtime: Runtime, bundle: Bundles) -> None:
    lives_apart(runtime, bundle("echo", "here"), 3, 3)


def race_of_creates(runtime: Runtime, b: Bundle, count: int) -> None:
    """Create COUNT containers of one id at once: one is made, and the others say why not and harm nothing."""
    bundles = list(copies(runtime, b, count).values())
    name = runtime.ids[-1]

    def create(made: Bundle) -> tuple[int, str]:
        log = made.path / "log"
        words = ("--log", str(log), "create", "--bundle", str(made.path), name)
        return runtime(*words, check=False, stdout=-3, stderr=-3).returncode, log.read_text() if log.exists() else ""

    ended = at_once(create, bundles)
    winners = [number for number, (status, _) in enumerate(ended) if status == 0]
    assert len(winners) == 1, ended
    assert all("container with given ID already exists" in text for status, text in ended if status), ended
    state = runtime.state(name)
    assert state["status"] == "created"
    assert state["bundle"] == str(bundles[winners[0]].path)
    runtime("start", name)
    assert runtime.exec(name, "echo", "it works").stdout == "it works\n"


@pytest.mark.slow_vm
def test_a_race_of_twenty_creates(runtime: Runtime, bundle: Bundles) -> None:
    if runtime.name == "runc":
        pytest.skip("runc 1.1 looks for the directory first and makes it later: two of them can win")
    race_of_creates(runtime, bundle(), 20)


@pytest.mark.pyrunc_only("1.1 looks for the directory first and makes it later: two of them can win")
def test_a_race_of_four_creates(runtime: Runtime, bundle: Bundles) -> None:
    race_of_creates(runtime, bundle(), 4)


def parallel_exec(runtime: Runtime, b: Bundle, count: int) -> None:
    """Run COUNT processes in one container at once; each has its own output and status."""
    name = runtime.start(b)

    def go(number: int) -> tuple[str, int]:
        done = runtime.exec(name, "sh", "-c", f"echo {number}; exit {number}", check=False)
        return done.stdout, done.returncode

    assert at_once(go, range(count)) == [(f"{number}\n", number) for number in range(count)]
    assert runtime.status(name) == "running"
    inside = runtime.exec(name, "sh", "-c", "echo /proc/[0-9]*").stdout.split()
    assert len(inside) == 2, inside  # the init and this shell: nobody else has stayed


@pytest.mark.slow_vm
def test_twenty_execs_at_once(runtime: Runtime, bundle: Bundles) -> None:
    parallel_exec(runtime, bundle(), 20)


def test_four_execs_at_once(runtime: Runtime, bundle: Bundles) -> None:
    parallel_exec(runtime, bundle(), 4)


def refused_or_done(runtime: Runtime, done: Any) -> bool:
    """Return whether a command has worked; fail unless it has, or has clearly refused."""
    assert not [bug for bug in BUGS if bug in done.stderr], done
    if "exec" in done.args and done.returncode == 128 + signal.SIGKILL and not done.stderr:
        return False  # it had started when another command ended the container, and that is its status
    if done.returncode and runtime.name == "pyrunc":
        assert done.stderr.startswith("pyrunc "), done
        assert done.stderr.count("\n") == 1, done
        assert ".py:" not in done.stderr, done  # an OSError that nobody has foreseen
        # exec takes no lock: it may find that the cgroup has gone meanwhile, and says which.
        assert "exec" in done.args or "no such file or directory" not in done.stderr, done
    return not done.returncode


def all_sorts(runtime: Runtime, b: Bundle, rounds: int) -> None:
    """Let every command work on one id at once, again and again; in the end nothing is half done."""
    verbs = (
        ("start", "ID"),
        ("state", "ID"),
        ("pause", "ID"),
        ("resume", "ID"),
        ("exec", "ID", "true"),
        ("ps", "ID"),
        ("kill", "ID", "KILL"),
        ("delete", "ID"),
        ("delete", "--force", "ID"),
        ("list", "-q"),
    )
    for _ in range(rounds):
        name = runtime.create(b)
        words = [tuple(name if word == "ID" else word for word in verb) for verb in verbs]
        ended = at_once(lambda line: runtime(*line, check=False), words)
        for done in ended:
            refused_or_done(runtime, done)
        if runtime.name == "pyrunc":
            assert ended[8].returncode == 0, ended[8]  # by force, it always goes
            assert not (runtime.root / name).exists()
        runtime("delete", "--force", name, check=False)


@pytest.mark.slow_vm
def test_all_commands_on_one_container(runtime: Runtime, bundle: Bundles) -> None:
    all_sorts(runtime, bundle(), 20)


def test_all_commands_on_one_container_a_little(runtime: Runtime, bundle: Bundles) -> None:
    all_sorts(runtime, bundle(), 2)


def one_of(runtime: Runtime, b: Bundle, rounds: int) -> None:
    """Start, kill and delete one container by several commands at once: exactly one of each works."""
    for _ in range(rounds):
        name = runtime.create(b)
        started = at_once(lambda line: refused_or_done(runtime, runtime(*line, check=False)), [("start", name)] * 4)
        assert sum(started) == 1
        assert runtime.status(name) == "running"
        runtime.end(name)
        deleted = at_once(lambda line: refused_or_done(runtime, runtime(*line, check=False)), [("delete", name)] * 4)
        assert sum(deleted) == 1
        assert not (runtime.root / name).exists()


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("1.1 does not lock: several of them work, or fail half-way")
def test_exactly_one_starts_and_deletes(runtime: Runtime, bundle: Bundles) -> None:
    one_of(runtime, bundle(), 8)


@pytest.mark.pyrunc_only("1.1 does not lock: several of them work, or fail half-way")
def test_exactly_one_starts_and_deletes_once(runtime: Runtime, bundle: Bundles) -> None:
    one_of(runtime, bundle(), 1)


@pytest.mark.pyrunc_only("1.1 does not lock")
def test_create_against_delete(runtime: Runtime, bundle: Bundles) -> None:
    """A create and a delete --force of the same id at once: the create works, or says that it was deleted."""
    b = bundle()
    name = runtime.prepare(b)
    log = runtime.directory / "create.log"

    def create(_: int) -> None:
        words = ("--log", str(log), "create", "--bundle", str(b.path), name)
        runtime(*words, check=False, stdout=-3, stderr=-3)

    def delete(number: int) -> None:
        time.sleep(number * 0.004)
        refused_or_done(runtime, runtime("delete", "--force", name))

    for _ in range(4):
        at_once(lambda item: item[0](item[1]), [(create, 0), *((delete, number) for number in range(8))])
        runtime("delete", "--force", name)
    said = log.read_text() if log.exists() else ""
    assert not [bug for bug in (*BUGS, ".py:") if bug in said], said
