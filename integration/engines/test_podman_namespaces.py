"""Podman: what containers share with each other and with the host, with the runtime under test."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.engines.conftest import need
from integration.engines.image import NAME
from integration.engines.podman import effective
from integration.harness.runtime import wait_for
from integration.looking import cgroup_of, namespace, status_outside

need("podman", "conmon")
pytestmark = pytest.mark.slow_vm


# Namespaces


@pytest.mark.parametrize(
    ("option", "kind"), [("pid", "pid"), ("ipc", "ipc"), ("network", "network"), ("uts", "uts"), ("cgroupns", "cgroup")]
)
def test_a_namespace_of_another_container(podman, option, kind):
    shareable = ["--ipc=shareable"] if option == "ipc" else []
    first = podman.start(*shareable)
    second = podman.start(f"--{option}=container:{first}")
    assert namespace(podman.pid(first), kind) == namespace(podman.pid(second), kind)
    assert namespace(podman.pid(first), "mount") != namespace(podman.pid(second), "mount")
    if option == "pid":
        assert len(podman.exec(second, "pidof sleep").split()) == 2


@pytest.mark.parametrize(("option", "kind"), [("pid", "pid"), ("ipc", "ipc"), ("network", "network"), ("uts", "uts")])
def test_a_namespace_of_the_host(podman, option, kind):
    name = podman.start(f"--{option}=host")
    assert namespace(podman.pid(name), kind) == namespace(podman.place.holder.pid, kind)


def test_kill_with_the_pids_of_the_host(podman):
    """Without a pid namespace that ends with its first process, all of the container's have to end."""
    name = podman.start("--pid=host", command="sleep 777 & sleep 777 & exec sleep 777")
    first = podman.pid(name)
    group = cgroup_of(first, "pids")
    wait_for(lambda: len((group / "cgroup.procs").read_text().split()) == 3, "three processes")
    pids = [int(word) for word in (group / "cgroup.procs").read_text().split()]
    podman("rm", "--force", "--time=0", name)
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "all of them to end")


def test_a_user_namespace(podman, tmp_path):
    name = podman.start("--uidmap=0:100000:5000", "--gidmap=0:200000:5000", "--volume", f"{tmp_path}:/v")
    tmp_path.chmod(0o777)
    assert podman.exec(name, "id -u; cat /proc/self/uid_map /proc/self/gid_map").split() == [
        "0",
        "0",
        "100000",
        "5000",
        "0",
        "200000",
        "5000",
    ]
    assert status_outside(podman.pid(name))["Uid"].split()[0] == "100000"
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o111)
    podman.exec(name, "touch /v/made")
    assert (tmp_path / "made").stat().st_uid == 100000
    assert podman.exec(name, "stat -c %u:%g /data/file") == "0:0"


def test_a_user_namespace_of_another_container(podman):
    first = podman.start("--uidmap=0:100000:5000")
    second = podman.start(f"--userns=container:{first}")
    assert namespace(podman.pid(first), "user") == namespace(podman.pid(second), "user")
    assert podman.exec(second, "id -u") == "0"


def test_a_user_namespace_that_podman_chooses(podman):
    for file in ("subuid", "subgid"):
        path = podman.directory / file
        path.write_text("containers:300000:200000\n")
        podman.place.run("sh", "-ec", 'touch "$1"; mount --bind "$0" "$1"', path, f"/etc/{file}")
    first, second = podman.start("--userns=auto:size=2000"), podman.start("--userns=auto:size=2000")
    maps = [podman.exec(name, "cat /proc/self/uid_map").split() for name in (first, second)]
    assert [int(each[1]) >= 300000 and each[2] == "2000" for each in maps] == [True, True]
    assert maps[0][1] != maps[1][1]
    podman.remove_used()
    for file in ("subuid", "subgid"):
        podman.place.run("umount", f"/etc/{file}")


@pytest.mark.pyrunc_only("1.1 knows no idmapped mounts")
def test_a_volume_with_mapped_ids(podman, tmp_path):
    (tmp_path / "file").touch()
    name = podman.start("--uidmap=0:100000:5000", "--gidmap=0:100000:5000", "--volume", f"{tmp_path}:/v:idmap")
    assert podman.exec(name, "stat -c %u:%g /v/file") == "0:0"
    podman.exec(name, "touch /v/made")
    assert (tmp_path / "made").stat().st_uid == 0


# Pods and networks


def test_a_pod(podman):
    pod = podman.new_name()
    podman("pod", "create", "--name", pod, "--hostname=the-pod", "--network=none")
    server = podman.start(f"--pod={pod}", command="while :; do echo served | nc -l -p 8080; done")
    client = podman.start(f"--pod={pod}")
    for kind in ("network", "ipc", "uts"):
        assert namespace(podman.pid(server), kind) == namespace(podman.pid(client), kind)
    assert namespace(podman.pid(server), "pid") != namespace(podman.pid(client), "pid")
    assert podman.exec(client, "hostname") == "the-pod"
    # Podman 4.3 denies all devices to a pod on version 2, /dev/null as well.
    wait_for(lambda: podman.exec(client, ": | nc -w 2 127.0.0.1 8080 || true") == "served", "an answer in the pod")
    podman("pod", "stop", "--time=0", pod)
    assert podman.inspect(client, ".State.Status") == "exited"
    podman("pod", "start", pod)
    assert podman.exec(client, "hostname") == "the-pod"
    podman("pod", "pause", pod)
    assert podman.inspect(server, ".State.Status") == "paused"
    podman("pod", "unpause", pod)
    podman("pod", "rm", "--force", "--time=0", pod)
    assert podman("container", "exists", client, check=False).returncode == 1


def test_a_pod_that_shares_its_processes(podman):
    pod = podman.new_name()
    podman("pod", "create", "--name", pod, "--share=pid,net", "--network=none")
    first, second = podman.start(f"--pod={pod}"), podman.start(f"--pod={pod}")

    def sleeping():
        return podman.exec(second, "pidof sleep").split()

    wait_for(lambda: len(sleeping()) == 3, sleeping, what="all to sleep")  # the infra container's is the first
    podman("rm", "--force", "--time=0", first)
    wait_for(lambda: len(sleeping()) == 2, sleeping, what="one to have ended")
    podman("pod", "rm", "--force", "--time=0", pod)


def test_two_containers_on_a_bridge(podman):
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    server = podman.start(
        "--network=bridge", "--publish=127.0.0.1:18080:80", command="while :; do echo served | nc -l -p 80; done"
    )
    found = podman.output("inspect", "--format", address, server)
    assert podman.inside(f"ip -o addr show eth0; nc -w 5 {found} 80 </dev/null", "--network=bridge").splitlines()[-1] == "served"


def test_no_network(podman):
    assert podman.inside("ls /sys/class/net") == "lo"


# Pods as Kubernetes writes them

KUBE = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: [sh, -c, "echo $GREETING; exec sleep 1000000"]
    env:
    - name: GREETING
      value: hello
    resources:
      limits: {{memory: 64Mi, cpu: 500m}}
    securityContext:
      runAsUser: 1000
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
"""


def test_play_and_generate_kube(podman, tmp_path):
    pod = podman.new_name()
    (tmp_path / "pod.yaml").write_text(KUBE.format(name=pod, image=NAME))
    podman("kube", "play", "--network=none", tmp_path / "pod.yaml")
    main = f"{pod}-main"
    podman.logged(main, "hello")
    assert podman.exec(main, "id -u") == "1000"
    assert effective(podman.exec(main, "cat /proc/1/status")) == 0
    assert podman.limit(main, "memory/memory.limit_in_bytes", "memory.max") == str(64 << 20)
    generated = podman.output("kube", "generate", pod)
    assert "kind: Pod" in generated
    assert NAME in generated
    podman("kube", "down", tmp_path / "pod.yaml")
    assert podman("pod", "exists", pod, check=False).returncode == 1
