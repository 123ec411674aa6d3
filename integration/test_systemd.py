"""The systemd driver, where systemd is process 1 (tox -e vm boots such a machine)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from integration.looking import cgroup_of, unified

pytestmark = pytest.mark.systemd


def scoped(runtime, b, slice_="system.slice"):
    """Let runtime use systemd for B; return the name of the scope."""
    name = runtime.prepare(b)
    b.linux["cgroupsPath"] = f"{slice_}:pyrunctest:{name}"
    b.save()
    return name, f"pyrunctest-{name}.scope"


def created(runtime, b, slice_="system.slice"):
    name, scope = scoped(runtime, b, slice_)
    runtime("--systemd-cgroup", "create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    return name, scope


def shown(scope, *properties):
    """What systemd says of SCOPE."""
    words = [f"--property={name}" for name in properties]
    text = subprocess.run(["systemctl", "show", scope, *words], check=True, capture_output=True, text=True).stdout
    return dict(line.partition("=")[::2] for line in text.splitlines())


def test_the_container_is_in_a_scope(runtime, bundle):
    name, scope = created(runtime, bundle())
    assert shown(scope, "ActiveState", "Delegate", "Slice") == {
        "ActiveState": "active", "Delegate": "yes", "Slice": "system.slice",
    }
    assert str(cgroup_of(runtime.pid(name), "pids")).endswith(f"/system.slice/{scope}")
    runtime("start", name)
    assert runtime.exec(name, "echo", "ran").stdout == "ran\n"
    runtime("delete", "--force", name)
    assert shown(scope, "LoadState") == {"LoadState": "not-found"}
    assert not list(Path("/sys/fs/cgroup").rglob(scope))


def test_a_nested_slice(runtime, bundle):
    name, scope = created(runtime, bundle(), "pyrunctest-a.slice")
    assert str(cgroup_of(runtime.pid(name), "pids")).endswith(f"/pyrunctest.slice/pyrunctest-a.slice/{scope}")
    runtime("delete", "--force", name)


def test_limits_are_known_to_both(runtime, bundle):
    b = bundle()
    b.linux["resources"] |= {
        "memory": {"limit": 64 << 20},
        "pids": {"limit": 77},
        "cpu": {"shares": 512, "quota": 25000, "period": 100000},
    }
    name, scope = created(runtime, b)
    memory = "MemoryMax" if unified() else "MemoryLimit"
    found = shown(scope, "TasksMax", memory, "CPUQuotaPerSecUSec")
    assert found == {"TasksMax": "77", memory: str(64 << 20), "CPUQuotaPerSecUSec": "250ms"}
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    pid = runtime.pid(name)
    file = "memory.max" if unified() else "memory.limit_in_bytes"
    assert (cgroup_of(pid, "memory") / file).read_text() == f"{64 << 20}\n"
    assert (cgroup_of(pid, "pids") / "pids.max").read_text() == "77\n"


def test_an_update_outlives_a_reload(runtime, bundle):
    b = bundle()
    b.linux["resources"] |= {"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}
    name, scope = created(runtime, b)
    runtime("update", "--memory", "32M", "--pids-limit", "55", "--cpu-quota", "50000", "--cpu-period", "100000", name)
    memory = "MemoryMax" if unified() else "MemoryLimit"
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    found = shown(scope, "TasksMax", memory, "CPUQuotaPerSecUSec")
    assert found == {"TasksMax": "55", memory: str(32 << 20), "CPUQuotaPerSecUSec": "500ms"}
    pid = runtime.pid(name)
    assert (cgroup_of(pid, "pids") / "pids.max").read_text() == "55\n"
    file = "memory.max" if unified() else "memory.limit_in_bytes"
    assert (cgroup_of(pid, "memory") / file).read_text() == f"{32 << 20}\n"


def test_devices_stay_closed_and_open_when_systemd_reloads(runtime, bundle):
    b = bundle("sleep", "1000")
    b.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
    ]
    b.linux["devices"] = [
        {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
        for name, major, minor in (("allowed", 10, 229), ("denied", 1, 11))
    ]
    name, _ = created(runtime, b)
    runtime("start", name)
    script = "for d in allowed denied null; do : </dev/$d; done"
    first = runtime.exec(name, "sh", "-c", script, check=False).stderr
    assert "denied: Operation not permitted" in first
    assert "allowed: Operation not permitted" not in first
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert runtime.exec(name, "sh", "-c", script, check=False).stderr == first


def test_properties_by_annotation(runtime, bundle):
    b = bundle()
    b.config["annotations"] = {
        "org.systemd.property.TimeoutStopUSec": "uint64 123456789",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
    }
    name, scope = created(runtime, b)
    found = shown(scope, "TimeoutStopUSec", "CollectMode")
    assert found == {"TimeoutStopUSec": "2min 3.456789s", "CollectMode": "inactive-or-failed"}
    assert runtime.status(name) == "created"


@pytest.mark.pyrunc_only("its words differ")
@pytest.mark.parametrize("path", ["/absolute", "a:b", "a.slice:b:", "a:b:c", "a--b.slice:c:d"])
def test_a_path_that_names_no_unit(runtime, bundle, path):
    b = bundle("true")
    name, _ = scoped(runtime, b)
    b.linux["cgroupsPath"] = path
    b.save()
    done = runtime("--systemd-cgroup", "run", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "(at /linux/cgroupsPath; " in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.pyrunc_only("it refuses it in other words")
def test_a_property_that_is_none(runtime, bundle):
    b = bundle("true")
    name, scope = scoped(runtime, b)
    b.config["annotations"] = {"org.systemd.property.Nonsense": "true"}
    b.save()
    done = runtime("--systemd-cgroup", "run", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "systemd refuses StartTransientUnit" in done.stderr
    assert shown(scope, "LoadState") == {"LoadState": "not-found"}


def test_a_create_that_fails_leaves_no_scope(runtime, bundle):
    b = bundle("/no/such/program")
    name, scope = scoped(runtime, b)
    assert runtime("--systemd-cgroup", "run", "--bundle", str(b.path), name, check=False).returncode == 1
    assert shown(scope, "LoadState") == {"LoadState": "not-found"}


@pytest.mark.pyrunc_only("it takes more")
def test_few_round_trips(runtime, bundle, tmp_path):
    """Hello, AddMatch and StartTransientUnit: each a write to the bus."""
    b = bundle("true")
    name, _ = scoped(runtime, b)
    trace = tmp_path / "trace"
    words = ["strace", "-o", str(trace), "-e", "trace=sendto,sendmsg,connect", "-s", "200"]
    command = runtime.argv("--systemd-cgroup", "create", "--bundle", str(b.path), name)
    subprocess.run([*words, *command], check=True, stdout=-3, stderr=-3, timeout=100)
    calls = [line for line in trace.read_text().splitlines() if "org.freedesktop" in line]
    assert [word for line in calls for word in ("Hello", "AddMatch", "StartTransientUnit") if word in line] == [
        "Hello", "AddMatch", "StartTransientUnit",
    ]
    runtime("delete", "--force", name)


@pytest.mark.pyrunc_only("it says it otherwise")
def test_without_a_bus_it_is_refused(runtime, bundle, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/socket")
    b = bundle("true")
    name, _ = scoped(runtime, b)
    done = runtime("--systemd-cgroup", "run", "--bundle", str(b.path), name, check=False)
    assert done.returncode == 1
    assert "systemd cannot be reached over D-Bus: no such file or directory" in done.stderr
