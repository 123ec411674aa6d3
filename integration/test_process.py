"""Who the process is: ids, capabilities, limits, environment, directory, descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CAP = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18}


def status(runtime, b):
    b.process["args"] = ["cat", "/proc/self/status"]
    return dict(line.split(":\t", 1) for line in runtime.output(b).splitlines() if ":\t" in line)


def mask(*names):
    return f"{sum(1 << CAP[name] for name in names):016x}"


def test_the_five_sets(runtime, bundle):
    b = bundle()
    b.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    b.process["user"] = {"uid": 1000, "gid": 1000}
    found = status(runtime, b)
    assert found["CapBnd"] == mask("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT")
    # What a user keeps over execve is what is ambient (capabilities(7)).
    assert found["CapAmb"] == found["CapEff"] == found["CapPrm"] == found["CapInh"] == mask("CAP_KILL")


def test_root_keeps_the_bounding_set(runtime, bundle):
    b = bundle()
    names = ["CAP_CHOWN", "CAP_KILL"]
    b.process["capabilities"] = {kind: names for kind in ("bounding", "permitted", "effective")}
    found = status(runtime, b)
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == mask(*names)
    assert found["CapInh"] == found["CapAmb"] == mask()


def test_no_capabilities_at_all(runtime, bundle):
    b = bundle()
    del b.process["capabilities"]
    assert status(runtime, b)["CapEff"] == mask()


def test_an_unknown_capability_is_left_out(runtime, bundle):
    b = bundle()
    b.process["capabilities"] = {k: ["CAP_KILL", "CAP_NONSENSE"] for k in ("bounding", "permitted", "effective")}
    log = runtime.directory / "log"
    b.process["args"] = ["cat", "/proc/self/status"]
    name = runtime._prepare(b)
    done = runtime("--log", str(log), "run", "--bundle", str(b.path), name)
    assert f"CapEff:\t{mask('CAP_KILL')}" in done.stdout
    assert "CAP_NONSENSE" in log.read_text()


def test_user_and_groups(runtime, bundle):
    b = bundle()
    b.process["user"] = {"uid": 1000, "gid": 50, "additionalGids": [7, 8], "umask": 0o27}
    found = status(runtime, b)
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["50"] * 4
    assert sorted(found["Groups"].split()) == ["7", "8"]
    assert found["Umask"] == "0027"


def test_no_new_privileges(runtime, bundle):
    b = bundle()
    b.process["noNewPrivileges"] = True
    assert status(runtime, b)["NoNewPrivs"] == "1"
    b.process["noNewPrivileges"] = False
    assert status(runtime, b)["NoNewPrivs"] == "0"


def test_no_signal_is_ignored_or_blocked(runtime, bundle):
    found = status(runtime, bundle())
    assert int(found["SigIgn"], 16) == int(found["SigBlk"], 16) == 0
    name = runtime.start(bundle())
    out = runtime.exec(name, "cat", "/proc/self/status").stdout
    assert "SigIgn:\t0000000000000000" in out
    assert "SigBlk:\t0000000000000000" in out


def test_rlimits(runtime, bundle):
    b = bundle("cat", "/proc/self/limits")
    b.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 21},
    ]
    lines = {line[:25].strip(): line[25:].split()[:2] for line in runtime.output(b).splitlines()}
    assert lines["Max open files"] == ["100", "200"]
    assert lines["Max core file size"] == ["0", "0"]
    assert lines["Max stack size"] == [str(1 << 20), str(1 << 21)]


def test_a_limit_too_small_for_an_interpreter(runtime, bundle):
    b = bundle("ulimit -v; ulimit -n")
    b.process["rlimits"] = [
        {"type": "RLIMIT_AS", "soft": 8 << 20, "hard": 8 << 20},
        {"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4},
    ]
    done = runtime.run(b, check=False)
    if runtime.name == "pyrunc":
        assert done.stdout.split() == [str(8 << 10), "4"]


def test_oom_score_adj(runtime, bundle):
    b = bundle("cat", "/proc/self/oom_score_adj")
    b.process["oomScoreAdj"] = 321
    assert runtime.output(b) == "321\n"


def test_environment_is_exactly_the_configs(runtime, bundle):
    b = bundle("env")
    b.process["env"] = ["PATH=/bin", "A=1", "A=2", "B=", "HOME=/x"]
    assert sorted(runtime.output(b, env={"LEAK": "1", "PATH": os.environ["PATH"]}).split()) == [
        "A=2",
        "B=",
        "HOME=/x",
        "PATH=/bin",
    ]


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/user"), (4242, "/")])
def test_home_comes_from_the_containers_passwd(runtime, bundle, uid, home):
    b = bundle("sh", "-c", "echo $HOME")
    b.process["user"] = {"uid": uid, "gid": 0}
    assert runtime.output(b) == f"{home}\n"


def test_path_of_the_config_finds_the_program(runtime, bundle):
    b = bundle("special")
    (b.rootfs / "opt").mkdir()
    (b.rootfs / "opt/special").write_text("#!/bin/sh\necho found\n")
    (b.rootfs / "opt/special").chmod(0o755)
    b.process["env"] = ["PATH=/nowhere:/opt:/bin"]
    assert runtime.output(b) == "found\n"


def test_cwd(runtime, bundle):
    b = bundle("pwd")
    b.process["cwd"] = "/tmp"
    assert runtime.output(b) == "/tmp\n"


def test_missing_cwd_is_made(runtime, bundle):
    b = bundle("pwd")
    b.process["cwd"] = "/made/for/it"
    assert runtime.output(b) == "/made/for/it\n"


def descriptors(runtime, b, *flags, **options):
    b.process["args"] = ["sh", "-c", "ls -l /proc/$$/fd | awk '{print $9}'"]
    return runtime.run(b, *flags, **options).stdout.split()


def test_only_three_descriptors_are_open(runtime, bundle):
    read, write = os.pipe()
    found = descriptors(runtime, bundle(), pass_fds=(read, write))
    os.close(read)
    os.close(write)
    assert [fd for fd in found if int(fd) < 10] == ["0", "1", "2"]


def test_preserve_fds(runtime, bundle):
    script = "import os, sys; os.dup2(os.open('/dev/null', 0), 3); os.dup2(3, 4); os.set_inheritable(3, True); os.set_inheritable(4, True); os.execv(sys.argv[1], sys.argv[1:])"
    b = bundle("sh", "-c", "ls -l /proc/$$/fd | awk '{print $9}'")
    name = runtime._prepare(b)
    import subprocess

    argv = ["/usr/bin/python3", "-c", script, *runtime.argv("run", "--preserve-fds", "1", "--bundle", str(b.path), name)]
    done = subprocess.run(argv, capture_output=True, text=True, close_fds=False, timeout=30, check=True)
    assert [fd for fd in done.stdout.split() if int(fd) < 10] == ["0", "1", "2", "3"]


def test_streams_belong_to_the_user(runtime, bundle):
    b = bundle("sh", "-c", "stat -L -c %u /proc/self/fd/1")
    b.process["user"] = {"uid": 1000, "gid": 1000}
    read, write = os.pipe()
    runtime.run(b, stdout=write, stderr=-1)
    os.close(write)
    assert os.read(read, 100) == b"1000\n"
    assert os.stat("/dev/null").st_uid == 0


def test_session_keyring(runtime, bundle):
    b = bundle("cat", "/proc/keys")
    b.linux["maskedPaths"] = []
    name = runtime._prepare(b)
    out = runtime("run", "--bundle", str(b.path), name).stdout
    assert f"_ses.{name}" in out


def test_sysctl(runtime, bundle):
    b = bundle("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax")
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "12345"}
    assert runtime.output(b).split() == ["1", "12345"]


def test_a_sysctl_of_the_host_is_refused(runtime, bundle):
    b = bundle("true")
    b.linux["sysctl"] = {"vm.swappiness": "1"}
    before = Path("/proc/sys/vm/swappiness").read_text()
    done = runtime.run(b, check=False)
    assert done.returncode == 1
    assert "is not in a separate kernel namespace" in done.stderr
    assert Path("/proc/sys/vm/swappiness").read_text() == before


def test_a_script_and_its_interpreter(runtime, bundle):
    b = bundle("/run.sh", "one", "two")
    (b.rootfs / "run.sh").write_text("#!/bin/sh -e\necho $0 $*\n")
    (b.rootfs / "run.sh").chmod(0o755)
    assert runtime.output(b) == "/run.sh one two\n"


def test_a_program_that_may_be_executed_but_not_read(runtime, bundle):
    b = bundle("/bin/secret", "echo", "ran")
    (b.rootfs / "bin/secret").write_bytes((b.rootfs / "bin/busybox").read_bytes())
    (b.rootfs / "bin/secret").chmod(0o711)
    b.process["args"] = ["/bin/secret", "true"]
    b.process["user"] = {"uid": 1000, "gid": 1000}
    # busybox looks at argv[0]; an unknown applet is its own, honest failure: it did run
    done = runtime.run(b, check=False)
    assert "applet not found" in done.stderr
