"""What the integration tests share: real containers, made by the runtime under test.

    pytest integration --runtime .venv/bin/pyrunc     (the default: pyrunc on PATH)
    pytest integration --runtime runc                 proves the tests themselves

`bundle` makes bundles over a busybox rootfs from what `runc spec` writes,
`runtime` runs the runtime with a state directory of its own, and afterwards
deletes what is left and checks that nothing is: no process, mount, cgroup or
state directory (harness/leaks.py; harness/keeper.py tells whose a process is).

The parts of the harness:

    bundle()                     a bundle that sleeps; bundle("echo", "a") and bundle("echo a; exit 3") run that;
                                 change .config, .process, .linux, or call .mount(), .namespace(), before it is used
    runtime.create/start/run     a container of a bundle; the first two return its id, run what the command did
    runtime("kill", id, ...)     any command of the runtime; fails the test if it fails, unless check=False
    runtime.refuses(...)         any command that must fail; returns what it said
    runtime.state/status/pid/exec/wait/end/popen
    failures.fails               a create that must fail and leave nothing
    ordinary                     the same by user 1000, without privileges (harness/ordinary.py)
    leaks.cgroup_directories, runtime.wait_for, looking.py
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from integration.harness import keeper
from integration.harness.bundle import Bundles
from integration.harness.leaks import Leaks
from integration.harness.ordinary import Ordinary
from integration.harness.runtime import Runtime


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--variants", type=int, default=0, help="of each parametrized test run at most so many (default: all)")
    parser.addoption("--runtime", default="pyrunc", help="the runtime under test: a name or a path")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pyrunc_only(reason): runc does otherwise, or not at all")
    config.addinivalue_line("markers", "cruns(reason): runc has it not, and crun has")
    config.addinivalue_line("markers", "v1: needs cgroup version 1")
    config.addinivalue_line("markers", "v2: needs cgroup version 2")
    config.addinivalue_line("markers", "every_variant: whatever --variants says")
    config.addinivalue_line("markers", "systemd: needs systemd as process 1")
    os.umask(0o022)  # whatever the caller's is: bundles are for other users too
    for each in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(each) == signal.SIG_IGN:  # by nohup, or a shell's `&`: execve(2) would hand that on
            signal.signal(each, lambda *_: None)  # ignored here as before, and by default in what is started
    if os.geteuid() == 0 and not config.option.collectonly:
        keeper.keep()


def is_v2() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def some(items: list[pytest.Item], most: int) -> list[pytest.Item]:
    """Return ITEMS with at most MOST variants of each test, spread from the first to the last."""
    variants: dict[str, list[pytest.Item]] = {}
    for item in items:
        variants.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = set()
    for group in variants.values():
        step = max(1.0, (len(group) - 1) / max(1, most - 1))
        kept |= {group[round(place * step)] for place in range(min(most, len(group)))}
    return [item for item in items if item in kept or item.get_closest_marker("every_variant")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if most := config.getoption("--variants"):
        kept = some(items, most)
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
    name = Path(config.getoption("--runtime")).name
    for item in items:
        only = item.get_closest_marker("pyrunc_only")
        if only and name != "pyrunc":
            item.add_marker(pytest.mark.skip(reason=f"{name}: {only.args[0]}"))
        theirs = item.get_closest_marker("cruns")
        if theirs and name not in ("pyrunc", "crun"):
            item.add_marker(pytest.mark.skip(reason=f"{name}: {theirs.args[0]}"))
        if item.get_closest_marker("v1") and is_v2():
            item.add_marker(pytest.mark.skip(reason="this machine has cgroup version 2"))
        if item.get_closest_marker("v2") and not is_v2():
            item.add_marker(pytest.mark.skip(reason="this machine has cgroup version 1 (tox -e vm has 2)"))
        if item.get_closest_marker("systemd") and not Path("/run/systemd/system").is_dir():
            item.add_marker(pytest.mark.skip(reason="systemd is not process 1 here (tox -e vm has it)"))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="containers need root here"))


@pytest.fixture(scope="session")
def binary(request: pytest.FixtureRequest) -> str:
    name = request.config.getoption("--runtime")
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"--runtime {name}: not found")
    return os.path.abspath(found)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path)


@pytest.fixture
def runtime(binary: str, tmp_path: Path):
    made = Runtime(binary, tmp_path)
    leaks = Leaks(made)
    yield made
    made.close()
    leaks.check()


@pytest.fixture
def ordinary(runtime: Runtime, tmp_path: Path) -> Ordinary:
    return Ordinary(runtime, tmp_path)
