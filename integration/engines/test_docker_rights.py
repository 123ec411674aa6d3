"""Docker: users, capabilities and filters."""

from __future__ import annotations

import json
import os

import pytest

from integration.engines.conftest import need
from integration.engines.docker import CLIENT, DEFAULT_CAPABILITIES
from integration.looking import fields, status_outside

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ()
SYS_ADMIN = 1 << 21
YOUNGEST = (1 << 38) - 1  # all up to CAP_AUDIT_READ


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--user=app", "1000 1000 1000 2000"),
        ("--user=1234", "1234 0 0"),
        ("--user=1234:2345", "1234 2345 2345"),
        ("--user=app:extra", "1000 2000 2000"),
        ("--user=app --group-add=extra --group-add=3000", "1000 1000 1000 2000 3000"),
    ],
)
def test_users_and_groups(docker, options, shown):
    assert " ".join(docker.inside("id -u; id -g; id -G", *options.split()).split()) == shown


def capabilities(docker, *options):
    """The sets of capabilities in a container with OPTIONS, but for the inheritable and the ambient one, as numbers."""
    found = fields(docker.inside("cat /proc/self/status", *options))
    return tuple(int(found[name], 16) for name in ("CapPrm", "CapEff", "CapBnd"))


NET_ADMIN = 1 << 12


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", DEFAULT_CAPABILITIES),
        ("--cap-drop=ALL", 0),
        ("--cap-drop=CHOWN", DEFAULT_CAPABILITIES & ~1),
        ("--cap-add=NET_ADMIN", DEFAULT_CAPABILITIES | NET_ADMIN),
        ("--cap-drop=ALL --cap-add=NET_ADMIN", NET_ADMIN),
    ],
)
def test_capabilities(docker, options, expected):
    assert capabilities(docker, *options.split()) == (expected,) * 3


@pytest.fixture
def every():
    """The capabilities of this machine's root, without those that are younger than Docker 20.10."""
    return int(status_outside(os.getpid())["CapBnd"], 16) & YOUNGEST


@pytest.fixture
def privileges(docker, every):
    """Skip where capabilities are missing that the runtime cannot do without."""
    if every != YOUNGEST and docker.name == "my-runc":
        pytest.skip("runc 1.1 insists on capabilities that this machine's root lacks")


@pytest.mark.parametrize("options", ["--cap-add=ALL", "--privileged"])
@pytest.mark.usefixtures("privileges")
def test_all_capabilities(docker, every, options):
    found = capabilities(docker, options)
    assert {each & YOUNGEST for each in found} == {every}, found


def test_a_user_without_capabilities(docker):
    assert capabilities(docker, "--user=app") == (0, 0, DEFAULT_CAPABILITIES)


@pytest.mark.usefixtures("privileges")
def test_exec_privileged(docker, sleeper):
    command = "grep CapEff /proc/self/status"
    usual, privileged = (int(docker.exec(sleeper, command, *more).split()[1], 16) for more in ((), ("--privileged",)))
    assert usual == DEFAULT_CAPABILITIES
    assert privileged & SYS_ADMIN, hex(privileged)


@pytest.mark.usefixtures("privileges")
def test_privileged(docker):
    """Sees the host's devices, may write to /sys, and is under no filter."""
    command = "grep Seccomp: /proc/self/status; test -c /dev/kmsg && echo kmsg; grep ' /sys ' /proc/mounts | grep -c rw,"
    assert docker.inside(command, "--privileged").split() == ["Seccomp:", "0", "kmsg", "1"]


def test_what_is_hidden_from_the_unprivileged(docker):
    command = "wc -c </proc/timer_list; ls /sys/firmware; echo x >/proc/sys/kernel/msgmax; mount -t tmpfs none /tmp"
    done = docker.run(command, check=False)
    assert done.stdout == "0\n"
    assert "/proc/sys/kernel/msgmax: Read-only file system" in done.stderr
    assert "mount: permission denied" in done.stderr


@pytest.mark.parametrize(("options", "value"), [((), "0"), (("--security-opt=no-new-privileges",), "1")])
def test_no_new_privileges(docker, options, value):
    assert docker.inside("grep NoNewPrivs /proc/self/status", *options).split()[1] == value


def test_the_default_seccomp_profile(docker):
    done = docker.run("grep Seccomp: /proc/self/status; unshare -r true", "--cap-add=SYS_PTRACE", check=False)
    assert done.stdout.split() == ["Seccomp:", "2"]
    assert "Operation not permitted" in done.stderr


def test_seccomp_unconfined(docker):
    assert docker.inside("grep Seccomp: /proc/self/status", "--security-opt=seccomp=unconfined").split()[1] == "0"


def test_a_seccomp_profile_of_ones_own(docker, tmp_path):
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = docker.run("mkdir /new || touch /file", f"--security-opt=seccomp={profile}")
    assert "No space left on device" in done.stderr
