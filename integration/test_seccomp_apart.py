"""A profile that is not in the cache: the native program has the script compile it, in a process of its own, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest

from integration.harness.runtime import wait_for

MKDIR = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
TRY = "mkdir /data/x 2>/dev/null || echo refused"
# Directories that nothing can be kept in; what a shell of root's makes of "$D".
UNUSABLE = {
    "another's": 'mkdir "$D" && chown 65534 "$D"',
    "writable by others": 'mkdir "$D" && chmod 777 "$D"',
    "a file": 'echo >"$D"',
    "a link": 'ln -s /tmp "$D"',
    "read-only": 'mkdir "$D" && mount -t tmpfs -o ro,mode=700 none "$D"',
    "full": 'mkdir "$D" && mount -t tmpfs -o nr_inodes=1,mode=700 none "$D"',
}
# A script that tells what it has before it compiles.
TELLING = """
import json, posix, sys
sys.path.append({site!r})
from pyrunc.seccomp import apart, compile

def compiled(profile, real=compile.compiled):
    fds = posix.listdir("/proc/self/fd")
    told = {{"environ": sorted(map(str, posix.environ)), "argv": sys.argv, "fds": [int(fd) for fd in fds if posix.access("/proc/self/fd/" + fd, 0)]}}
    with open({told!r}, "w") as file:
        json.dump(told, file)
    return real(profile)

compile.compiled = compiled
apart.serve()
"""
HANGING = """
import posix, time
with open({told!r}, "w") as file:
    print(posix.getpid(), file=file, flush=True)
    time.sleep(1000)
"""


class Script(NamedTuple):
    """Where the runtime, a copy of the native program, looks for its script; the directory of the real one's modules."""

    place: Path
    site: Path

    def write(self, text: str, told: Path) -> None:
        """Put TEXT there, which may tell something in file TOLD."""
        self.place.write_text(text.format(site=str(self.site), told=str(told)))


@pytest.fixture
def native(runtime):
    with open(runtime.binary, "rb") as file:
        if runtime.name != "pyrunc" or file.read(4) != b"\x7fELF":
            pytest.skip("the runtime is no native program")


@pytest.fixture
def script(runtime, native, tmp_path):
    home = Path(runtime.binary).resolve().parents[1]
    (real,) = home.glob("lib/python3*/*-packages/pyrunc/script")
    copy = tmp_path / "env/bin/pyrunc"
    place = tmp_path / "env" / real.relative_to(home)
    for each in (copy, place):
        each.parent.mkdir(parents=True)
    shutil.copy(runtime.binary, copy)
    runtime.binary = str(copy)
    return Script(place, real.parents[1])


def refusing(b):
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [MKDIR]}
    return b


def test_the_command_goes_on_as_what_it_is(runtime, bundle, native):
    """It was not started again: it is no Python, also while its container runs."""
    with runtime.popen("run", "--bundle", str((b := refusing(bundle())).path), name := runtime.prepare(b)) as running:
        wait_for(lambda: runtime("state", name, check=False).stdout and runtime.status(name) == "running", "the container")
        assert os.path.samefile(f"/proc/{running.pid}/exe", runtime.binary)
        runtime("kill", name, "KILL")


def test_it_has_nothing_of_our_caller(runtime, bundle, script, tmp_path):
    """No variable, no descriptor, no word of the command line."""
    told = tmp_path / "told"
    script.write(TELLING, told)
    reader, writer = os.pipe()
    try:
        b = refusing(bundle(TRY))
        done = runtime.run(b, "--preserve-fds", "0", pass_fds=(reader, writer), env={**os.environ, "LANG": "de_DE"})
    finally:
        os.close(reader)
        os.close(writer)
    assert done.stdout == "refused\n"
    found = json.loads(told.read_text())
    assert found["environ"] in ([], ["b'LC_CTYPE'"])  # which Python itself sets
    assert [os.path.realpath(word) for word in found["argv"]] == [str(script.place)]
    assert found["fds"] == [0, 1, 2]


def test_the_second_time_nobody_is_asked(runtime, bundle, script, tmp_path):
    told = tmp_path / "told"
    script.write(TELLING, told)
    for _ in range(2):
        assert runtime.run(refusing(bundle(TRY))).stdout == "refused\n"
        script.write("this is no script", told)
    assert [path.stat().st_mode & 0o777 for path in (runtime.root / ".seccomp").iterdir()] == [0o600]


@pytest.mark.pyrunc_only("has no such cache")
@pytest.mark.parametrize("how", UNUSABLE)
def test_what_cannot_be_kept_is_used_all_the_same(runtime, bundle, how):
    runtime.prefix = ("unshare", "-m", "--propagation", "private", "sh", "-c", f'{UNUSABLE[how]}; exec "$0" "$@"')
    for number in range(2):
        runtime.directory.joinpath(f"state{number}").mkdir()
        runtime.root = runtime.directory / f"state{number}"
        runtime.prefix = (*runtime.prefix[:-1], f'D={runtime.root}/.seccomp; {UNUSABLE[how]}; exec "$0" "$@"')
        assert runtime.run(refusing(bundle(TRY))).stdout == "refused\n"
        kept = runtime.root / ".seccomp"
        assert not kept.is_dir() or not list(kept.iterdir()) or kept.is_symlink()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no\\nno such thing')", "exit status 1: no such thing"),
        ("import posix; posix.kill(posix.getpid(), 9)", "killed by signal 9"),
        ("print(1 / 0)", "exit status 1: ZeroDivisionError: division by zero"),
        ("", ""),
        ("print('something else')", "something else"),
        ("import posix; posix.write(1, b'\\0filter\\n' + b'{{\"key\": \"00\"}}\\n' + b'x' * 100)", "another one, or half of it"),
        ("import posix; posix.write(1, b'\\0filter\\n')", ""),
        (None, "no such file or directory"),
    ],
)
def test_a_script_that_cannot_is_told_of_in_one_line(runtime, bundle, script, tmp_path, text, words):
    if text is not None:
        script.write(text, tmp_path / "told")
    b = refusing(bundle(TRY))
    said = runtime.refuses("create", "--bundle", str(b.path), runtime.prepare(b))
    assert "cannot compile the seccomp profile, which Python has to do" in said
    assert words in said
    assert "(at /linux/seccomp; install pyrunc again" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_ended_while_it_waits_leaves_nothing(runtime, bundle, script, tmp_path, number):
    told = tmp_path / "told"
    script.write(HANGING, told)
    b = refusing(bundle(TRY))
    with runtime.popen("create", "--bundle", str(b.path), runtime.prepare(b)) as creating:
        wait_for(lambda: told.exists() and told.read_text(), "the script to run")
        creating.send_signal(number)
        assert creating.communicate() == ("", "")
    assert creating.returncode == 130
    assert not os.path.exists(f"/proc/{told.read_text().strip()}")
    assert runtime("list", "--quiet").stdout == ""


@pytest.mark.pyrunc_only("says where")
def test_what_is_wrong_with_a_profile_is_told_as_ever(runtime, bundle):
    b = bundle(TRY)
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"]}
    said = runtime.refuses("create", "--bundle", str(b.path), runtime.prepare(b))
    assert "SCMP_ARCH_S390X cannot share a filter with this machine's architecture (at /linux/seccomp/architectures/1; " in said


def test_what_nobody_knows_is_warned_of_once(runtime, bundle):
    b = refusing(bundle(TRY))
    b.linux["seccomp"]["syscalls"] = [{**MKDIR, "names": [*MKDIR["names"], "no_such_call"]}]
    for _ in range(2):
        done = runtime.run(b)
        assert done.stdout == "refused\n"
        if runtime.name == "pyrunc":
            assert done.stderr.count("no_such_call") == 1


@pytest.mark.parametrize("verb", ["create", "run"])
def test_with_a_caller_that_ignores_its_children(runtime, bundle, verb):
    """Then the kernel waits for them, and we find none."""
    b = refusing(bundle("true"))
    done = runtime(
        verb,
        "--bundle",
        str(b.path),
        runtime.prepare(b),
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        **({"stdout": None, "stderr": None} if verb == "create" else {}),
    )
    assert done.returncode == 0


def test_exec_compiles_what_is_not_kept(runtime, bundle):
    name = runtime.start(refusing(bundle()))
    shutil.rmtree(runtime.root / ".seccomp", ignore_errors=True)
    assert runtime.exec(name, "sh", "-c", TRY).stdout == "refused\n"
