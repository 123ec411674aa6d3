"""What nobody should ask for, and somebody does: odd inputs, surroundings and moments.

Each gets one clear line and leaves nothing, or just works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from integration.harness.failures import fails

# Standard streams


CLOSED = 'exec "$0" "$@" '


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_are_open_in_the_container(runtime, bundle, tmp_path, closed):
    """As /dev/null, or what the runtime puts there: else the program's first file would be its standard output."""
    b = bundle("for n in 0 1 2; do test -e /proc/self/fd/$n && echo $n; done > /data/open")
    b.mount("/data", "bind", str(tmp_path), "bind")
    name = runtime.prepare(b)
    runtime.prefix = ("sh", "-c", CLOSED + closed)
    runtime("run", "--bundle", str(b.path), name)
    runtime.prefix = ()
    assert (tmp_path / "open").read_text().split() == ["0", "1", "2"]


@pytest.mark.pyrunc_only("1.1 shows them as they are, or in Go's notation")
def test_a_message_has_no_control_characters(runtime, bundle):
    """It quotes what a hook has said, and a terminal would obey."""
    b = bundle("true")
    script = r"printf '\033[31mred\000\177\302\233\nline' >&2; exit 1"
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    said = fails(runtime, b)
    assert r"\x1b[31mred\x00\x7f\x9b\nline" in said
    assert said.isprintable()


# Bundles and their documents


@pytest.mark.parametrize("name", ["a space", "a\nline", "é中😀", 'quo"te\\', "a,b:c=d", "%s$(id)"])
def test_a_bundle_of_any_name(runtime, bundle, name):
    b = bundle("echo", "ran")
    b.path = b.path.rename(b.path.parent / name)
    assert runtime.output(b) == "ran\n"
    container = runtime.create(b)
    assert runtime.state(container)["bundle"] == str(b.path)


@pytest.mark.pyrunc_only("1.1 looks for another path")
def test_a_bundle_whose_name_is_no_text(runtime, bundle):
    b = bundle("true")
    b.path = b.path.rename(os.fsdecode(os.fsencode(b.path) + b"-\xff\xfe"))
    said = fails(runtime, b)
    assert r"bundle2-\xff\xfe is not UTF-8" in said or r"bundle1-\xff\xfe is not UTF-8" in said, said


@pytest.mark.pyrunc_only("says it otherwise")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xef\xbb\xbf{}", "config.json: begins with a byte order mark"),
        (b'{"a": ' + b"9" * 5000 + b"}", "config.json: a number has more than 4300 digits"),
        (b" " * (65 << 20), "BUNDLE/config.json has more than 64 MiB"),
        (None, "BUNDLE/config.json: is a directory"),
    ],
    ids=["mark", "digits", "large", "directory"],
)
def test_a_document_that_is_none(runtime, bundle, text, said):
    b = bundle("true")
    name = runtime.prepare(b)
    document = b.path / "config.json"
    document.unlink()
    if text is None:
        document.mkdir()
    else:
        document.write_bytes(text)
    assert said in runtime.refuses("create", "--bundle", str(b.path), name).replace(str(b.path), "BUNDLE")


def test_a_process_through_a_pipe(runtime, bundle):
    """Which hands it over in parts."""
    b = bundle()
    name = runtime.start(b)
    document = {**b.process, "args": ["sh", "-c", "echo ${#LONG}"], "env": ["PATH=/bin", "LONG=" + "x" * 100000]}
    read, write = os.pipe()
    writer = subprocess.Popen([sys.executable, "-c", f"print({json.dumps(document)!r})"], stdout=write)
    os.close(write)
    done = runtime("exec", "--process", f"/dev/fd/{read}", name, pass_fds=(read,))
    os.close(read)
    writer.wait()
    assert done.stdout == "100000\n"


def test_a_state_of_many_megabytes(runtime, bundle):
    b = bundle()
    b.config["annotations"] = {f"key{number}": "x" * 1000 for number in range(20000)}
    name = runtime.create(b)
    assert len(runtime.state(name)["annotations"]) == 20000
    runtime("delete", "--force", name)


# Limits


def test_more_mounts_than_descriptors(runtime, bundle):
    b = bundle("wc -l < /proc/self/mountinfo")
    b.process["rlimits"] = []
    for number in range(300):
        b.mount(f"/data/{number}", "tmpfs", "tmpfs", "size=4k")
    name = runtime.prepare(b)
    runtime.prefix = ("sh", "-c", 'ulimit -n 256; exec "$0" "$@"')
    done = runtime("run", "--bundle", str(b.path), name)
    runtime.prefix = ()
    assert int(done.stdout) > 300


def test_as_many_groups_as_there_can_be(runtime, bundle):
    b = bundle("grep Groups /proc/self/status | wc -w")
    b.process["user"]["additionalGids"] = list(range(65536))
    assert runtime.output(b) == "65537\n"


@pytest.mark.pyrunc_only("the kernel's error, without the place")
def test_more_groups_than_there_can_be(runtime, bundle):
    b = bundle("true")
    b.process["user"]["additionalGids"] = list(range(65537))
    assert "more than 65536 groups (at /process/user/additionalGids/65536;" in fails(runtime, b)


@pytest.mark.pyrunc_only("Go does not start")
def test_little_memory_for_ourselves(runtime, bundle):
    runtime.prefix = ("sh", "-c", 'ulimit -v 40000; exec "$0" "$@"')
    assert runtime.output(bundle("echo", "ran")) == "ran\n"
    runtime.prefix = ()


@pytest.mark.parametrize("size", ["size=4k", "nr_inodes=3"])
def test_no_room_for_the_state(runtime, bundle, size):
    b = bundle("true")
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(runtime.root)], check=True)
    try:
        name = runtime.prepare(b)
        said = runtime.refuses("run", "--bundle", str(b.path), name)
        assert not [entry for entry in os.listdir(runtime.root) if not entry.startswith(".")]
    finally:
        subprocess.run(["umount", str(runtime.root)], check=True)
    assert runtime.name != "pyrunc" or "no space left on device" in said


@pytest.mark.pyrunc_only("the kernel's words alone")
def test_no_place_for_the_state(runtime, bundle):
    b = bundle("true")
    name = runtime.prepare(b)
    words = ("--root", "/proc/self/fdinfo", "create", "--bundle", str(b.path), name)
    said = subprocess.run([runtime.binary, *words], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert f"cannot make the state directory /proc/self/fdinfo/{name}: no such file or directory (--root says" in said.stderr


# Mounts


@pytest.mark.parametrize("destination", ["/", "", "/data/..", "/data/root"])
def test_a_mount_on_the_root(runtime, bundle, destination):
    """It would be mounted below the root that everybody sees, and so be ignored."""
    b = bundle("true")
    (b.rootfs / "data/root").symlink_to("/")
    b.mount(destination, "tmpfs", "tmpfs")
    if runtime.name == "pyrunc":
        assert "leads to the root, which is mounted already (at /mounts/7/destination" in fails(runtime, b)
    elif destination != "/data/root":
        assert runtime.run(b, check=False).returncode != 0


# exec


def test_arguments_that_are_no_text(runtime, bundle):
    """A command line is bytes; runc replaces what is not UTF-8."""
    name = runtime.start(bundle())
    done = runtime("exec", name, b"printf", b"%s", b"\xff\xfe", text=False)
    assert done.stdout == (b"\xff\xfe" if runtime.name == "pyrunc" else "\ufffd\ufffd".encode())


@pytest.mark.pyrunc_only("looks for another path")
def test_paths_that_are_no_text(runtime, bundle):
    b = bundle()
    place = os.fsencode(b.rootfs) + b"/data/\xff"
    os.mkdir(place)
    with open(place + b"/program", "w") as file:
        file.write("#!/bin/sh\npwd")
    os.chmod(place + b"/program", 0o755)
    name = runtime.start(b)
    done = runtime("exec", "--cwd", b"/data/\xff", name, b"/data/\xff/program", text=False)
    assert done.stdout == b"/data/\xff\n"
    said = runtime("exec", "--cwd", b"/none/\xff/../x", name, b"/none\xff", check=False)
    assert said.returncode == 255
    assert "internal error" not in said.stderr


@pytest.mark.pyrunc_only("says it otherwise")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pid-file", "/absent/pid"), "cannot write /absent/pid: no such file or directory"),
        (("--pid-file", "/proc"), "cannot write /proc: "),
        (("--cwd", "relative"), "--cwd relative: not an absolute path"),
        (("--process", "/proc"), "cannot read the process: open /proc: is a directory"),
    ],
)
def test_an_exec_that_cannot_be(runtime, bundle, words, said):
    name = runtime.start(bundle())
    assert said in runtime.refuses("exec", *words, name, "true", status=255)


@pytest.mark.pyrunc_only("says it in many ways")
def test_exec_in_a_container_that_is_just_dying(runtime, bundle):
    """Whatever fails first, the error says what it means."""
    words = ("container not running", "container does not exist", "container was deleted")
    for number in range(8):
        name = runtime.start(bundle())
        others = [runtime.popen("exec", name, "true") for _ in range(3)]
        subprocess.run(["sleep", str(number * 0.01)], check=True)
        runtime("delete", "--force", name)
        for other in others:
            said = other.communicate(timeout=20)[1]
            assert other.returncode in (0, 137, 255), said
            assert other.returncode != 255 or any(word in said for word in words), said
