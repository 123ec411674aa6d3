"""Who the process is: uid, gid, additional groups, umask (config.md, "POSIX-platform User")."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for
from integration.looking import FIRST, become, fields, give, mapped, namespace, refused, script, status_inside, with_probe

SYS_geteuid = 107 if os.uname().machine == "x86_64" else 175


def test_ids_and_groups(runtime, bundle):
    b = become(bundle(), 1000, 50, additionalGids=[7, 8, 70000])
    found = status_inside(runtime, b)
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["50"] * 4
    assert sorted(found["Groups"].split()) == ["7", "70000", "8"]


def test_without_additional_groups_there_are_none(runtime, bundle):
    for uid in (0, 1000):
        assert status_inside(runtime, become(bundle(), uid))["Groups"] == ""


# A root with groups and without the right to leave them.
KEPT = ("setpriv", "--groups", "27,44,50", "--bounding-set", "-setgid", "--inh-caps", "-setgid", "--")


@pytest.mark.parametrize("groups", [None, [], [7]], ids=["none", "empty", "one"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_the_callers_groups_do_not_stay(runtime, bundle, uid, groups):
    """Whoever cannot leave its groups starts nothing: what they open would be open to the container."""
    b = become(bundle("grep", "Groups", "/proc/self/status"), uid, 0)
    if groups is not None:
        b.process["user"]["additionalGids"] = groups
    give(b)
    runtime.prefix = KEPT
    said = refused(runtime, b, "setgroups", "operation not permitted")
    if runtime.name == "pyrunc":
        assert "CAP_SETGID" in said
        assert "/process/user/additionalGids" in said


def test_the_callers_groups_do_not_stay_with_an_exec(runtime, bundle):
    name = runtime.start(give(bundle()))
    runtime.prefix = KEPT
    done = runtime.exec(name, "grep", "Groups", "/proc/self/status", check=False)
    assert (done.returncode, done.stdout) == (255, "")
    assert "setgroups" in done.stderr
    runtime.prefix = ()


def test_a_namespace_that_denies_groups(runtime, bundle):
    """Where nobody may leave groups, nobody is asked to; but who wants some is told (user_namespaces(7))."""
    b = mapped(bundle("true"))
    holder = subprocess.Popen(["unshare", "-U", "sleep", "1000"])
    try:
        wait_for(lambda: namespace(holder.pid, "user") != namespace("self", "user"), "a user namespace")
        for file, text in (("uid_map", f"0 {FIRST} 65536"), ("setgroups", "deny"), ("gid_map", f"0 {FIRST} 65536")):
            Path(f"/proc/{holder.pid}/{file}").write_text(text)
        for kind in ("uidMappings", "gidMappings"):
            del b.linux[kind]
        b.namespace("user", path=f"/proc/{holder.pid}/ns/user")
        runtime.run(b)
        b.process["user"]["additionalGids"] = [7]
        if runtime.name != "runc":  # which leaves them out without a word
            assert "setgroups is denied" in refused(runtime, b)
    finally:
        holder.kill()
        holder.wait()


def test_many_groups(runtime, bundle):
    groups = list(range(20000, 20500))
    found = status_inside(runtime, become(bundle(), 1000, additionalGids=groups))
    assert [int(word) for word in found["Groups"].split()] == groups


@pytest.mark.pyrunc_only("1.1 stops at 2147483647")
def test_the_largest_ids(runtime, bundle):
    found = status_inside(runtime, become(bundle(), 4294967294, 4294967294))
    assert found["Uid"].split() == found["Gid"].split() == ["4294967294"] * 4


@pytest.mark.pyrunc_only("1.1 reads some of them as other numbers")
@pytest.mark.parametrize("value", [4294967295, 4294967296, -1, 2**64, 1.5, "0", True])
@pytest.mark.parametrize("field", ["uid", "gid", "additionalGids"])
def test_no_number_of_a_user(runtime, bundle, field, value):
    """4294967295 means "leave it" to the kernel, and 4294967296 is 0 in 32 bits: both would stay root."""
    b = become(bundle("id"), 1000)
    b.process["user"][field] = [value] if field == "additionalGids" else value
    assert f"/process/user/{field}" in refused(runtime, b)


@pytest.mark.parametrize(("umask", "seen"), [(None, "0022"), (0, "0000"), (0o27, "0027"), (0o777, "0777")])
def test_umask(runtime, bundle, umask, seen):
    b = become(bundle(), 0, **({} if umask is None else {"umask": umask}))
    assert status_inside(runtime, b)["Umask"] == seen
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    if runtime.name != "runc":  # 1.1 forgets it here
        assert fields(runtime.exec(name, "cat", "/proc/self/status").stdout)["Umask"] == seen


def test_the_callers_umask_does_not_matter(runtime, bundle):
    b = bundle("cat", "/proc/self/status")
    assert fields(runtime.output(b, umask=0o077))["Umask"] == "0022"


def test_the_users_files(runtime, bundle):
    b = become(bundle("touch /tmp/mine; touch /etc/mine; cat /root/secret"), 1000, 50)
    (b.rootfs / "root/secret").write_text("secret")
    (b.rootfs / "root/secret").chmod(0o600)
    done = runtime.run(b, check=False)
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") == 2
    found = (b.rootfs / "tmp/mine").stat()
    assert (found.st_uid, found.st_gid) == (1000, 50)


# Whether a user may execute something is the user's permission, not root's


@pytest.mark.parametrize(("mode", "runs"), [(0o711, True), (0o755, True), (0o700, False), (0o644, False)])
@pytest.mark.parametrize("kind", ["program", "script"])
def test_what_a_user_may_execute(runtime, bundle, mode, runs, kind):
    b = become(bundle("/bin/busybox-copy", "true"), 1000)
    if kind == "program":
        script(b, "/bin/busybox-copy", "").write_bytes((b.rootfs / "bin/busybox").read_bytes())
    else:
        script(b, "/bin/busybox-copy", "#!/bin/busybox true\n")
    (b.rootfs / "bin/busybox-copy").chmod(mode)
    done = runtime.run(b, check=False)
    if runs:
        assert "permission denied" not in done.stderr
        assert "applet not found" in done.stderr or done.returncode == 0
    else:
        assert done.returncode != 0
        assert "permission denied" in done.stderr


@pytest.mark.parametrize("kind", ["program", "script"])
def test_not_even_root_executes_what_nobody_may(runtime, bundle, kind):
    b = bundle("/bin/plain")
    script(b, "/bin/plain", "#!/bin/true\n" if kind == "script" else "", 0o644)
    refused(runtime, b, "/bin/plain", "permission denied")


def test_an_interpreter_that_the_user_may_not_execute(runtime, bundle):
    b = become(bundle("/bin/plain"), 1000)
    script(b, "/bin/plain", "#!/bin/private\n")
    script(b, "/bin/private", "#!/bin/true\n", 0o700)
    said = refused(runtime, b, "/bin/plain", "permission denied")
    if runtime.name == "pyrunc":
        assert 'its interpreter "/bin/private" may not be executed' in said


def test_a_directory_that_the_user_cannot_enter(runtime, bundle):
    b = become(bundle("/closed/program"), 1000)
    script(b, "/closed/program", "#!/bin/true\n")
    (b.rootfs / "closed").chmod(0o700)
    refused(runtime, b, "permission denied")


def test_path_passes_over_what_the_user_may_not_execute(runtime, bundle):
    b = become(bundle("special"), 1000)
    script(b, "/first/special", "#!/bin/echo first\n", 0o700)
    script(b, "/second/special", "#!/bin/echo second\n")
    b.process["env"] = ["PATH=/first:/second:/bin"]
    if runtime.name == "runc":  # 1.1 takes the first that somebody may execute
        refused(runtime, b, "permission denied")
    else:
        assert runtime.output(b).startswith("second")


@pytest.mark.parametrize("new_privileges", [True, False])
def test_a_setuid_program(runtime, bundle, new_privileges):
    b = with_probe(become(bundle("probe", "call", str(SYS_geteuid)), 1000))
    b.process["noNewPrivileges"] = not new_privileges
    (b.rootfs / "bin/probe").chmod(0o4755)
    assert runtime.output(b) == ("0\n" if new_privileges else "1000\n")


# exec --user


@pytest.mark.parametrize(
    ("text", "uid", "gid"),
    [("0", 0, 0), ("1000", 1000, 0), ("1000:50", 1000, 50), ("0:50", 0, 50), ("2147483647", 2147483647, 0)],
)
def test_exec_as_another_user(runtime, bundle, text, uid, gid):
    name = runtime.start(bundle())
    found = fields(runtime("exec", "--user", text, name, "cat", "/proc/self/status").stdout)
    assert found["Uid"].split() == [str(uid)] * 4
    assert found["Gid"].split() == [str(gid)] * 4


@pytest.mark.pyrunc_only("1.1 takes only numbers, and not all alike")
@pytest.mark.parametrize("text", "4294967295 4294967296 -1 01 +1 1: nobody-here 0:nobody 0x0".split())
def test_exec_as_no_user(runtime, bundle, text):
    """CVE-2016-3697, CVE-2026-30892: a passwd file with that name must not decide who it is."""
    b = bundle()
    for number in ("4294967296", "-1", "01", "+1"):
        with (b.rootfs / "etc/passwd").open("a") as file:
            file.write(f"{number}:x:0:0::/:/bin/sh\n")
    name = runtime.start(b)
    done = runtime("exec", f"--user={text}", name, "id", check=False)
    assert done.returncode == 255
    assert "uid=" not in done.stdout


def test_exec_with_groups(runtime, bundle):
    name = runtime.start(bundle())
    words = ("--user", "1000:50", "--additional-gids", "7", "--additional-gids", "8")
    found = fields(runtime("exec", *words, name, "cat", "/proc/self/status").stdout)
    assert sorted(found["Groups"].split()) == ["7", "8"]


def test_exec_is_who_the_config_says(runtime, bundle):
    name = runtime.start(become(bundle(), 1000, 50, additionalGids=[7]))
    found = fields(runtime.exec(name, "cat", "/proc/self/status").stdout)
    assert (found["Uid"].split()[0], found["Gid"].split()[0], found["Groups"]) == ("1000", "50", "7")


def test_exec_with_a_process_of_its_own(runtime, bundle):
    b = become(bundle(), 1000)
    name = runtime.start(b)
    process = become(bundle(), 7, 8, additionalGids=[9], umask=0o77).process
    (b.path / "process.json").write_text(json.dumps({**process, "args": ["cat", "/proc/self/status"]}))
    found = fields(runtime("exec", "--process", str(b.path / "process.json"), name).stdout)
    assert (found["Uid"].split()[0], found["Gid"].split()[0], found["Groups"]) == ("7", "8", "9")
    assert found["Umask"] == "0077" or runtime.name == "runc"


# Standard streams


@pytest.mark.parametrize("uid", [0, 1000])
def test_streams_belong_to_the_user(runtime, bundle, uid):
    b = become(bundle("stat -L -c %u /proc/self/fd/1; echo more >/dev/stdout"), uid)
    read, write = os.pipe()
    runtime.run(b, stdout=write, stderr=-1)
    os.close(write)
    assert os.read(read, 100).split() == [b"%d" % uid, b"more"]
    os.close(read)


def test_the_null_device_stays_roots(runtime, bundle):
    before = os.stat("/dev/null")
    name = runtime.start(become(bundle(), 1000))  # all of its streams are /dev/null
    runtime.exec(name, "true", stdin=-3, stdout=-3, stderr=-3)
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


def test_streams_that_are_a_file(runtime, bundle, tmp_path):
    b = become(bundle("echo", "written"), 1000)
    with (tmp_path / "out").open("w") as out:
        name = runtime.start(b, stdout=out)
    runtime.wait(name, "stopped")
    assert (tmp_path / "out").read_text() == "written\n"
    assert (tmp_path / "out").stat().st_uid == 1000
