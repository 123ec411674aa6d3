"""The environment, the program and the directory: what the config says, found as the container sees it."""

from __future__ import annotations

import json
import os

import pytest

from integration.looking import become, refused, script, with_probe

CALLERS = {"PATH": os.environ["PATH"], "LEAK": "1", "LC_ALL": "C", "LANG": "xx_XX.UTF-8", "PYTHONPATH": "/no"}


def environment(runtime, b, **options):
    """Return the lines of what B's process really gets, in the kernel's order."""
    b.process["args"] = ["cat", "/proc/self/environ"]
    return runtime.output(b, **options).rstrip("\0").split("\0")


def test_exactly_the_configs(runtime, bundle):
    b = bundle()
    b.process["env"] = ["PATH=/bin", "B=", "HOME=/x", "A=one two=three", "EMPTY=", "C=\u00e4\u4e2d"]
    assert environment(runtime, b, env=CALLERS) == b.process["env"]


def test_nothing_of_the_caller_or_of_python(runtime, bundle):
    """A C locale makes CPython add LC_CTYPE to its environment."""
    b = bundle()
    names = {entry.partition("=")[0] for entry in environment(runtime, b, env={**CALLERS, "LC_ALL": "C"})}
    assert names == {"PATH", "HOME"}
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b, env=CALLERS)
    out = runtime.exec(name, "cat", "/proc/self/environ", env=CALLERS).stdout
    assert {entry.partition("=")[0] for entry in out.rstrip("\0").split("\0")} == {"PATH", "HOME"}


def test_the_last_of_two_equal_names_wins(runtime, bundle):
    b = bundle()
    b.process["env"] = ["PATH=/bin", "HOME=/", "A=1", "B=x", "A=2", "A=3", "PATH=/nowhere", "PATH=/bin"]
    found = environment(runtime, b)
    assert [entry for entry in found if entry.startswith(("A=", "PATH="))] in (
        ["A=3", "PATH=/bin"],
        ["PATH=/bin", "A=3"],
    )


def test_a_large_one(runtime, bundle):
    b = bundle()
    b.process["env"] = ["PATH=/bin", "HOME=/", *(f"NAME{number}={'x' * 1000}" for number in range(500))]
    assert environment(runtime, b) == b.process["env"]


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home/user"), (4242, "/")])
def test_home_comes_from_the_containers_passwd(runtime, bundle, uid, home):
    b = become(bundle("sh", "-c", "echo $HOME"), uid, 0)
    assert runtime.output(b) == f"{home}\n"
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    assert runtime.exec(name, "sh", "-c", "echo $HOME").stdout == f"{home}\n"


def test_home_of_the_config_stays(runtime, bundle):
    b = bundle("sh", "-c", "echo $HOME")
    b.process["env"].append("HOME=/tmp")
    assert runtime.output(b) == "/tmp\n"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "root\n",
        "root:x:zero:0::/evil:/bin/sh\n",
        ":::::::\n",
        "\0" * 4096,
        "# a comment\n\nroot:x:0:0:root:/:/bin/sh",
        "x" * 100000 + "\nroot:x:0:0:root:/:/bin/sh\n",
    ],
)
@pytest.mark.pyrunc_only("1.1 believes more of it, and leaves HOME empty")
def test_a_damaged_passwd(runtime, bundle, text):
    b = bundle("sh", "-c", "echo $HOME")
    if text is None:
        (b.rootfs / "etc/passwd").unlink()
    else:
        (b.rootfs / "etc/passwd").write_text(text)
    assert runtime.output(b) == "/\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "loop", "device"])
def test_a_passwd_that_is_no_file(runtime, bundle, kind):
    """It must neither block nor read a file of the host."""
    b = bundle("sh", "-c", "echo $HOME")
    path = b.rootfs / "etc/passwd"
    path.unlink()
    if kind == "fifo":
        if runtime.name == "runc":
            pytest.skip("runc 1.1 waits for ever")
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        os.mknod(path, 0o20666, os.makedev(1, 3))
    else:
        path.symlink_to("passwd" if kind == "loop" else "/no/such/file")
    done = runtime.run(b, check=False)
    assert done.stdout == "/\n" or (done.returncode != 0 and "passwd" in done.stderr)


# Which program


def test_path_of_the_config_decides(runtime, bundle):
    b = bundle("special")
    script(b, "/opt/special", "#!/bin/sh\necho found\n")
    script(b, "/later/special", "#!/bin/sh\necho later\n")
    b.process["env"] = ["PATH=/nowhere:/etc/passwd:/opt:/later:/bin"]
    assert runtime.output(b) == "found\n"


def test_path_of_the_caller_does_not(runtime, bundle):
    b = bundle("echo")
    b.process["env"] = ["PATH=/nowhere"]
    refused(runtime, b, "executable file not found in $PATH")
    b.process["env"] = []
    refused(runtime, b, "executable file not found in $PATH")


def test_a_directory_in_path_is_passed_over(runtime, bundle):
    b = bundle("special")
    (b.rootfs / "first/special").mkdir(parents=True)
    script(b, "/second/special", "#!/bin/sh\necho second\n")
    b.process["env"] = ["PATH=/first:/second:/bin"]
    assert runtime.output(b) == "second\n"


PROGRAMS = ["./special", "opt/../special", "/data/special", "/data/./../data/special"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_path_needs_no_search(runtime, bundle, program):
    b = bundle(program)
    (b.rootfs / "data/opt").mkdir()
    b.process["cwd"] = "/data"
    b.process["env"] = ["PATH=/nowhere"]
    script(b, "/data/special", "#!/bin/busybox sh\necho found\n")
    assert runtime.output(b) == "found\n"


@pytest.mark.parametrize("target", ["/data/real", "../data/real", "../../../../data/real", "hop"])
def test_a_program_behind_a_link(runtime, bundle, target):
    b = bundle("/bin/special")
    (b.rootfs / "bin/special").symlink_to(target)
    (b.rootfs / "bin/hop").symlink_to("/data/real")
    script(b, "/data/real", "#!/bin/sh\necho found\n")
    assert runtime.output(b) == "found\n"


def test_argv_is_the_configs(runtime, bundle):
    b = bundle("cat", "/proc/self/cmdline")
    assert runtime.output(b) == "cat\0/proc/self/cmdline\0"
    b.process["args"] = ["sh", "-c", 'printf "%s|" "$0" "$@"', "a b", "", "\u00e4", "*"]
    assert runtime.output(b) == "a b||\u00e4|*|"


def test_comm_is_the_programs(runtime, bundle):
    b = bundle("/bin/busybox", "cat", "/proc/self/comm")
    assert runtime.output(b) == "busybox\n"
    name = runtime.start(with_probe(bundle(), "lie-in-wait", "60", "0", "0", "0"))
    assert runtime.exec(name, "cat", "/proc/1/comm").stdout == "probe\n"
    assert runtime.exec(name, "cat", "/proc/1/cmdline").stdout.startswith("probe\0lie-in-wait\0")


@pytest.mark.parametrize(
    ("first", "out"),
    [
        ("#!/bin/sh", "/data/script|one|two"),
        ("#! /bin/sh", "/data/script|one|two"),
        ("#!\t/bin/sh -e \t", "/data/script|one|two"),
        ("#!/bin/busybox sh", "/data/script|one|two"),
        ("#!/data/nested", "/data/script|one|two"),
    ],
)
def test_a_script(runtime, bundle, first, out):
    b = bundle("/data/script", "one", "two")
    script(b, "/data/nested", "#!/bin/sh\n. $1\n")
    text = 'echo "$0|$1|$2"' if "nested" not in first else 'echo "$1|$2|$3"'
    script(b, "/data/script", f"{first}\n{text}\n")
    assert runtime.output(b) == f"{out}\n"


def test_a_script_gets_one_argument_for_its_interpreter(runtime, bundle):
    b = bundle("/data/script")
    script(b, "/data/script", "#!/bin/echo one two  three\n")
    assert runtime.output(b) == "one two  three /data/script\n"


@pytest.mark.parametrize(
    ("first", "word"),
    [
        ("#!/no/such/interpreter", "no such file or directory"),
        ("#!/bin/sh\r", "no such file or directory"),
        ("#!/data", "permission denied"),
        ("#!", "exec format error"),
        ("", "exec format error"),
        ("\x7fELF", "exec format error"),
        ("#!/data/script", "too many levels"),
    ],
)
def test_a_script_that_cannot_run(runtime, bundle, first, word):
    b = bundle("/data/script")
    script(b, "/data/script", f"{first}\n")
    refused(runtime, b, word)


def test_a_program_that_may_be_executed_but_not_read(runtime, bundle):
    b = become(with_probe(bundle("/bin/probe", "cwd")), 1000)
    (b.rootfs / "bin/probe").chmod(0o711)
    assert runtime.output(b) == "/\n"


@pytest.mark.parametrize("kind", ["program", "script"])
def test_noexec(runtime, bundle, kind):
    b = bundle("/data/program", "cwd")
    if kind == "program":
        script(with_probe(b), "/volume", "").write_bytes((b.rootfs / "bin/probe").read_bytes())
    else:
        script(b, "/volume", "#!/bin/true\n")
    (b.path / "volume").mkdir()
    (b.rootfs / "volume").rename(b.path / "volume/program")
    b.mount("/data", "bind", "volume", "bind", "noexec")
    refused(runtime, b, "permission denied")


def test_a_missing_program(runtime, bundle):
    refused(runtime, bundle("/no/such/program"), "no such file or directory")
    refused(runtime, bundle("no-such-program"), "executable file not found in $PATH")
    refused(runtime, bundle("/etc"), "permission denied")
    refused(runtime, bundle("/etc/passwd"), "permission denied")


# Where


def test_cwd(runtime, bundle):
    b = with_probe(bundle(), "cwd")
    b.process["cwd"] = "/tmp"
    assert runtime.output(b) == "/tmp\n"
    b.process["args"] = ["sleep", "1000"]
    name = runtime.start(b)
    assert runtime.exec(name, "probe", "cwd").stdout == "/tmp\n"
    assert runtime("exec", "--cwd", "/data", name, "probe", "cwd").stdout == "/data\n"


def test_a_missing_cwd_is_made(runtime, bundle):
    b = bundle("pwd; stat -c '%a %u' /made /made/for/it")
    b.process["cwd"] = "/made/for/it"
    assert runtime.output(b).splitlines() == ["/made/for/it", "755 0", "755 0"]


def test_a_cwd_behind_a_link(runtime, bundle, tmp_path):
    b = with_probe(bundle(), "cwd")
    (b.rootfs / "link").symlink_to("/data")
    (b.rootfs / "out").symlink_to(tmp_path)
    b.process["cwd"] = "/link"
    assert runtime.output(b) == "/data\n"
    b.process["cwd"] = "/out"
    done = runtime.run(b, check=False)
    assert done.returncode != 0 or done.stdout == f"{tmp_path}\n"
    assert not list(tmp_path.glob("out*"))


@pytest.mark.pyrunc_only("refuses it")
def test_a_cwd_behind_a_link_to_nothing(runtime, bundle):
    b = with_probe(bundle(), "cwd")
    (b.rootfs / "link").symlink_to("data/made")
    b.process["cwd"] = "/link"
    assert runtime.output(b) == "/data/made\n"
    assert (b.rootfs / "data/made").is_dir()


@pytest.mark.parametrize("cwd", ["relative", "", ".", "/etc/passwd"])
def test_no_cwd(runtime, bundle, cwd):
    b = bundle("true")
    b.process["cwd"] = cwd
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert "/process/cwd" in err


def test_a_cwd_that_only_root_may_enter(runtime, bundle):
    """runc changes directory once as root and once as the user: either will do."""
    b = become(with_probe(bundle(), "cwd"), 1000)
    b.process["cwd"] = "/root"
    (b.rootfs / "root").chmod(0o700)
    assert runtime.output(b) == "/root\n"


def test_a_cwd_below_a_mount(runtime, bundle):
    b = with_probe(bundle(), "cwd")
    b.mount("/data", "tmpfs", "tmpfs")
    b.process["cwd"] = "/data/new"
    assert runtime.output(b) == "/data/new\n"
    assert not (b.rootfs / "data/new").exists()


def test_exec_with_its_own(runtime, bundle):
    b = with_probe(bundle())
    name = runtime.start(b)
    b.process.update(args=["cat", "/proc/self/environ"], env=["A=1", "PATH=/bin", "A=2", "HOME=/x"])
    (b.path / "process.json").write_text(json.dumps(b.process))
    out = runtime("exec", "--process", str(b.path / "process.json"), name).stdout
    assert sorted(out.rstrip("\0").split("\0")) == ["A=2", "HOME=/x", "PATH=/bin"]
    out = runtime("exec", "--env", "B=1", "--env", "B=2", name, "cat", "/proc/self/environ").stdout
    assert sorted(out.rstrip("\0").split("\0")) == ["B=2", "HOME=/root", "PATH=/bin"]


# Headers of ELF files for other machines: class, byte order and version; then type and machine.
ARM = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x02\0\xb7\0" + bytes(60)
S390X = b"\x7fELF\x02\x02\x01".ljust(16, b"\0") + b"\0\x02\0\x16" + bytes(60)


@pytest.mark.pyrunc_only("says the errno")
@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"", 0o755, "exec format error: the file is empty"),
        (b"text\n", 0o755, "exec format error: neither a program for this machine nor a script that begins with #!"),
        (ARM, 0o755, "exec format error: it is made for arm64, and this machine is x86_64: another architecture, or a damaged file"),
        (S390X, 0o755, "exec format error: it is made for s390x, and this machine is x86_64"),
        (b"#!/bin/sh\n", 0o644, "permission denied: nobody may execute it: chmod +x"),
        (b"#!/bin/nothing\n", 0o755, 'no such file or directory: its interpreter "/bin/nothing" could not be opened'),
        (b"#!/bin/sh\r\n", 0o755, "its first line ends in CR LF (at "),
    ],
)
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_why_a_program_cannot_run(runtime, bundle, verb, content, mode, said):
    """The errno has many causes; which one it was is told."""
    b = bundle("/data/program") if verb == "run" else bundle()
    if verb == "run":
        b.process["args"] = ["/data/program"]
    program = script(b, "/data/program", "")
    program.write_bytes(content)
    program.chmod(mode)
    if verb == "run":
        status = 255 if mode == 0o755 else 1  # runc's: 1 is for what nobody has tried to execute
        assert said in runtime.refuses("run", "--bundle", str(b.path), runtime.prepare(b), status=status)
    else:
        assert said in runtime.refuses("exec", runtime.start(b), "/data/program", status=255)


@pytest.mark.pyrunc_only("says the errno")
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_program_on_a_mount_with_noexec_is_told(runtime, bundle, verb):
    b = bundle("/data/program") if verb == "run" else bundle()
    if verb == "run":
        b.process["args"] = ["/data/program"]
    (b.path / "volume").mkdir()
    (b.path / "volume/program").write_text("#!/bin/true\n")
    (b.path / "volume/program").chmod(0o755)
    b.mount("/data", "bind", "volume", "bind", "noexec")
    said = "permission denied: it is on a mount with noexec"
    if verb == "run":
        assert said in runtime.refuses("run", "--bundle", str(b.path), runtime.prepare(b))
    else:
        assert said in runtime.refuses("exec", runtime.start(b), "/data/program", status=255)
