"""Podman: what the options of `podman run` give to a container, with the runtime under test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.engines import image as images
from integration.engines.conftest import need
from integration.engines.image import NAME
from integration.engines.podman import DEFAULT_CAPABILITIES, bits, effective
from integration.harness.runtime import wait_for
from integration.looking import fields, mountinfo

need("podman", "conmon")
pytestmark = pytest.mark.slow_vm


# Volumes


def test_a_volume_to_write_to(podman, tmp_path):
    podman.run("echo from inside >/v/file", "--volume", f"{tmp_path}:/v")
    assert (tmp_path / "file").read_text() == "from inside\n"


@pytest.mark.parametrize("option", ["--volume={}:/v:ro", "--mount=type=bind,source={},destination=/v,ro"])
def test_a_volume_to_read_only(podman, tmp_path, option):
    (tmp_path / "file").write_text("x\n")
    done = podman.run("cat /v/file; echo y >/v/file", option.format(tmp_path), check=False)
    assert done.stdout == "x\n"
    assert "read-only file system" in done.stderr.lower()


def test_the_flags_of_a_volume(podman, tmp_path):
    table = mountinfo(podman.inside("cat /proc/self/mountinfo", "--volume", f"{tmp_path}:/v:nosuid,nodev,noexec"))
    assert {"nosuid", "nodev", "noexec", "rw"} <= table["/v"].options
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    assert podman.run("/v/program", "--volume", f"{tmp_path}:/v:noexec", check=False).returncode == 126


def test_a_volume_that_follows_its_source(podman):
    source = podman.directory / podman.new_name()
    source.mkdir()
    podman.place.run("sh", "-ec", 'mount --bind "$0" "$0"; mount --make-shared "$0"; mkdir "$0"/sub', source)
    name = podman.start(
        "--volume",
        f"{source}:/slave:rslave",
        "--volume",
        f"{source}:/private:rprivate",
        "--volume",
        f"{source}:/shared:rshared",
        "--cap-add=SYS_ADMIN",
    )
    podman.place.run("sh", "-ec", 'mount -t tmpfs tmpfs "$0"/sub; echo seen >"$0"/sub/file', source)
    assert podman.exec(name, "cat /slave/sub/file; cat /shared/sub/file; ls /private/sub") == "seen\nseen"
    podman.exec(name, "mkdir /shared/up; mount -t tmpfs tmpfs /shared/up; echo up >/shared/up/file")
    assert podman.place.run("cat", source / "up/file").stdout == "up\n"
    podman.remove_used()
    podman.place.run("umount", "--recursive", source)  # some kernels take `up` away with the container


def test_a_named_volume_takes_what_the_image_has(podman):
    volume = podman.new_name()
    assert podman.inside("cat /data/file; echo kept >/data/new", "--volume", f"{volume}:/data") == "from the image"
    assert podman.inside("cat /v/file /v/new", "--volume", f"{volume}:/v") == "from the image\nkept"
    podman("volume", "rm", volume)


def test_a_tmpfs(podman):
    shown = podman.inside("mount | grep ' /t '; stat -c %a /t; df -k /t", "--tmpfs=/t:size=2m,mode=1770,noexec")
    assert [text for text in ("noexec", "size=2048k", "\n1770\n") if text not in shown] == [], shown


def test_a_tmpfs_takes_what_the_image_has(podman):
    shown = podman.inside("cat /data/file; stat -f -c %T /data", "--mount=type=tmpfs,destination=/data,tmpfs-size=1m,tmpcopyup")
    assert shown == "from the image\ntmpfs"
    assert podman.inside("ls /data", "--mount=type=tmpfs,destination=/data,notmpcopyup") == ""


def test_volumes_of_another_container(podman, tmp_path):
    (tmp_path / "file").write_text("shared\n")
    name = podman.start("--volume", f"{tmp_path}:/v:ro")
    assert podman.inside("cat /v/file", f"--volumes-from={name}") == "shared"


def test_an_overlay_volume_keeps_its_source(podman, tmp_path):
    (tmp_path / "file").write_text("lower\n")
    assert podman.inside("echo upper >/v/file; cat /v/file", "--volume", f"{tmp_path}:/v:O") == "upper"
    assert (tmp_path / "file").read_text() == "lower\n"


def test_an_image_as_a_volume(podman):
    assert podman.inside("cat /image/data/file", f"--mount=type=image,source={NAME},destination=/image") == "from the image"


def test_a_secret(podman):
    name = podman.new_name()
    podman("secret", "create", name, "-", input="hidden")
    assert (
        podman.inside("cat /run/secrets/s; stat -c ' %a' /run/secrets/s", f"--secret={name},target=s,mode=0400") == "hidden 400"
    )
    podman("secret", "rm", name)


def test_a_read_only_root(podman):
    shown = podman.run("echo >/tmp/x && echo tmp; echo >/run/x && echo run; echo >/x", "--read-only", check=False)
    assert shown.stdout == "tmp\nrun\n"
    assert "read-only file system" in shown.stderr.lower()
    bare = podman.run("echo >/tmp/x; echo >/dev/shm/x && echo shm", "--read-only", "--read-only-tmpfs=false", check=False)
    assert bare.stdout in ("shm\n", "")
    assert "/tmp/x: read-only file system" in bare.stderr.lower()


def test_the_size_of_shared_memory(podman):
    assert "3.0M" in podman.inside("df -h /dev/shm", "--shm-size=3m")


# Users and rights


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--user=app"], "1000 1000 1000 2000"),
        (["--user=1000"], "1000 1000 1000 2000"),
        (["--user=app:extra"], "1000 2000 2000"),
        (["--user=4321"], "4321 0 0"),
        (["--user=4321:5"], "4321 5 5"),
        (["--user=app", "--group-add=77"], "1000 1000 77 1000 2000"),
    ],
    ids=" ".join,
)
def test_users(podman, options, found):
    assert podman.inside("echo $(id -u) $(id -g) $(id -G | tr ' ' '\n' | sort -n)", *options) == found


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], DEFAULT_CAPABILITIES),
        (["--cap-drop=all"], []),
        (["--cap-drop=all", "--cap-add=chown,SYS_ADMIN"], ["CHOWN", "SYS_ADMIN"]),
        (["--cap-drop=CAP_CHOWN", "--cap-add=SYS_TIME"], [*DEFAULT_CAPABILITIES[1:], "SYS_TIME"]),
        (["--user=app"], []),
        (["--user=app", "--cap-add=NET_RAW"], ["NET_RAW"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
def test_capabilities(podman, options, names):
    status = podman.inside("cat /proc/self/status", *options)
    assert effective(status) == bits(*names), fields(status)


def test_privileged(podman):
    status, _, rest = podman.inside(
        "cat /proc/self/status; echo; ls /dev | wc -l; mount -t tmpfs tmpfs /tmp && echo mounted; cat /proc/kcore | head -c 4 | wc -c",
        "--privileged",
    ).partition("\n\n")
    ours = effective(Path("/proc/self/status").read_text())
    assert effective(status) & ours == ours
    assert fields(status)["Seccomp"] == "0"
    assert int(rest.split()[0]) > 20
    assert "mounted" in rest


def test_no_new_privileges(podman):
    assert fields(podman.inside("cat /proc/self/status", "--security-opt=no-new-privileges"))["NoNewPrivs"] == "1"
    assert fields(podman.inside("cat /proc/self/status"))["NoNewPrivs"] == "0"


@pytest.mark.parametrize(
    ("options", "mode", "said"), [([], "2", "not permitted"), (["--security-opt=seccomp=unconfined"], "0", "invalid argument")]
)
def test_the_default_seccomp_profile_and_none(podman, options, mode, said):
    done = podman.run("grep Seccomp: /proc/self/status; swapoff /data/file", "--cap-add=SYS_ADMIN", *options, check=False)
    assert done.stdout.split() == ["Seccomp:", mode]
    assert said in done.stderr.lower()


def test_a_seccomp_profile_of_ones_own(podman, tmp_path):
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}],
    }
    (tmp_path / "profile.json").write_text(json.dumps(profile))
    done = podman.run("mkdir /made; echo went on", f"--security-opt=seccomp={tmp_path}/profile.json")
    assert done.stdout == "went on\n"
    assert "cross-device link" in done.stderr.lower()


def test_masked_and_unmasked(podman):
    file = next(path for path in ("/proc/keys", "/proc/timer_list") if Path(path).exists())
    count = f"head -c 10 {file} | wc -c; cat /proc/self/mountinfo"
    masked, _, table = podman.inside(count).partition("\n")
    assert masked == "0"
    assert "ro" in mountinfo(table)["/proc/sys"].options
    shown, _, table = podman.inside(count, "--security-opt=unmask=ALL").partition("\n")
    assert shown == "10"
    assert "/proc/sys" not in mountinfo(table)
    assert podman.inside("ls /data", "--security-opt=mask=/data") == ""


def test_sysctls(podman):
    shown = podman.inside(
        "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward",
        "--sysctl=kernel.shm_rmid_forced=1",
        "--sysctl=net.ipv4.ip_forward=1",
    )
    assert shown == "1\n1"


# Names, environment and more of a container's own


def test_hostname_and_hosts(podman):
    shown = podman.inside("hostname; cat /etc/hostname /etc/hosts", "--hostname=named.example", "--add-host=other:192.0.2.7")
    assert shown.startswith("named.example\nnamed.example")
    assert "192.0.2.7\tother" in shown


def test_names_by_dns(podman):
    options = ("--network=bridge", "--dns=192.0.2.53", "--dns-search=example.org", "--dns-option=ndots:3")
    shown = podman.inside("cat /etc/resolv.conf", *options).splitlines()
    assert {"nameserver 192.0.2.53", "search example.org", "options ndots:3"} <= set(shown)


def test_environment(podman, tmp_path):
    (tmp_path / "file").write_text("B=from file\nC=c\n")
    shown = podman.inside("env", "--env=A=1", f"--env-file={tmp_path}/file", "--env=C=2", "--unsetenv=FROM_IMAGE").splitlines()
    assert {"A=1", "B=from file", "C=2", "container=podman"} <= set(shown)
    assert not [line for line in shown if line.startswith("FROM_IMAGE")]


def test_a_working_directory_that_the_image_lacks(podman, tmp_path):
    name = f"localhost/{podman.new_name()}"
    podman("load", "--input", images.archive(tmp_path / "image.tar", name, WorkingDir="/not/there", Cmd=["pwd"]))
    assert podman.output("run", "--rm", "--network=none", name) == "/not/there"
    podman("rmi", name)


def test_a_umask(podman):
    assert podman.inside("umask; touch /f; stat -c %a /f", "--umask=0077") == "0077\n600"


def test_init_reaps(podman):
    name = podman.start("--init", command="(sleep 0.1 &); exec sleep 1000000")
    first, *_ = podman.exec(name, "cat /proc/1/cmdline | tr '\\0' ' '").split()
    assert first in ("/run/podman-init", "/dev/init", "/sbin/init")
    processes = "cat /proc/[0-9]*/stat | cut -d' ' -f2,3"
    wait_for(
        lambda: podman.exec(name, processes).count("(sleep)") == 1,
        lambda: podman.exec(name, processes),
        what="orphans to be reaped",
    )


def test_the_root_may_be_a_directory(podman, tmp_path):
    for directory in ("bin", "proc", "sys", "dev", "etc", "run", "tmp"):
        (tmp_path / directory).mkdir()
    (tmp_path / "bin/busybox").write_bytes(images.BUSYBOX.read_bytes())
    (tmp_path / "bin/busybox").chmod(0o755)
    words = ("run", "--rm", "--network=none", "--rootfs", tmp_path, "/bin/busybox", "sh", "-c", "echo here; busybox pwd")
    assert podman.output(*words) == "here\n/"
