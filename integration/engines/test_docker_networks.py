"""Docker: names, networks, and namespaces that are shared."""

from __future__ import annotations

import json

import pytest

from integration.engines.conftest import need
from integration.engines.docker import CLIENT, FACTOR
from integration.harness.runtime import wait_for
from integration.looking import namespace

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ()


def test_hostname_and_domainname(docker):
    command = "hostname; cat /proc/sys/kernel/domainname /etc/hostname"
    assert docker.inside(command, "--hostname=box", "--domainname=example.org").split() == ["box", "example.org", "box"]


def test_name_servers_and_hosts(docker):
    options = ("--dns=192.0.2.1", "--dns-search=example.org", "--add-host=friend:192.0.2.2")
    found = docker.inside("cat /etc/resolv.conf /etc/hosts", *options)
    assert "nameserver 192.0.2.1" in found
    assert "search example.org" in found
    assert "192.0.2.2\tfriend" in found


def test_a_network_of_ones_own(docker):
    """The runtime calls a hook of Docker's, which tells dockerd the network namespace."""
    network = docker.new_name()
    docker("network", "create", "--subnet", "198.51.100.0/24", network)
    try:
        command = "echo hello | nc -l -p 80"
        server = docker.start_container("--network", network, "--ip=198.51.100.9", command=f"while :; do {command}; done")
        name = docker.start_container("--network", network)
        found = docker.exec(name, "ip -4 addr show eth0; until nc 198.51.100.9 80; do sleep 0.1; done </dev/null")
        assert "inet 198.51.100." in found
        assert found.endswith("hello")
        hook = json.loads((docker.bundle(name) / "config.json").read_text())["hooks"]["prestart"][0]
        assert "libnetwork-setkey" in hook["args"]
        docker("rm", "--force", server, name)
    finally:
        docker("network", "rm", network, check=False)


def test_a_published_port(docker, place):
    network = docker.new_name()
    docker("network", "create", network)
    try:
        command = "while :; do echo hello | nc -l -p 80; done"
        name = docker.start_container("--network", network, "--publish=127.0.0.1:8080:80", command=command)
        place.run("sh", "-c", f"timeout {30 * FACTOR} busybox sh -c 'until busybox nc 127.0.0.1 8080 </dev/null | grep hello; do sleep 0.1; done'")
        docker("rm", "--force", name)
    finally:
        docker("network", "rm", network, check=False)


@pytest.mark.parametrize("kind", ["pid", "ipc", "network"])
def test_sharing_a_namespace_with_a_container(docker, kind):
    first = docker.start_container(*(["--ipc=shareable"] if kind == "ipc" else []))
    second = docker.start_container(f"--{kind}=container:{first}")
    one, two = docker.pid(first), docker.pid(second)
    assert namespace(one, kind) == namespace(two, kind) != namespace("self", kind)
    others = {"pid", "ipc", "network", "mount", "uts"} - {kind}
    assert not [other for other in others if namespace(one, other) == namespace(two, other)]
    if kind == "pid":
        assert docker.exec(second, "ps -o args | grep -c '[s]leep 1000000'") == "2"


@pytest.mark.parametrize("kind", ["pid", "ipc", "network", "uts"])
def test_sharing_a_namespace_with_the_host(docker, place, kind):
    """With the daemon's, which has a network namespace of its own here."""
    name = docker.start_container(f"--{kind}=host")
    assert namespace(docker.pid(name), kind) == namespace(place.holder.pid, kind)


def test_an_init(docker):
    """docker-init is process 1, and reaps what falls to it."""
    name = docker.start_container("--init", command="(sleep 0.1 & exec true); exec sleep 1000000")
    assert docker.exec(name, "tr '\\0' ' ' </proc/1/cmdline").startswith("/sbin/docker-init ")
    wait_for(lambda: len(docker.output("top", name).splitlines()) == 3, lambda: docker.output("top", name), what="two processes")
    docker("stop", "--time", str(20 * FACTOR), name)
    assert docker.ended(name) == 143


def test_health(docker):
    options = ("--health-cmd=test -e /tmp/well", "--health-interval=200ms", "--health-retries=1", f"--health-timeout={10 * FACTOR}s")
    name = docker.start_container(*options)
    docker.wait_inspected(name, ".State.Health.Status", "unhealthy")
    docker.exec(name, "touch /tmp/well")
    docker.wait_inspected(name, ".State.Health.Status", "healthy")
