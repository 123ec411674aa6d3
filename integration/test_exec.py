"""exec: every flag, seen from the process that it adds."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from integration.harness.runtime import wait_for


@pytest.fixture
def running(runtime, bundle):
    return runtime.start(bundle())


def test_output_and_status(runtime, running):
    done = runtime.exec(running, "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)


def test_a_signal_is_128_and_its_number(runtime, running):
    assert runtime.exec(running, "sh", "-c", "kill -9 $$", check=False).returncode == 137


def test_standard_input(runtime, running):
    assert runtime("exec", running, "cat", stdin=None, input="given").stdout == "given"


def test_namespaces_are_the_containers(runtime, running):
    pid = runtime.pid(running)
    for kind in ("pid", "mnt", "net", "ipc", "uts"):
        assert runtime.exec(running, "readlink", f"/proc/self/ns/{kind}").stdout.strip() == os.readlink(
            f"/proc/{pid}/ns/{kind}"
        )


def test_cgroup_is_the_containers(runtime, running):
    inside = runtime.exec(running, "cat", "/proc/self/cgroup").stdout
    assert inside == Path(f"/proc/{runtime.pid(running)}/cgroup").read_text()


@pytest.mark.pyrunc_only("names config.json whatever has asked for it")
def test_an_error_names_the_option_or_the_file_that_asks_for_it(runtime, running, tmp_path):
    said = runtime.refuses("exec", "--cwd", "/etc/passwd", running, "true", status=255)
    assert 'chdir to cwd ("/etc/passwd") given by --cwd failed: not a directory (at --cwd; ' in said
    document = tmp_path / "process.json"
    document.write_text(json.dumps({"args": ["true"], "cwd": "/etc/passwd", "user": {"uid": 0, "gid": 0}}))
    said = runtime.refuses("exec", "--process", str(document), running, status=255)
    assert f'chdir to cwd ("/etc/passwd") set in {document} failed: not a directory (at /cwd; ' in said


def test_cwd_env_user(runtime, running):
    flags = ["--cwd", "/tmp", "--env", "A=1", "--env", "A=2", "--user", "1000:50", "-g", "7", "-g", "8"]
    done = runtime("exec", *flags, running, "sh", "-c", "pwd; echo $A $HOME; id -u; id -g; id -G")
    lines = done.stdout.split("\n")
    assert lines[:4] == ["/tmp", "2 /home/user", "1000", "50"]
    assert set(lines[4].split()) == {"50", "7", "8"}


@pytest.mark.parametrize(("user", "uid", "gid"), [("1", "1", "0"), ("1:2", "1", "2"), ("0:5", "0", "5")])
def test_users(runtime, running, user, uid, gid):
    assert runtime("exec", "-u", user, running, "sh", "-c", "id -u; id -g").stdout.split() == [uid, gid]


@pytest.mark.pyrunc_only("takes numbers only")
@pytest.mark.parametrize(("user", "uid", "gid"), [("user", "1000", "1000"), ("user:staff", "1000", "50"), (":50", "0", "50")])
def test_users_by_name(runtime, running, user, uid, gid):
    assert runtime("exec", "-u", user, running, "sh", "-c", "id -u; id -g").stdout.split() == [uid, gid]


@pytest.mark.parametrize("user", ["-1", "4294967296", "nobody-here", "4294967295"])
def test_bad_users(runtime, running, user):
    if runtime.name == "runc" and user == "4294967296":
        pytest.skip("runc 1.1 of Debian 12 runs this as root (CVE-2016-3697's class)")
    done = runtime("exec", "--user=" + user, running, "id", check=False)
    assert done.returncode in ((255,) if runtime.name == "pyrunc" else (0, 1, 255))
    assert "uid=0(" not in done.stdout


@pytest.mark.pyrunc_only("takes what strconv takes")
@pytest.mark.parametrize("user", ["01", "+1", "1:", "", "1:x"])
def test_more_bad_users(runtime, running, user):
    done = runtime("exec", f"--user={user}", running, "id", check=False)
    assert done.returncode == 255
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_capabilities(runtime, running):
    done = runtime("exec", "--cap", "CAP_SYS_CHROOT", running, "cat", "/proc/self/status")
    caps = dict(line.split(":\t") for line in done.stdout.splitlines() if line.startswith("Cap"))
    assert int(caps["CapEff"], 16) >> 18 & 1
    assert int(caps["CapInh"], 16) == 0


def test_no_new_privs(runtime, bundle):
    b = bundle()
    b.process["noNewPrivileges"] = False
    name = runtime.start(b)
    assert "NoNewPrivs:\t0" in runtime.exec(name, "cat", "/proc/self/status").stdout
    assert "NoNewPrivs:\t1" in runtime("exec", "--no-new-privs", name, "cat", "/proc/self/status").stdout


def test_process_document(runtime, running, tmp_path):
    document = tmp_path / "process.json"
    process = {"args": ["sh", "-c", "pwd; id -u; echo $X"], "cwd": "/etc", "env": ["PATH=/bin", "X=y"], "user": {"uid": 5, "gid": 6}}
    document.write_text(json.dumps(process))
    assert runtime("exec", "--process", str(document), running).stdout.split() == ["/etc", "5", "y"]


def test_detach_and_pid_file(runtime, running, tmp_path):
    pid_file = tmp_path / "pid"
    runtime("exec", "--detach", "--pid-file", str(pid_file), running, "sleep", "500", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    text = pid_file.read_text()
    assert text.isdigit()  # and no newline
    wait_for(lambda: Path(f"/proc/{text}/cmdline").read_text() == "sleep\x00500\x00", "sleep to run")


def test_command_not_found(runtime, running):
    done = runtime.exec(running, "no-such-command", check=False)
    assert done.returncode == 255
    assert "executable file not found in $PATH" in done.stderr


def test_missing_file(runtime, running):
    done = runtime.exec(running, "/no/such/file", check=False)
    assert done.returncode == 255
    assert "no such file or directory" in done.stderr


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc"])
def test_not_executable(runtime, running, path):
    done = runtime.exec(running, path, check=False)
    assert done.returncode == 255
    assert "permission denied" in done.stderr or "is a directory" in done.stderr


def test_ignore_paused(runtime, running):
    runtime("pause", running)
    process = subprocess.Popen(runtime.argv("exec", "--ignore-paused", running, "echo", "late"), stdout=-1, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    runtime("resume", running)
    assert process.communicate(timeout=20)[0] == "late\n"


@pytest.mark.v1
def test_cgroup_below_the_containers(runtime, running):
    path = [line for line in Path(f"/proc/{runtime.pid(running)}/cgroup").read_text().splitlines() if ":pids:" in line][0]
    below = Path("/sys/fs/cgroup/pids" + path.split(":", 2)[2]) / "below"
    below.mkdir()
    out = runtime("exec", "--cgroup", "pids:below", running, "cat", "/proc/self/cgroup").stdout
    assert [line for line in out.splitlines() if ":pids:" in line][0].endswith("/below")
    done = runtime("exec", "--cgroup", "pids:../..", running, "true", check=False)
    assert done.returncode == 255


def test_exec_in_a_created_container(runtime, bundle):
    name = runtime.create(bundle())
    assert runtime.exec(name, "echo", "early").stdout == "early\n"


def test_words_after_the_command_are_the_commands(runtime, running):
    assert runtime.exec(running, "echo", "-t", "--user", "x").stdout == "-t --user x\n"


def test_exec_keeps_the_containers_seccomp_and_rlimits(runtime, bundle):
    b = bundle()
    b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]
    name = runtime.start(b)
    assert runtime.exec(name, "sh", "-c", "ulimit -n").stdout == "64\n"


@pytest.mark.v1
def test_cgroups_below_the_containers(runtime, running):
    """--cgroup may be given for each controller; runc's words for what makes no sense."""
    lines = Path(f"/proc/{runtime.pid(running)}/cgroup").read_text().splitlines()
    for kind, name in (("pids", "one"), ("memory", "two")):
        path = [line for line in lines if f":{kind}:" in line][0].split(":", 2)[2]
        Path(f"/sys/fs/cgroup/{kind}{path}/{name}").mkdir()
    out = runtime("exec", "--cgroup", "pids:one", "--cgroup=memory:/two", running, "cat", "/proc/self/cgroup").stdout
    ends = {line.split(":")[1]: line.rpartition("/")[2] for line in out.splitlines()}
    assert (ends["pids"], ends["memory"]) == ("one", "two")
    assert ends["freezer"] not in ("one", "two")
    for words, said in (
        (["one", "--cgroup", "memory:two"], "invalid --cgroup argument: one (missing <controller>: prefix)"),
        ([",pids:one"], "invalid --cgroup argument: ,pids:one (empty <controller> prefix)"),
    ):
        done = runtime("exec", "--cgroup", *words, running, "true", check=False)
        assert done.returncode == 255
        assert said in done.stderr


@pytest.mark.v1
@pytest.mark.pyrunc_only("1.1 takes the last")
def test_two_cgroups_of_one_controller(runtime, running):
    done = runtime("exec", "--cgroup", "pids:", "--cgroup", "memory,pids:", running, "true", check=False)
    assert done.returncode == 255
    assert "invalid --cgroup argument(s): controller pids specified multiple times" in done.stderr


@pytest.mark.v1
@pytest.mark.pyrunc_only("runc refuses it, and crun leaves the process in the caller's")
def test_a_cgroup_that_only_some_controllers_have(runtime, running):
    own = Path(f"/proc/{runtime.pid(running)}/cgroup").read_text()
    rows = dict(line.split(":", 2)[1:] for line in own.splitlines())
    (Path("/sys/fs/cgroup/pids" + rows["pids"]) / "some").mkdir()
    out = runtime("exec", "--cgroup", "some", running, "cat", "/proc/self/cgroup").stdout
    found = dict(line.split(":", 2)[1:] for line in out.splitlines())
    assert found == {**rows, "pids": f"{rows['pids']}/some"}
    done = runtime("exec", "--cgroup", "none", running, "true", check=False)
    assert done.returncode == 255
    assert "no such file or directory" in done.stderr


def test_a_cgroup_of_no_controller(runtime, running):
    done = runtime("exec", "--cgroup", "nonsense:below", running, "true", check=False)
    assert done.returncode == 255
    assert "nonsense" in done.stderr
