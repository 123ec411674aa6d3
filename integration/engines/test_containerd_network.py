"""`ctr run --cni`: ctr gives the container's network an interface while it is created, before it starts."""

from __future__ import annotations

import contextlib
import ipaddress
import re

import pytest

from integration.engines import network
from integration.engines.conftest import need
from integration.engines.containerd import NEEDED, Boxes, Containerd, command
from integration.engines.network import PLUGINS
from integration.harness import keeper
from integration.harness.runtime import WAIT, wait_for
from integration.looking import namespace

need(*NEEDED)
if not (PLUGINS / "ptp").exists():
    pytest.skip("not installed: containernetworking-plugins (script/test installs them)", allow_module_level=True)

QUICK = ("test_an_address_of_its_own",)  # what the virtual machine runs without being asked
SUBNET = ipaddress.ip_network(network.SUBNET)
SHOWN = "ip -4 addr show eth0; "
SERVES = SHOWN + "exec httpd -f -p 8080 -h /data"
INET = re.compile(r"inet ([0-9.]+)/")


@pytest.fixture(scope="module")
def leases(place):
    """Have the directories that ctr looks into in the place, and return the one with the addresses in use."""
    place.hide("/opt", "/etc/cni")
    place.run("sh", "-ec", f"mkdir -p /opt/cni /etc/cni/net.d; ln -s {PLUGINS} /opt/cni/bin")
    addresses = place.directory / "addresses"
    place.run("tee", "/etc/cni/net.d/10-pods.conflist", input=network.configuration(addresses))
    return addresses / "pods"


@pytest.fixture(scope="module")
def containerd(place, binary, image, leases):
    made = Containerd(place, binary)
    try:
        made.load(image)
        yield made
    finally:
        made.close()


@pytest.fixture
def box(containerd, tmp_path, leases):
    made = Boxes(containerd, tmp_path)
    yield made
    made.remove()
    assert not taken(leases)


def taken(leases):
    """Return the addresses that are in use."""
    return {path.name for path in leases.iterdir() if path.name[0].isdigit()} if leases.exists() else set()


@pytest.fixture
def serving(box):
    """Return a function that runs a server in the foreground, with a network, and returns its id, its address and ctr."""
    with contextlib.ExitStack() as stack:

        def start():
            name = box.new_id()
            argv = box.containerd.argv("run", "--rm", "--cni", *box.creation(name=name), *command(SERVES))
            run = stack.enter_context(box.containerd.place.popen(*argv))
            stack.callback(run.kill)
            shown = iter(run.stdout.readline, "")
            found = next(filter(None, map(INET.search, shown)))
            return name, found[1], run

        yield start


def fetch(place, address):
    """Return what the server at ADDRESS answers in the place; it may not be up yet."""

    def answer():
        try:
            with place.connect(address, 8080) as connection:
                connection.sendall(b"GET /file HTTP/1.0\r\n\r\n")
                return connection.makefile("rb").read()
        except ConnectionRefusedError:
            return b""

    wait_for(answer, "the server")
    return answer()


def test_an_address_of_its_own(box, place, leases, serving):
    name, address, run = serving()
    assert ipaddress.ip_address(address) in SUBNET
    assert taken(leases) == {address}
    assert namespace(box.pid(name), "network") != namespace(place.holder.pid, "network")
    assert fetch(place, address).endswith(b"\r\n\r\nfrom the image\n")
    assert address in place.run("ip", "route").stdout
    box.kill(name)
    assert run.wait(WAIT) == 137
    assert not taken(leases)
    assert address not in place.run("ip", "route").stdout
    assert "veth" not in place.run("ip", "link").stdout


def test_two_reach_each_other(box, place, leases, serving):
    name, address, run = serving()
    seen = box.says("--cni", do=f"{SHOWN} wget -qO- http://{address}:8080/file")
    own = INET.search(seen)[1]
    assert ipaddress.ip_address(own) in SUBNET
    assert own != address
    assert seen.endswith("from the image\n")
    assert taken(leases) == {address}
    box.kill(name)
    run.wait(WAIT)


def test_the_address_is_there_when_the_program_starts(box):
    for _ in range(3):
        assert INET.search(box.says("--cni", do=("ip", "-4", "addr", "show", "eth0")))


def test_a_network_that_cannot_be_made(box, place):
    """ctr leaves a container that is created and will never start: it has to be removable."""
    broken = network.configuration(place.directory / "addresses", "missing")
    file = "/etc/cni/net.d/00-broken.conflist"
    place.run("tee", file, input=broken)
    try:
        done = box.run("--cni", do="echo started", check=False)
    finally:
        place.run("rm", file)
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert "started" not in done.stdout
    ((name, (pid, status)),) = box.tasks().items()
    assert status == "CREATED"
    box.ctr("task", "rm", "--force", name)
    assert not keeper.running(pid)


def test_nothing_is_left_behind(containerd, leases):
    wait_for(lambda: not containerd.left(), containerd.left, what="nothing to be left")
    assert not taken(leases)
    assert containerd.used() >= {"create", "start", "kill", "delete"}
