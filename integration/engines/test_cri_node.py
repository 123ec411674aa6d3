"""What a kubelet does on a node beside starting and stopping: files it gives, cgroups it made, restarts, probes, statistics."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.containerd import NEEDED, SYSTEMD
from integration.harness import keeper
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, has_controller, status_outside, unified

pytest.importorskip("grpc", reason="not installed: grpcio")
need(*NEEDED)

import grpc  # noqa: E402 - only where it is

from integration.engines import cri as interface  # noqa: E402
from integration.engines.cri import refused  # noqa: E402

QUICK = ("test_statistics_of_a_pod",)  # what the virtual machine runs without being asked
POLITE = "docker.io/library/pyrunc-test-polite:latest"
HUGE = "2MB"


def lines(pods, container):
    """Return what a container wrote, without the names of the streams."""
    return [text for _, text in pods.log(container)]


def is_device(path):
    """Tell whether PATH is a node of a device."""
    mode = path.lstat().st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


# Files and directories that a kubelet gives to every container


def test_the_files_of_a_kubelet(pods, pod, tmp_path):
    """Names, a message at the end, and a token that no one may change; each is a mount over or beside what the runtime makes."""
    (tmp_path / "hosts").write_text("192.0.2.1 given\n")
    (tmp_path / "message").touch()
    (tmp_path / "token").mkdir()
    (tmp_path / "token/token").write_text("secret\n")
    mounts = [
        {"container_path": "/etc/hosts", "host_path": str(tmp_path / "hosts")},
        {"container_path": "/dev/termination-log", "host_path": str(tmp_path / "message")},
        {"container_path": "/var/run/secrets/kubernetes.io/serviceaccount", "host_path": str(tmp_path / "token"), "readonly": True},
    ]
    line = "cat /etc/hosts /var/run/secrets/kubernetes.io/serviceaccount/token; echo why >/dev/termination-log; exit 3"
    container = pods.start(pod, line, mounts=mounts)
    assert pods.ended(container).exit_code == 3
    assert lines(pods, container) == ["192.0.2.1 given", "secret"]
    assert (tmp_path / "message").read_text() == "why\n"
    line = "touch /var/run/secrets/kubernetes.io/serviceaccount/more"
    assert b"Read-only file system" in pods.exec(pods.start(pod, mounts=mounts), line).stderr


def test_a_volume_below_a_volume(pods, pod, tmp_path):
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    mounts = [  # in the order of a specification, which need not be that of the paths
        {"container_path": "/top/inner", "host_path": str(tmp_path / "inner")},
        {"container_path": "/top", "host_path": str(tmp_path / "outer")},
    ]
    pods.ran(pod, "echo 1 >/top/one; echo 2 >/top/inner/two", mounts=mounts)
    assert (tmp_path / "outer/one").read_text() == "1\n"
    assert (tmp_path / "inner/two").read_text() == "2\n"


def test_init_containers_prepare_a_volume(pods, pod, tmp_path):
    mounts = [{"container_path": "/work", "host_path": str(tmp_path / "work")}]
    (tmp_path / "work").mkdir()
    for word in ("first", "second"):
        pods.ran(pod, f"echo {word} >>/work/steps", mounts=mounts)
    assert pods.ran(pod, "cat /work/steps", mounts=mounts) == "first\nsecond\n"


def test_containers_share_memory_of_the_pod(pods, pod):
    first, second = pods.start(pod), pods.start(pod)
    pods.says(first, "echo shared >/dev/shm/file")
    assert pods.says(second, "cat /dev/shm/file") == "shared\n"
    assert pods.ran(pods.pod(), "ls /dev/shm | wc -l") == "0\n"


def test_a_working_directory_that_is_not_in_the_image(pods, pod):
    assert pods.ran(pod, ["pwd"], working_dir="/new/directory") == "/new/directory\n"


# Who the pod itself is


def test_the_holder_of_a_pod_is_confined_as_asked(pods):
    security = {
        "run_as_user": {"value": 65535},
        "readonly_rootfs": True,
        "seccomp": {"profile_type": interface.RUNTIME_DEFAULT},
    }
    status = status_outside(pods.pause(pods.pod(security=security)))
    assert (status["Uid"].split(), status["Seccomp"], status["NoNewPrivs"]) == (["65535"] * 4, "2", "1")


def test_a_privileged_container_has_the_devices_of_the_node(pods):
    pod = pods.pod(security={"privileged": True})
    container = pods.start(pod, security={"privileged": True})
    nodes = {path.name for path in Path("/dev").iterdir() if is_device(path)}
    assert nodes - {"console"} <= set(pods.says(container, ["ls", "/dev"]).split())
    opened = pods.says(container, "mknod /tmp/fuse c 10 229 && exec 3<>/tmp/fuse && echo opened")
    assert opened == "opened\n"
    plain = pods.start(pods.pod())
    assert b"Operation not permitted" in pods.exec(plain, "mknod /tmp/fuse c 10 229; exec 3<>/tmp/fuse").stderr


@pytest.mark.skipif(Path("/sys/kernel/security/apparmor").exists(), reason="this machine has AppArmor")
def test_a_profile_of_apparmor_is_refused_without_it(pods, pod):
    profile = {"profile_type": interface.LOCALHOST, "localhost_ref": "mine"}
    assert "apparmor is not supported" in refused(pods.create, pod, security={"apparmor": profile}).lower()


def test_a_profile_of_seccomp_that_is_not_there(pods, pod, tmp_path):
    profile = {"profile_type": interface.LOCALHOST, "localhost_ref": str(tmp_path / "missing.json")}
    assert "missing.json" in refused(pods.create, pod, security={"seccomp": profile})


# Ends and beginnings


def test_a_container_that_crashes_is_made_anew(pods, pod, cri):
    for attempt in range(3):
        container = pods.create(pod, f"echo {attempt}; exit {attempt + 1}", metadata={"name": "crashes", "attempt": attempt})
        cri("StartContainer", container_id=container)
        assert pods.ended(container).exit_code == attempt + 1
        assert lines(pods, container) == [str(attempt)]
        cri("RemoveContainer", container_id=container)
    assert cri("PodSandboxStatus", pod_sandbox_id=pod).status.state == interface.READY


def test_the_signal_that_the_image_names_stops_it(containerd, pods, pod, cri, tmp_path):
    containerd.load(images.archive(tmp_path / "image.tar", POLITE, StopSignal="SIGUSR1"))
    line = "trap 'exit 5' TERM; trap 'exit 4' USR1; echo ready; while :; do sleep 0.1; done"
    container = pods.start(pod, line, image={"image": POLITE})
    wait_for(lambda: lines(pods, container) == ["ready"], "the traps")
    cri("StopContainer", container_id=container, timeout=20)
    assert pods.status(container).exit_code == 4


def test_a_stop_of_what_has_never_started(pods, pod, cri):
    container = pods.create(pod)
    cri("StopContainer", container_id=container, timeout=1)
    cri("RemoveContainer", container_id=container)
    assert "not found" in refused(pods.status, container)


def test_a_stop_takes_all_processes(pods, pod, cri):
    """Also those of a container that shares its pids with the pod: they would stay if only the first were killed."""
    container = pods.start(pod, "sleep 1010 & sleep 1010 & echo ready; exec sleep 1010")
    wait_for(lambda: lines(pods, container) == ["ready"], "the children")
    inside = set((cgroup_of(pods.pid(container), "memory") / "cgroup.procs").read_text().split())
    assert len(inside) == 3
    cri("StopContainer", container_id=container, timeout=0)
    wait_for(lambda: not any(keeper.running(int(pid)) for pid in inside), "all to end")


def test_probes_at_once(pods, pod):
    container = pods.start(pod)
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda number: pods.exec(container, f"echo {number}; exit {number}", timeout=60), range(24)))
    assert [(each.stdout, each.exit_code) for each in done] == [(f"{number}\n".encode(), number) for number in range(24)]


def test_containers_outlive_a_restart_of_the_daemon(pods, pod, cri, containerd):
    container = pods.start(pod, "trap 'exit 6' TERM; while :; do echo tick; sleep 0.1; done")
    first = pods.pid(container)
    containerd.restart()

    def known():
        try:
            return pods.status(container).state == interface.RUNNING
        except grpc.RpcError:  # it answers before it has looked what there is
            return False

    wait_for(known, "containerd to know the container")
    assert pods.pid(container) == first
    assert pods.says(container, ["echo", "alive"]) == "alive\n"
    before = len(lines(pods, container))
    wait_for(lambda: len(lines(pods, container)) > before, "more lines in the log")
    cri("StopContainer", container_id=container, timeout=20)
    assert pods.status(container).exit_code == 6


# Cgroups


@pytest.fixture
def prepared(pods):
    """Return the parent that a kubelet makes for a pod, with a limit for all of it: its name, and its directory with the memory."""
    if SYSTEMD:
        pytest.skip("a kubelet has systemd make it")
    top = Path("/sys/fs/cgroup") if unified() else Path("/sys/fs/cgroup/memory")
    made = top / pods.cgroup.strip("/")
    made.mkdir()
    if unified():
        (made / "cgroup.subtree_control").write_text("+memory +cpu +pids")
    below = made / "pod"
    below.mkdir()
    (below / ("memory.max" if unified() else "memory.limit_in_bytes")).write_text(str(96 << 20))
    yield f"{pods.cgroup}/pod", below
    pods.end()
    for directory in (below, made):
        directory.rmdir()


def test_the_cgroup_that_a_kubelet_made_stays(pods, cri, prepared):
    """Also while nothing runs in it, as between two attempts."""
    name, directory = prepared
    pod = pods.pod(linux={"cgroup_parent": name})
    container = pods.start(pod)
    assert cgroup_of(pods.pid(container), "memory").parent == directory
    cri("StopPodSandbox", pod_sandbox_id=pod)
    assert directory.is_dir()
    pods.end()
    assert directory.is_dir()
    limit = directory / ("memory.max" if unified() else "memory.limit_in_bytes")
    assert limit.read_text() == f"{96 << 20}\n"
    assert [path.name for path in directory.iterdir() if path.is_dir()] == []


@pytest.mark.v2
def test_values_of_the_unified_hierarchy(pods, pod):
    unified_values = {"memory.high": str(48 << 20), "pids.max": "99"}
    directory = cgroup_of(pods.pid(pods.start(pod, resources={"unified": unified_values})), "memory")
    assert {name: (directory / name).read_text().strip() for name in unified_values} == unified_values


def test_limit_of_swap(pods, pod):
    limits = {"memory_limit_in_bytes": 64 << 20, "memory_swap_limit_in_bytes": 96 << 20}
    directory = cgroup_of(pods.pid(pods.start(pod, resources=limits)), "memory")
    name, expected = ("memory.swap.max", 32 << 20) if unified() else ("memory.memsw.limit_in_bytes", 96 << 20)
    if not (directory / name).exists():
        pytest.skip("this kernel does not account for swap")
    assert (directory / name).read_text() == f"{expected}\n"


def test_limit_of_huge_pages(pods, pod):
    if not has_controller("hugetlb") and Path("/sys/fs/cgroup/hugetlb").is_dir():
        pytest.skip("/sys/fs/cgroup/hugetlb is a plain directory, which containerd takes for a hierarchy")
    container = pods.start(pod, resources={"hugepage_limits": [{"page_size": HUGE, "limit": 4 << 20}]})
    name = f"hugetlb.{HUGE}.max" if unified() else f"hugetlb.{HUGE}.limit_in_bytes"
    if not has_controller("hugetlb"):
        pytest.skip("this machine has no controller of huge pages")
    directory = cgroup_of(pods.pid(container), "hugetlb")
    if not (directory / name).exists():
        pytest.skip("this kernel has no limit of huge pages")
    assert (directory / name).read_text() == f"{4 << 20}\n"


# Statistics


@pytest.fixture
def busy(pods):
    """Return a pod with two containers: one process works in the first, two sleep in the second."""
    pod = pods.pod(labels={"tier": "a"})
    first = pods.start(pod, "while :; do :; done", labels={"kind": "works"})
    return pod, first, pods.start(pod, "sleep 1000 & wait", labels={"kind": "sleeps"})


def test_list_of_statistics(pods, cri, busy):
    pod, first, second = busy
    third = pods.start(pods.pod())

    def stats(**chosen):
        return {each.attributes.id: each for each in cri("ListContainerStats", filter=chosen).stats}

    wait_for(lambda: stats()[first].cpu.usage_core_nano_seconds.value > 50_000_000, stats, what="time to be used")
    found = stats()
    assert set(found) == {first, second, third}
    assert all(each.memory.working_set_bytes.value > 0 and each.cpu.timestamp > 0 for each in found.values())
    assert found[second].cpu.usage_core_nano_seconds.value < found[first].cpu.usage_core_nano_seconds.value
    assert set(stats(pod_sandbox_id=pod)) == {first, second}
    assert set(stats(id=third)) == {third}
    assert set(stats(label_selector={"kind": "sleeps"})) == {second}


def test_statistics_are_those_of_the_cgroup(pods, pod, cri):
    container = pods.start(pod, "head -c 20000000 /dev/zero >/dev/shm/fill; echo ready; exec sleep 1000")
    wait_for(lambda: lines(pods, container) == ["ready"], "the memory to be used")
    file = cgroup_of(pods.pid(container), "memory") / ("memory.current" if unified() else "memory.usage_in_bytes")
    stats = cri("ContainerStats", container_id=container).stats
    assert stats.memory.working_set_bytes.value > 20_000_000
    assert abs(stats.memory.working_set_bytes.value - int(file.read_text())) < 4 << 20


def test_statistics_of_a_pod(pods, cri, busy):
    pod, first, second = busy

    def stats():
        return cri("PodSandboxStats", pod_sandbox_id=pod).stats

    wait_for(lambda: stats().linux.cpu.usage_core_nano_seconds.value > 50_000_000, stats, what="time to be used")
    found = stats()
    assert (found.attributes.id, dict(found.attributes.labels)) == (pod, {"tier": "a"})
    assert {each.attributes.id for each in found.linux.containers} == {first, second}
    assert found.linux.memory.working_set_bytes.value > 0
    assert found.linux.process.process_count.value == 3  # without the one that holds the namespaces
    assert found.linux.network.default_interface.name == "eth0"
    others = pods.pod()
    assert {each.attributes.id for each in cri("ListPodSandboxStats").stats} == {pod, others}
    assert {each.attributes.id for each in cri("ListPodSandboxStats", filter={"label_selector": {"tier": "a"}}).stats} == {pod}


# All of it


def test_nothing_is_left_behind(containerd, cri):
    wait_for(lambda: not containerd.left(), containerd.left, what="nothing to be left")
    assert not cri("ListPodSandbox").items
