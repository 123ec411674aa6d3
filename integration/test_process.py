"""What the process starts with: descriptors, signals, session, keyring, OOM score, no new privileges."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest

from integration.looking import become, fields, knob, status_inside, status_outside, unified, with_probe


def descriptors(text):
    return [int(word) for word in text.split()]


@pytest.fixture
def leaking(tmp_path):
    """Open descriptors of all kinds, as an engine that leaks (containerd's shim has a socket on 3)."""
    read, write = os.pipe()
    held = [read, write, os.open("/", os.O_RDONLY), os.open(tmp_path, os.O_PATH), os.open(__file__, 0)]
    held.append(os.dup2(held[2], 300))
    yield tuple(held)
    for fd in held:
        os.close(fd)


def test_only_three_descriptors_are_open(runtime, bundle, leaking):
    b = with_probe(bundle(), "fds")
    assert descriptors(runtime.output(b, pass_fds=leaking)) == [0, 1, 2]


def test_in_exec_too(runtime, bundle, leaking):
    name = runtime.start(with_probe(bundle()), pass_fds=leaking)
    assert descriptors(runtime.exec(name, "probe", "fds", pass_fds=leaking).stdout) == [0, 1, 2]
    assert sorted(os.listdir(f"/proc/{runtime.pid(name)}/fd")) == ["0", "1", "2"]


def in_three_and_four(argv):
    """Run ARGV with descriptors 3 and 4 open."""
    script = (
        "import os, sys; fd = os.open(sys.argv[1], 0)\n"
        "for n in (3, 4): os.dup2(fd, n); os.set_inheritable(n, True)\n"
        "os.execvp(sys.argv[2], sys.argv[2:])"
    )
    command = ["/usr/bin/python3", "-c", script, "/etc/hostname", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(("count", "kept"), [("0", []), ("1", [3]), ("2", [3, 4])])
def test_preserved_descriptors(runtime, bundle, count, kept):
    b = with_probe(bundle(), "fds")
    name = runtime._prepare(b)
    out = in_three_and_four(runtime.argv("run", "--preserve-fds", count, "--bundle", str(b.path), name))
    assert descriptors(out) == [0, 1, 2, *kept]


def test_preserved_descriptors_in_exec(runtime, bundle):
    name = runtime.start(with_probe(bundle()))
    out = in_three_and_four(runtime.argv("exec", "--preserve-fds", "1", name, "probe", "fds"))
    assert descriptors(out) == [0, 1, 2, 3]
    out = in_three_and_four(runtime.argv("exec", "--preserve-fds", "1", name, "readlink", "/proc/self/fd/3"))
    assert out == "/etc/hostname\n"


def test_a_waiting_init_holds_no_directory_of_the_host(runtime, bundle, leaking):
    b = bundle()
    name = runtime.create(b, pass_fds=leaking)
    pid = runtime.pid(name)
    for link in filter(os.path.isdir, Path(f"/proc/{pid}/fd").iterdir()):
        target = os.readlink(link)
        assert os.path.samefile(link, b.rootfs / target.lstrip("/")) or gives_a_name(link, "sleep", pid), target


def gives_a_name(directory, name, pid):
    """Return whether DIRECTORY is attached nowhere, and leads to the descriptors of process PID alone, under NAME."""
    found = sorted(entry.name for entry in directory.iterdir()) == ["proc", name]
    return found and os.path.samefile(directory / "..", directory) and (directory / "proc/stat").read_text().split()[0] == str(pid)


# Signals


def test_no_signal_is_ignored_or_blocked(runtime, bundle):
    """CPython ignores SIGPIPE and SIGXFSZ, and execve keeps that."""
    found = status_inside(runtime, bundle())
    assert int(found["SigIgn"], 16) == int(found["SigBlk"], 16) == int(found["SigCgt"], 16) == 0
    name = runtime.start(bundle())
    found = fields(runtime.exec(name, "cat", "/proc/self/status").stdout)
    assert int(found["SigIgn"], 16) == int(found["SigBlk"], 16) == 0


@pytest.mark.pyrunc_only("1.1 hands the caller's on")
def test_what_the_caller_ignores_and_blocks_is_not_handed_on(runtime, bundle):
    def before():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD])

    found = fields(runtime.output(bundle("cat", "/proc/self/status"), preexec_fn=before))
    assert int(found["SigBlk"], 16) == 0
    assert not int(found["SigIgn"], 16) & (1 << signal.SIGPIPE - 1)


def test_a_broken_pipe_ends_the_process(runtime, bundle):
    assert "ended\n" in runtime.output(bundle("(yes; echo survived >&2) | head -n 1; echo ended"))


# Session


def test_it_leads_a_session_of_its_own(runtime, bundle):
    b = bundle("cat /proc/self/stat")
    b.process["args"] = ["cat", "/proc/self/stat"]
    words = runtime.output(b).rpartition(")")[2].split()
    assert (words[2], words[3]) == ("1", "1")  # process group and session
    assert words[4] == "0"  # no terminal


def test_init_is_the_only_process(runtime, bundle):
    pid = runtime.pid(runtime.start(bundle()))
    assert os.listdir(f"/proc/{pid}/task") == [str(pid)]
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""


def test_init_is_adopted_by_nobody_of_ours(runtime, bundle):
    name = runtime.start(bundle())
    parent = int(status_outside(runtime.pid(name))["PPid"])
    assert parent in (0, 1, os.getppid())  # the last is harness/keeper.py


# Memory, scheduling, privileges


@pytest.mark.parametrize("value", [0, 321, 1000])
def test_oom_score_adj(runtime, bundle, value):
    b = bundle("cat", "/proc/self/oom_score_adj")
    b.process["oomScoreAdj"] = value
    assert runtime.output(b) == f"{value}\n"


def test_oom_score_adj_stays_the_callers(runtime, bundle):
    def before():
        Path("/proc/self/oom_score_adj").write_text("77")

    b = bundle("cat", "/proc/self/oom_score_adj")
    b.process.pop("oomScoreAdj", None)
    assert runtime.output(b, preexec_fn=before) == "77\n"


def test_oom_score_adj_of_exec(runtime, bundle):
    b = bundle()
    b.process["oomScoreAdj"] = 321
    name = runtime.start(b)
    assert runtime.exec(name, "cat", "/proc/self/oom_score_adj").stdout == "321\n"


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(runtime, bundle, wanted):
    b = bundle()
    b.process["noNewPrivileges"] = wanted
    assert status_inside(runtime, b)["NoNewPrivs"] == str(int(wanted))
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    out = runtime("exec", name, "cat", "/proc/self/status").stdout
    assert fields(out)["NoNewPrivs"] == str(int(wanted))
    out = runtime("exec", "--no-new-privs", name, "cat", "/proc/self/status").stdout
    assert fields(out)["NoNewPrivs"] == "1"


def test_the_cpus_are_all_that_the_cgroup_allows(runtime, bundle):
    """An affinity of the caller's must not stay with the container."""
    if os.cpu_count() == 1:
        pytest.skip("there is one processor only")

    def before():
        os.sched_setaffinity(0, {0})

    if runtime.name == "runc":
        pytest.skip("runc does so from 1.2 on")
    found = fields(runtime.output(bundle("cat", "/proc/self/status"), preexec_fn=before))
    assert found["Cpus_allowed_list"] == fields(Path("/proc/self/status").read_text())["Cpus_allowed_list"]


def test_the_program_is_dumpable_as_usual(runtime, bundle):
    """What protects the process while it is ours must not stay: /proc/self belongs to its user."""
    b = become(bundle("stat", "-c", "%u", "/proc/self/fd"), 1000)
    assert runtime.output(b) == "1000\n"
    name = runtime.start(become(bundle(), 1000))
    assert runtime.exec(name, "stat", "-c", "%u", "/proc/self/fd").stdout == "1000\n"


def test_no_parent_death_signal_and_no_keepcaps(runtime, bundle):
    b = with_probe(bundle(), "call", "157", "7")  # prctl(PR_GET_KEEPCAPS)
    assert runtime.output(b) == "0\n"


def test_a_process_leaves_no_trace_of_the_interpreter(runtime, bundle):
    """No mapping, no thread, no peak of memory that is not the program's own."""
    pid = runtime.pid(runtime.start(bundle()))
    assert "python" not in Path(f"/proc/{pid}/maps").read_text()
    assert os.readlink(f"/proc/{pid}/exe").endswith("/bin/busybox")


# Keyring


def session_key(runtime, b, *flags):
    """Return the description of the session keyring that B's process has."""
    if not Path("/proc/keys").exists():
        pytest.skip("this kernel has no keyrings")
    b.linux["maskedPaths"] = []
    b.process["args"] = ["cat", "/proc/keys"]
    name = runtime._prepare(b)
    return name, runtime("run", *flags, "--bundle", str(b.path), name).stdout


def test_a_new_session_keyring(runtime, bundle):
    name, keys = session_key(runtime, bundle())
    assert f"_ses.{name}" in keys


def test_the_callers_session_keyring(runtime, bundle):
    name, keys = session_key(runtime, bundle(), "--no-new-keyring")
    assert f"_ses.{name}" not in keys


@pytest.mark.parametrize(("flags", "readable"), [((), False), (("--no-new-keyring",), True)])
def test_the_callers_keys(runtime, bundle, flags, readable):
    """They are listed, as the user is the same, but not to be read without possessing the keyring."""

    def before():
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(250, 1, b"callers-session")  # keyctl(KEYCTL_JOIN_SESSION_KEYRING)
        libc.syscall(248, b"user", b"callers-key", b"secret", 6, -3)  # add_key(.., KEY_SPEC_SESSION_KEYRING)

    if not Path("/proc/keys").exists() or os.uname().machine != "x86_64":
        pytest.skip("this kernel has no keyrings, or other numbers")
    words = "for id in $(grep callers-key /proc/keys | cut -c 1-8); do probe call 250 11 0x$id; done"
    b = with_probe(bundle(words))
    b.linux["maskedPaths"] = []
    found = runtime.output(b, *flags, preexec_fn=before).split()
    assert found
    assert ("6" in found) == readable


def test_exec_joins_the_session_keyring_of_the_container(runtime, bundle):
    if not Path("/proc/keys").exists():
        pytest.skip("this kernel has no keyrings")
    b = bundle()
    b.linux["maskedPaths"] = []
    name = runtime.start(b)
    assert f"_ses.{name}" in runtime.exec(name, "cat", "/proc/keys").stdout


# The cgroup is the container's before anything of it runs


def test_all_of_it_is_in_the_cgroup(runtime, bundle):
    name = runtime.start(bundle())
    procs = knob(runtime, name, "" if unified() else "pids", "cgroup.procs")
    assert procs.split() == [str(runtime.pid(name))]
    inside = runtime.exec(name, "cat", "/proc/self/cgroup", "/proc/1/cgroup").stdout.splitlines()
    assert inside[: len(inside) // 2] == inside[len(inside) // 2 :]


def test_a_personality_of_32_bits(runtime, bundle):
    """Docker sets LINUX32 for the images of smaller machines; uname(2) answers by it."""
    if runtime.name == "runc":
        pytest.skip("runc 1.1 of Debian 12 does not know it")
    b = bundle()
    b.linux["personality"] = {"domain": "LINUX32"}
    name = runtime.start(b)
    assert Path(f"/proc/{runtime.pid(name)}/personality").read_text().strip() == "00000008"
    assert runtime.exec(name, "cat", "/proc/self/personality").stdout.strip() == "00000008"


def test_without_one_it_is_this_machines(runtime, bundle):
    b = bundle("cat", "/proc/self/personality")
    b.linux["personality"] = {"domain": "LINUX"}
    assert runtime.output(b).strip() == "00000000"
