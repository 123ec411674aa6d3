"""The systemd driver, where systemd is process 1 (tox -e vm boots such a machine)."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest

from integration.harness.crash import Victim, log_path
from integration.harness.leaks import cgroup_directories
from integration.harness.ordinary import UID, public_directory
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, unified

pytestmark = [pytest.mark.systemd, pytest.mark.every_variant]


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
    weight, value = ("CPUWeight", "59") if unified() else ("CPUShares", "512")
    found = shown(scope, "TasksMax", memory, "CPUQuotaPerSecUSec", weight)
    assert found == {"TasksMax": "77", memory: str(64 << 20), "CPUQuotaPerSecUSec": "250ms", weight: value}
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    pid = runtime.pid(name)
    file = "memory.max" if unified() else "memory.limit_in_bytes"
    assert (cgroup_of(pid, "memory") / file).read_text() == f"{64 << 20}\n"
    assert (cgroup_of(pid, "pids") / "pids.max").read_text() == "77\n"


def test_an_update_outlives_a_reload(runtime, bundle):
    b = bundle()
    b.linux["resources"] |= {"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}
    name, scope = created(runtime, b)
    limits = ("--memory", "32M", "--pids-limit", "55", "--cpu-quota", "50000", "--cpu-period", "100000", "--cpu-share", "10240")
    runtime("update", *limits, name)
    memory = "MemoryMax" if unified() else "MemoryLimit"
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    weight, value = ("CPUWeight", "639") if unified() else ("CPUShares", "10240")
    found = shown(scope, "TasksMax", memory, "CPUQuotaPerSecUSec", weight)
    assert found == {"TasksMax": "55", memory: str(32 << 20), "CPUQuotaPerSecUSec": "500ms", weight: value}
    pid = runtime.pid(name)
    directory, file = (cgroup_of(pid, "cpu"), "cpu.weight" if unified() else "cpu.shares")
    assert (directory / file).read_text() == f"{value}\n"
    assert (cgroup_of(pid, "pids") / "pids.max").read_text() == "55\n"
    file = "memory.max" if unified() else "memory.limit_in_bytes"
    assert (cgroup_of(pid, "memory") / file).read_text() == f"{32 << 20}\n"


@pytest.mark.v2
def test_a_group_that_idles_and_no_longer(runtime, bundle):
    """To systemd, idle is a weight: without it a reload would write the old one."""
    name, scope = created(runtime, bundle())
    file = cgroup_of(runtime.pid(name), "cpu") / "cpu.idle"
    for idle in ("1", "0"):
        runtime("update", "--cpu-idle", idle, name)
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        assert (file.read_text().strip(), shown(scope, "CPUWeight")["CPUWeight"] == "idle") == (idle, idle == "1")


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


# What stays


def gone(scope):
    """Check that neither systemd nor any hierarchy knows SCOPE any more."""
    wait_for(lambda: shown(scope, "LoadState") == {"LoadState": "not-found"}, lambda: shown(scope, "LoadState", "ActiveState"), what="systemd to forget it")
    assert not cgroup_directories(scope)


@pytest.mark.parametrize("how", ["exit", "kill", "oom", "force", "paused"])
def test_nothing_stays(runtime, bundle, how):
    b = bundle("head -c 200000000 /dev/zero | tail -c 199999999 | wc -c" if how == "oom" else "sleep 1000" if how != "exit" else "sleep 0")
    b.linux["resources"] |= {"memory": {"limit": 32 << 20, "swap": 32 << 20}, "pids": {"limit": 50}}
    name, scope = created(runtime, b)
    pid = runtime.pid(name)
    runtime("start", name)
    if how == "kill":
        os.kill(pid, signal.SIGKILL)
    elif how == "paused":
        runtime("pause", name)
    if how not in ("force", "paused"):
        runtime.wait(name, "stopped")
        runtime("delete", name)
    else:
        runtime("delete", "--force", name)
    gone(scope)


@pytest.mark.pyrunc_only("what is tried here goes by pyrunc's own steps")
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_nothing_stays_when_the_runtime_is_killed(runtime, bundle, part):
    """At some moment after systemd was asked for the scope."""
    b = bundle()
    name, scope = scoped(runtime, b)
    victim = Victim(runtime)
    words = ("--log", str(log_path(runtime)), "--systemd-cgroup", "create", "--bundle", str(b.path), name)
    calls = victim.calls(*words, after="StartTransientUnit")
    runtime("delete", "--force", name)
    victim.kill_at(calls[int(part * len(calls))], *words)
    runtime("delete", "--force", name)
    gone(scope)


# The user's own systemd


@pytest.fixture
def tmp_path():
    with public_directory() as path:
        yield path


@pytest.fixture
def lingering(ordinary):
    """Let the user have a systemd and a bus of its own, and the runtime find it."""
    try:
        pwd.getpwuid(UID)
    except KeyError:
        pytest.skip(f"there is no user {UID}")
    unit, bus = f"user@{UID}.service", Path(f"/run/user/{UID}/bus")
    done = subprocess.run(["systemctl", "start", unit], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no {unit} here: {done.stderr}")
    wait_for(bus.exists, "the user's bus")
    ordinary.run_directory = bus.parent
    ordinary.become()
    yield ordinary
    ordinary.runtime.close()
    subprocess.run(["systemctl", "stop", unit, f"user-runtime-dir@{UID}.service"], check=True)


def users(scope, *properties):
    """Return what the user's own systemd says of SCOPE."""
    words = [f"--property={name}" for name in properties]
    environment = ["env", f"XDG_RUNTIME_DIR=/run/user/{UID}", "systemctl", "--user", "show", scope, *words]
    setpriv = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    text = subprocess.run([*setpriv, *environment], check=True, capture_output=True, text=True).stdout
    return dict(line.partition("=")[::2] for line in text.splitlines())


@pytest.mark.v2
def test_the_users_own_systemd(lingering, bundle, runtime):
    b = lingering.bundle(bundle("sleep", "1000"))
    b.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"user.slice:pyrunctest:{name}"
    scope = f"pyrunctest-{name}.scope"
    b.save()
    log = lingering.directory / "log"
    words = ("--log", str(log), "--systemd-cgroup", "create", "--bundle", str(b.path), name)
    assert runtime(*words, check=False, stdout=-3, stderr=-3).returncode == 0, log.read_text()
    directory = cgroup_of(runtime.pid(name), "")
    assert str(directory).endswith(f"/user@{UID}.service/user.slice/{scope}")
    assert users(scope, "ActiveState", "MemoryMax", "TasksMax") == {"ActiveState": "active", "MemoryMax": str(64 << 20), "TasksMax": "77"}
    assert (directory / "memory.max").read_text() == f"{64 << 20}\n"
    runtime("start", name)
    runtime("update", "--pids-limit", "55", name)
    assert users(scope, "TasksMax") == {"TasksMax": "55"}
    assert (directory / "pids.max").read_text() == "55\n"
    assert runtime.exec(name, "echo", "ran").stdout == "ran\n"
    runtime("pause", name)
    assert runtime.status(name) == "paused"
    runtime("resume", name)
    runtime("delete", "--force", name)
    wait_for(lambda: users(scope, "LoadState") == {"LoadState": "not-found"}, "systemd to forget it")
    assert not directory.exists()


@pytest.mark.v1
def test_the_users_own_systemd_needs_version_2(lingering, bundle, runtime):
    said = lingering.without_cgroups(lingering.bundle(bundle("true")), "--systemd-cgroup")
    assert "rootless" in said
    assert "cgroup v1" in said


@pytest.mark.v2
@pytest.mark.pyrunc_only("its words differ")
def test_without_a_users_bus_it_is_refused(ordinary, bundle):
    said = ordinary.without_cgroups(ordinary.bundle(bundle("true")), "--systemd-cgroup")
    assert "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR leads to the user's bus" in said


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


# Units that are another's


def test_a_scope_that_has_failed_is_forgotten(runtime, bundle):
    """It is left behind by a container that systemd has ended, with nothing in it."""
    b = bundle()
    name, scope = scoped(runtime, b)
    words = ["systemd-run", "--scope", f"--unit={scope}", "--property=RuntimeMaxSec=1", "--property=TimeoutStopSec=1", "sleep", "1000"]
    subprocess.run(words, check=False, capture_output=True)
    wait_for(lambda: shown(scope, "ActiveState")["ActiveState"] == "failed", lambda: shown(scope, "ActiveState"), what="it to fail")
    runtime("--systemd-cgroup", "create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    assert shown(scope, "ActiveState")["ActiveState"] == "active"
    assert runtime.status(name) == "created"


@pytest.mark.parametrize("args", [("sleep", "1000"), ("no-such-program",)])
def test_a_unit_that_is_anothers_is_not_stopped(runtime, bundle, args):
    b = bundle(*args)
    name, scope = scoped(runtime, b)
    other = subprocess.Popen(["systemd-run", "--scope", f"--unit={scope}", "sleep", "1000"], stdin=-3, stdout=-3, stderr=-3)
    wait_for(lambda: shown(scope, "ActiveState")["ActiveState"] == "active", "the other's scope")
    try:
        runtime.refuses("--systemd-cgroup", "create", "--bundle", str(b.path), name)
        runtime("delete", "--force", name, check=False)
        assert shown(scope, "ActiveState")["ActiveState"] == "active"
        assert other.poll() is None
    finally:
        subprocess.run(["systemctl", "stop", scope], check=False)
        other.wait(60)


@pytest.fixture
def sliced(runtime, bundle):
    """Return how a bundle of some arguments, and an id, have a slice of their own; it is stopped in the end."""
    made = []

    def make(*args):
        b = bundle(*args)
        name = runtime.prepare(b)
        made.append(f"pyrunctest{os.getpid()}.slice")
        b.linux["cgroupsPath"] = f":pyrunctest:{made[-1]}"
        b.linux["resources"] |= {"pids": {"limit": 77}}
        b.save()
        return b, name, made[-1]

    yield make
    runtime.close()
    for each in made:
        subprocess.run(["systemctl", "stop", each], check=False)


def test_a_slice_of_its_own(runtime, sliced):
    b, name, unit = sliced()
    runtime("--systemd-cgroup", "create", "--bundle", str(b.path), name, stdout=-3, stderr=-3)
    assert shown(unit, "ActiveState", "TasksMax") == {"ActiveState": "active", "TasksMax": "77"}
    runtime("delete", "--force", name)
    assert shown(unit, "ActiveState", "FragmentPath") == {"ActiveState": "inactive", "FragmentPath": ""}
    assert not cgroup_directories(unit)


@pytest.mark.pyrunc_only("it takes it over, and stops it in the end")
@pytest.mark.parametrize("args", [("sleep", "1000"), ("no-such-program",)])
def test_an_active_slice_is_anothers(runtime, sliced, args):
    """Without a unit file, it counts as new to systemd, which would give it the container's limits."""
    b, name, unit = sliced(*args)
    subprocess.run(["systemctl", "start", unit], check=True)
    words = ("ActiveState", "InvocationID", "TasksMax", "Description", "FragmentPath")
    before = shown(unit, *words)
    said = runtime.refuses("--systemd-cgroup", "create", "--bundle", str(b.path), name)
    assert f"systemd has {unit} already, and it is active" in said, said
    assert "/linux/cgroupsPath" in said, said
    runtime("delete", "--force", name)
    assert shown(unit, *words) == before
    assert not (runtime.root / name).exists()


def annotated(b, **more):
    b.config["annotations"] = {f"run.oci.{name}": text for name, text in more.items()}
    return b


def below(path, top):
    return str(path)[len(str(top)) :] if str(path).startswith(str(top)) else str(path)


@pytest.mark.v2
@pytest.mark.pyrunc_only("runc has no such annotations, and crun's default is another")
@pytest.mark.parametrize("second", [False, True])
def test_cgroups_below_the_scope(runtime, bundle, second):
    """run.oci.systemd.subgroup, and run.oci.delegate-cgroup below it, which is the container's to manage."""
    b = annotated(bundle(), **{"systemd.subgroup": "container", **({"delegate-cgroup": "payload"} if second else {})})
    b.linux["resources"] |= {"pids": {"limit": 77}}
    b.namespace("cgroup")
    b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "rw")
    name, scope = created(runtime, b)
    top = Path(f"/sys/fs/cgroup/system.slice/{scope}")
    place = "/container/payload" if second else "/container"
    assert below(cgroup_of(runtime.pid(name), "pids"), top) == place
    assert (top / "pids.max").read_text() == "77\n"
    runtime("start", name)
    own = runtime.exec(name, "cat", "/proc/self/cgroup").stdout
    assert own == ("0::/payload\n" if second else "0::/\n")  # the namespace begins at the first
    controllers = runtime.exec(name, "cat", f"/sys/fs/cgroup{'/payload' if second else ''}/cgroup.controllers").stdout.split()
    assert {"memory", "pids"} <= set(controllers)
    assert set((top / "cgroup.controllers").read_text().split()) == set(controllers)
    runtime("update", "--pids-limit", "66", name)
    assert (top / "pids.max").read_text() == "66\n"
    runtime("pause", name)
    assert runtime.status(name) == "paused"
    runtime("resume", name)
    assert str(runtime.pid(name)) in runtime("ps", "--format", "json", name).stdout
    runtime("delete", "--force", name)
    assert shown(scope, "LoadState") == {"LoadState": "not-found"}
    assert not top.exists()


@pytest.mark.v2
@pytest.mark.pyrunc_only("runc has no such annotation")
def test_a_user_owns_what_is_given_to_it(runtime, bundle):
    b = annotated(bundle("sh", "-c", "mkdir /sys/fs/cgroup/payload/made && echo yes; mkdir /sys/fs/cgroup/other; true"))
    b.config["annotations"] = {"run.oci.systemd.subgroup": "container", "run.oci.delegate-cgroup": "payload"}
    b.process["user"] = {"uid": 1000, "gid": 1000}
    b.namespace("cgroup")
    b.mount("/sys/fs/cgroup", "cgroup", "cgroup", "rw")
    name, _ = scoped(runtime, b)
    done = runtime("--systemd-cgroup", "run", "--bundle", str(b.path), name)
    assert done.stdout == "yes\n"
    assert "other" in done.stderr


@pytest.mark.v2
@pytest.mark.pyrunc_only("runc has no such annotation")
def test_a_create_that_fails_leaves_none_of_them(runtime, bundle):
    b = annotated(bundle("/no/such/program"), **{"systemd.subgroup": "container"})
    name, scope = scoped(runtime, b)
    runtime.refuses("--systemd-cgroup", "create", "--bundle", str(b.path), name)
    assert shown(scope, "LoadState") == {"LoadState": "not-found"}
    assert not list(Path("/sys/fs/cgroup").rglob(scope))
