"""What CRIU is told and what it says: encoding, options, keys, streams, logs; and what an image may not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.criu import externals, messages, options, protobuf, report, streams, verify
from pyrunc.criu.options import CriuOptions, DumpOptions
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError, UsageError
from pyrunc.host import mounted
from pyrunc.linux.mount import MOUNT_ATTR_NOEXEC as NOEXEC
from pyrunc.linux.mount import MOUNT_ATTR_RDONLY as RDONLY
from pyrunc.linux.process import CLONE_NEWNET
from pyrunc.oci import config as oci
from pyrunc.plan.paths import cleaned
from tests.machines import MACHINES

V1, V2 = MACHINES["v1"], MACHINES["v2"]
WORDS = st.integers(-(2**63), 2**63 - 1)
INNER = {"n": (1, protobuf.INT)}
TABLE = {"number": (1, protobuf.INT), "truth": (2, protobuf.BOOL), "text": (300, protobuf.TEXT), "inner": (4, INNER)}
MESSAGES = {"number": WORDS, "truth": st.booleans(), "text": st.text(), "inner": st.fixed_dictionaries({"n": WORDS})}
TABLES = {"opts": messages.OPTIONS, "req": messages.REQUEST, "resp": messages.RESPONSE, "features": messages.FEATURES}
FLAGS = ("tcp_established", "ext_unix_sk", "shell_job", "file_locks", "auto_dedup", "lazy_pages")


# Encoding


@pytest.mark.parametrize(
    ("message", "data"),
    [
        # from protobuf.dev, "Encoding"
        ({"number": 150}, "089601"),
        ({"number": -2}, "08feffffffffffffffff01"),
        ({"truth": True}, "1001"),
        ({"text": "testing"}, "e2120774657374696e67"),
        ({"inner": {"n": 150}}, "2203089601"),
        ({"number": None, "text": ["a", "b"]}, "e2120161e2120162"),
        ({"number": []}, ""),
    ],
)
def test_messages_as_the_documentation_has_them(message, data: str):
    assert protobuf.encode(TABLE, message).hex() == data


@given(st.fixed_dictionaries(MESSAGES))
def test_what_is_encoded_is_decoded(message):
    assert protobuf.decode(TABLE, protobuf.encode(TABLE, message)) == message


@given(st.binary(max_size=60))
def test_nonsense_is_a_message_or_a_value_error(data: bytes):
    try:
        protobuf.decode(messages.RESPONSE, data)
    except ValueError:
        pass


def test_unknown_fields_are_passed_over():
    more = {**TABLE, "new": (9, protobuf.TEXT), "fixed": (10, protobuf.INT)}
    data = protobuf.encode(more, {"new": "x", "number": 7, "fixed": 3})
    data += bytes((11 << 3 | protobuf.FIXED32, 1, 2, 3, 4)) + bytes((12 << 3 | protobuf.FIXED64, *range(8)))
    assert protobuf.decode(TABLE, data) == {"number": 7}


def test_no_field_is_made_up():
    with pytest.raises(KeyError):
        protobuf.encode(messages.OPTIONS, {"image_dir_fd": 3})


def test_numbers_are_those_of_the_installed_criu():
    """rpc.proto comes with CRIU's headers."""
    path = Path("/usr/include/criu/rpc.proto")
    if not path.exists():
        pytest.skip("CRIU's headers are not installed")
    found: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines():
        words = line.replace("=", " ").replace(";", " ").split()
        if words[:1] == ["message"]:
            found[words[1]] = (message := {})
        elif words[:1] and words[0] in ("optional", "required", "repeated"):
            message[words[2]] = int(words[3])
    for name, table in TABLES.items():
        for field, (number, _) in table.items():
            assert found[f"criu_{name}"][field] == number, field


# Options


def test_defaults_are_runcs():
    told = options.common(CriuOptions(), {})
    assert told["manage_cgroups_mode"] == 6
    assert told["empty_ns"] == CLONE_NEWNET
    assert told["config_file"] == "/etc/criu/runc.conf"
    assert not any(told[name] for name in FLAGS)
    assert options.images(CriuOptions()) == f"{os.getcwd()}/checkpoint"
    assert options.logs(CriuOptions(images="/i")) == "/i"


@pytest.mark.parametrize(("value", "told"), [("/etc/mine", "/etc/mine"), ("", None)])
def test_an_annotation_names_crius_own_configuration(value: str, told: str | None):
    assert options.common(CriuOptions(), {"org.criu.config": value})["config_file"] == told


@pytest.mark.parametrize(
    ("text", "address", "port"), [("127.0.0.1:27", "127.0.0.1", 27), ("[::1]:65535", "::1", 65535), ("host:1", "host", 1)]
)
def test_page_server(text: str, address: str, port: int):
    assert options.page_server(text) == {"address": address, "port": port}


@pytest.mark.parametrize("text", ["x", "x:", ":1", "x:y", "x:0", "x:65536", "x:-1", "x:99999999999", "[]:1"])
def test_no_page_server(text: str):
    with pytest.raises(UsageError):
        options.page_server(text)


def test_words_that_are_none():
    with pytest.raises(UsageError, match="one of ignore, none, soft, full, strict"):
        options.mode("hard")
    with pytest.raises(UsageError, match="network is"):
        options.empty(("network", "ipc"))


def test_the_parent_is_relative_to_the_image_and_a_directory(tmp_path: Path):
    (tmp_path / "first").mkdir()
    (tmp_path / "file").touch()
    asked = DumpOptions(images=str(tmp_path / "second"))
    (tmp_path / "second").mkdir()
    assert options.parent(asked) is None
    assert options.parent(asked.replace(parent="../first")) == "../first"
    for wrong in (str(tmp_path / "first"), "../none", "../file"):
        with pytest.raises(UsageError):
            options.parent(asked.replace(parent=wrong))


def test_directories_are_made_for_nobody_else(tmp_path: Path):
    path = tmp_path / "a/b"
    os.close(options.open_directory(str(path), "--image-path", make=True))
    assert [p.stat().st_mode & 0o777 for p in (path, path.parent)] == [0o711, 0o711]
    with pytest.raises(UsageError, match=r"--image-path: cannot use .*/c: no such file"):
        options.open_directory(str(tmp_path / "c"), "--image-path", make=False)


# What is outside


def config(**changes):
    document = {
        "ociVersion": "1.2.0",
        "process": {"cwd": "/", "args": ["sh"]},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": kind} for kind in ("mount", "pid", "network", "ipc", "uts")]},
    }
    document.update(changes)
    return oci.config(document, "")


def bind(destination: str, source: str, *words: str):
    return {"destination": destination, "source": source, "type": "bind", "options": ["bind", *words]}


def test_keys_say_nothing_and_are_the_same_however_a_path_is_written():
    written = config(mounts=[bind("/a//b/.", "/secret/place", "ro")])
    (one,) = externals.mounts(cleaned(written, "/bundle/rootfs"), V2, "/bundle", ())
    assert one.key == externals.key("/a/b")
    assert one.key.startswith("pyrunc-")
    assert not any(word in one.key for word in ("/", "secret", "place"))
    assert one.attributes & RDONLY
    assert one.key != externals.key("/a")


def test_which_mounts_are_external():
    found = externals.mounts(
        config(
            mounts=[
                bind("/x", "relative"),
                {"destination": "/proc", "type": "proc"},
                bind("/y", "/y", "ro", "rw"),
                bind("/y", "/y", "remount", "ro"),
                bind("/z", "/z", "ro"),
            ]
        ),
        V2,
        "/bundle",
        (),
    )
    assert [(each.destination, each.source, bool(each.attributes & RDONLY), each.at) for each in found] == [
        ("/x", "/bundle/relative", False, "/mounts/0"),
        ("/y", "/y", False, "/mounts/2"),
        ("/z", "/z", True, "/mounts/4"),
    ]


def test_devices_are_bound_in_a_user_namespace():
    fuse = {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}
    linux = {"namespaces": [{"type": "mount"}, {"type": "user"}], "devices": [fuse]}
    found = [each.destination for each in externals.mounts(config(linux=linux), V2, "/b", ())]
    assert {"/dev/null", "/dev/fuse"} <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("linux", "pointer"),
    [
        ({"namespaces": []}, "/linux/namespaces"),
        ({"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]}, "/linux/namespaces"),
        ({"namespaces": [{"type": "mount"}], "rootfsPropagation": "rshared"}, "/linux/rootfsPropagation"),
        ({"namespaces": [{"type": "mount"}], "netDevices": {"eth0": {}}}, "/linux/netDevices"),
    ],
)
def test_what_would_not_come_back(linux, pointer: str):
    with pytest.raises(UnsupportedError) as caught:
        externals.refuse(config(linux=linux))
    assert caught.value.pointer == pointer


def test_points_are_those_that_are_mounted_and_what_came_along():
    rows = [row("/"), row("/data"), row("/data/below"), row("/database"), row("/own")]
    found = {"/link": "/data", "/gone": "/nowhere"}
    assert externals.points(found, rows, {"/link", "/gone"}) == {
        "/data": externals.key("/link"),
        "/data/below": externals.key("/link/below"),
    }


# Streams


def test_streams_take_the_names_of_the_old_ones(tmp_path: Path):
    fd = os.open(tmp_path, os.O_RDONLY)
    streams.write(fd, ["/dev/pts/0", "pipe:[7]", "pipe:[7]"])
    assert streams.inherited(streams.read(fd, str(tmp_path))) == {"pipe:[7]": 1}
    streams.write(fd, ["file[1c:2]", "tty[8800:18]", "net[4026531840]"])
    assert list(streams.inherited(streams.read(fd, str(tmp_path))).values()) == [0, 1]
    os.close(fd)


@pytest.mark.parametrize("text", [None, "{}", "[1]", "[", '"x"'])
def test_a_directory_that_is_no_image(tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "descriptors.json").write_text(text)
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigError):
        streams.read(fd, str(tmp_path))
    os.close(fd)


def test_streams_by_where_they_lead(tmp_path: Path):
    """This process's own: a file that is not on a mount of the container's is named by mount and inode."""
    pid = os.fork()
    if pid == 0:
        read, _write = os.pipe()
        file = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
        os.dup2(read, 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    try:
        inode = (tmp_path / "out").stat().st_ino
        names = streams.names(pid, [])
        assert names[0].startswith("pipe:[")
        assert names[1] == names[2]
        assert names[1].startswith("file[")
        assert names[1].endswith(f":{inode:x}]")
        assert streams.external(names) == [names[1]]
        assert streams.names(pid, mounted.rows(pid))[1] == str(tmp_path / "out")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


# What CRIU says

LOG = """\
(00.000001) Running with root
(00.1) Error (criu/a.c:1): one
(00.2)     12: Error (criu/b.c:2): two
(00.3) pie: 1: Error (criu/c.c:3): three
(00.4) Warn  (criu/d.c:4): not this
(00.5) Error (criu/e.c:5): Found TCP socket, consider using --tcp-established
(00.6) Error (criu/f.c:6): Dumping FAILED.
"""


def test_the_last_errors_of_the_log_and_what_to_do(tmp_path: Path):
    (tmp_path / "dump.log").write_text(LOG)
    error = report.failed("checkpoint the container", str(tmp_path / "dump.log"), {"type": 1})
    assert str(error) == (
        "criu failed to checkpoint the container: Error (criu/b.c:2): two; Error (criu/c.c:3): three; "
        "Error (criu/e.c:5): Found TCP socket, consider using --tcp-established; Error (criu/f.c:6): Dumping FAILED.; "
        f"log file: {tmp_path}/dump.log (allow connections by --tcp-established)"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [({}, "it ended without an answer"), ({"cr_errmsg": "no\n"}, "no"), ({"cr_errno": 3}, "it does not say why (errno 3)")],
)
def test_without_a_log(tmp_path: Path, answer, said: str):
    assert f"failed to x: {said}; log file: {tmp_path}/none" in str(report.failed("x", f"{tmp_path}/none", answer))


# What an image may not do


def row(point: str, device: str = "8:1", root: str = "/", options: str = "rw", kind: str = "ext4"):
    return mounted.parse(f"1 0 {device} {root} {point} {options},relatime shared:1 - {kind} /dev/x rw")[0]


SHOWN = (verify.Shown("8:1", "/b/rootfs", 0), verify.Shown("8:1", "/ro", RDONLY | NOEXEC), verify.Shown("8:1", "/ro/but", 0))
HOST = {"8:1", "0:5", "0:20"}
FINE = [
    row("/", root="/b/rootfs"),
    row("/x", root="/ro", options="ro,noexec"),
    row("/x/y", root="/ro/z", options="noexec,ro,nosuid"),
    row("/z", root="/ro/but"),
    row("/tmp", "0:99", kind="tmpfs"),
    row("/proc", "0:98", kind="proc"),
    row("/sys/fs/cgroup", "0:20", "/x", kind="cgroup2"),
]


def test_mounts_as_they_should_be():
    assert verify.mounts(config(), FINE, SHOWN, HOST) == []


def test_mounts_that_lack_something():
    some = [row("/x", root="/ro"), row("/w", root="/ro/sub", options="ro"), row("/v", root="/ro/sub", options="noexec")]
    found = verify.mounts(config(), [*FINE, *some], SHOWN, HOST)
    assert [(each.point, bits) for each, bits in found] == [("/x", RDONLY | NOEXEC), ("/w", NOEXEC), ("/v", RDONLY)]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (row("/w", root="/etc"), "/w shows /etc of the host's ext4"),
        (row("/w", root="/rot", options="ro"), "/w shows /rot"),
        (row("/w", "0:5", kind="devtmpfs"), "/w shows / of the host's devtmpfs"),
        (row("/w", "0:5", kind="proc"), "/w shows / of the host's proc"),
    ],
)
def test_mounts_as_they_should_not_be(bad, what: str):
    with pytest.raises(PyruncError) as caught:
        verify.mounts(config(), [*FINE, bad], SHOWN, HOST)
    assert what in str(caught.value)


def test_the_hosts_proc_is_for_who_has_no_pid_namespace():
    without = config(linux={"namespaces": [{"type": "mount"}]})
    assert not verify.mounts(without, [row("/w", "0:5", kind="proc")], SHOWN, HOST)


def test_this_process_is_no_container():
    """It has the host's namespaces, which is the first thing that is found."""
    with pytest.raises(PyruncError, match="is in the host's mount namespace"):
        list(verify.check(config(), os.getpid(), (), SHOWN, HOST))


# Mounts of this machine


def test_mountinfo_without_its_escapes():
    found = mounted.parse(r"36 35 98:0 /mnt\0401 /a\134b\011c ro,noatime master:1 - ext3 /dev/root rw")
    assert found == [mounted.Row(36, 35, "98:0", "/mnt 1", "/a\\b\tc", ("ro", "noatime"), "ext3")]
    assert found[0].readonly


def test_what_a_path_is_on(tmp_path: Path):
    device, root = mounted.shown(str(tmp_path))
    assert root.endswith(str(tmp_path.resolve())[-20:])
    assert device in {r.device for r in mounted.rows()}
    assert mounted.shown("/proc/self") == mounted.shown(f"/proc/{os.getpid()}")
    assert mounted.below(str(tmp_path / "none")) == []
    assert "/proc" in mounted.below("/")


def test_cgroups_are_external_without_a_namespace_of_them():
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
    from pyrunc.cgroup import paths

    unified = paths.places(V2.cgroups, "/web", "web")
    (one,) = externals.mounts(config(mounts=[mount]), V2, "/b", unified)
    assert (one.destination, one.source, bool(one.attributes & RDONLY)) == ("/sys/fs/cgroup", unified[-1].directory, True)
    several = paths.places(V1.cgroups, "/web", "web")
    found = list(externals.mounts(config(mounts=[mount]), V1, "/b", several))
    assert {each.source for each in found} == {place.directory for place in several if place.controllers != ("",)}
    linux = {"namespaces": [{"type": "mount"}, {"type": "cgroup"}]}
    assert not list(externals.mounts(config(mounts=[mount], linux=linux), V2, "/b", unified))
