"""What `check` sees beyond the plan: the image, what is mounted, options, and words that nobody knows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pyrunc.container.verbs.check import check
from pyrunc.words import nearest
from tests.elf import program
from tests.images import Image
from tests.samples import ABSENT, CONFIGS

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask the kernel this")
@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_nothing_is_said_where_all_is_there(image):
    assert (image.lacking(), image.warnings()) == ({}, {})


FILES = {
    "missing": None,
    "directory": "",
    "not executable": (program(), 0o644),
    "other machine": (program(machine=8), 0o755),
    "object": (program(kind=1), 0o755),
    "empty": (b"", 0o755),
    "text": (b"echo a\n", 0o755),
    "script of nothing": (b"#!\necho\n", 0o755),
    "script without its interpreter": (b"#!/bin/nosuch -x\n", 0o755),
    "script with the line ends of Windows": (b"#!/bin/run\r\n", 0o755),
    "without its loader": (program(loader="/lib64/ld-nosuch.so"), 0o755),
}
WORDS = {
    "missing": "no such file",
    "directory": "is a directory",
    "not executable": "nobody may execute it",
    "other machine": "made for mips",
    "object": "damaged",
    "empty": "the file is empty",
    "text": "begins with #!",
    "script of nothing": "nothing follows #!",
    "script without its interpreter": 'interpreter "/bin/nosuch"',
    "script with the line ends of Windows": "CR LF",
    "without its loader": "/lib64/ld-nosuch.so",
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("over", ["", "/opt", "/lib64", "/bin"])
def test_a_program_that_cannot_run(image, what, over):
    """It is said, unless something is mounted over what would have to be looked at."""
    found = FILES[what]
    if found is None:
        (image.root / "opt").mkdir()
    elif found == "":
        (image.root / "opt/x").mkdir(parents=True)
    else:
        image.file("opt/x", *found)
    image.document["process"]["args"] = ["/opt/x"]
    hidden = over == "/opt" or (over == "/lib64" and "loader" in what) or (over == "/bin" and "#!/bin" in str(found))
    if over:
        image.mount(over, type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    said = image.lacking()
    assert list(said) == ([] if hidden else ["/process/args/0"])
    assert hidden or WORDS[what] in said["/process/args/0"]


@pytest.mark.parametrize(
    ("env", "found"),
    [
        (["PATH=/none:/bin"], True),
        (["PATH=/none"], False),
        ([], False),
        (["PATH=/bin", "PATH=/none"], False),
        (["PATH=bin"], True),
    ],
)
def test_along_the_path(image, env, found):
    image.document["process"]["env"] = env
    assert list(image.lacking()) == ([] if found else ["/process/args/0"])


@pytest.mark.parametrize(
    ("path", "said"), [("/none:/m:/bin", False), ("/none:/m", False), ("/broken:/m", True), ("/m:/broken", False)]
)
def test_a_path_that_leads_over_a_mount(image, path, said):
    """What is found before it counts; after it nothing is known."""
    image.file("broken/run", program(machine=8))
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    image.document["process"]["env"] = [f"PATH={path}"]
    assert list(image.lacking()) == (["/process/args/0"] if said else [])


@pytest.mark.parametrize("target", ["/m/run", "../m/run", "/loop/../m/run"])
def test_a_link_that_leads_below_a_mount(image, target):
    (image.root / "m").mkdir()
    (image.root / "loop").symlink_to("/loop2")
    (image.root / "loop2").symlink_to("/bin")
    (image.root / "bin/x").symlink_to(target)
    image.document["process"]["args"] = ["x"]
    assert list(image.lacking()) == ["/process/args/0"]
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    assert image.lacking() == {}


def test_a_mount_point_that_is_a_link(image):
    (image.root / "real").mkdir()
    (image.root / "link").symlink_to("real")
    image.mount("/link", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    image.document["process"]["args"] = ["/real/run"]
    assert image.lacking() == {}


def test_links_of_the_image_stay_in_it(image):
    (image.root / "bin/x").symlink_to("/../../../../bin/run")
    image.document["process"]["args"] = ["/bin/x"]
    assert image.lacking() == {}
    (image.root / "bin/x").unlink()
    (image.root / "bin/x").symlink_to("/bin/sh")  # which the host has
    assert list(image.lacking()) == ["/process/args/0"]


@pytest.mark.parametrize("closed", ["bin", "bin/run"])
def test_what_we_may_not_look_at(image, closed):
    """Others than root say nothing of it."""
    (image.root / closed).chmod(0o100)
    (image.bundle / "config.json").write_text(json.dumps(image.document))
    if os.geteuid():
        assert check(str(image.bundle)).lacking == ()
        return
    for directory in (image.bundle, *image.bundle.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        os._exit(len(check(str(image.bundle)).lacking))
    assert os.waitpid(pid, 0)[1] == 0


def test_what_hooks_may_bring(image):
    image.document["process"]["args"] = ["nosuch"]
    image.document["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    assert image.lacking() == {}
    image.document["hooks"] = {"poststop": [{"path": "/bin/true"}]}
    assert list(image.lacking()) == ["/process/args/0"]


@pytest.mark.parametrize(
    ("cwd", "fine"),
    [("/bin", True), ("/made/later", True), ("/bin/run", False), ("/bin/run/x", False), ("/bin/loop", False)],
)
def test_the_directory(image, cwd, fine):
    (image.root / "bin/loop").symlink_to("loop")
    image.document["process"]["cwd"] = cwd
    assert list(image.lacking()) == ([] if fine else ["/process/cwd"])
    image.mount("/bin", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    assert image.lacking() == {}


@ROOT
@pytest.mark.parametrize(
    ("mode", "user", "effective", "fine"),
    [
        (0o700, {"uid": 1000, "gid": 1000}, [], False),
        (0o700, {"uid": 1000, "gid": 1000}, ["CAP_DAC_OVERRIDE"], True),
        (0o710, {"uid": 1000, "gid": 0}, [], True),
        (0o710, {"uid": 1000, "gid": 1000, "additionalGids": [0]}, [], True),
        (0o701, {"uid": 1000, "gid": 1000}, [], True),
        (0o700, {"uid": 0, "gid": 0}, [], True),
        (0o010, {"uid": 0, "gid": 0}, [], False),
    ],
)
def test_as_the_container_s_user(image, mode, user, effective, fine):
    """Both for the file and for a directory on the way."""
    sets = {"effective": effective, "permitted": effective}
    image.document["process"] |= {"user": user, "capabilities": sets}
    image.file("bin/run", program(), mode)
    assert list(image.lacking()) == ([] if fine else ["/process/args/0"])
    image.file("bin/run", program())
    (image.root / "bin").chmod(mode)
    assert list(image.lacking()) == ([] if fine else ["/process/args/0"])


def test_a_source_that_is_missing(image, tmp_path):
    image.mount("/a", type="bind", source="/no/such", options=["bind"])
    image.mount("/b", source="nosuch", options=["rbind"])
    image.mount("/c", type="bind", source=str(tmp_path), options=["bind"])
    said = image.lacking()
    assert list(said) == ["/mounts/0/source", "/mounts/1/source"]
    assert f"{tmp_path}/nosuch: no such file" in said["/mounts/1/source"]


@pytest.mark.parametrize(
    ("earlier", "fine"), [("/made", True), ("/made/x/y", True), ("/link", True), ("/made/xy", False), ("/other", False)]
)
def test_a_source_that_an_earlier_mount_may_bring(image, tmp_path, earlier, fine):
    """Or make, as a mount point."""
    (image.root / "link").symlink_to("/made")
    image.document["process"]["args"] = ["/m/run"]
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    image.mount(earlier, type="bind", source=str(tmp_path), options=["bind"])
    image.mount("/d", type="bind", source=f"{tmp_path}/rootfs/made/x", options=["bind"])
    assert list(image.lacking()) == ([] if fine else ["/mounts/2/source"])


def test_a_mount_on_the_root_itself(image):
    image.mount("/bin/..", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    assert "leads to the root" in image.lacking()["/mounts/0/destination"]


@pytest.mark.parametrize(
    ("destination", "source", "fine"),
    [
        ("/bin/run", "directory", False),
        ("/bin/run", "file", True),
        ("/bin", "file", False),
        ("/bin", "directory", True),
        ("/bin/run/x", "file", False),
        ("/new/x", "file", True),
    ],
)
def test_where_a_bind_mount_cannot_be(image, tmp_path, destination, source, fine):
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    image.document["process"]["args"] = ["/m/run"]
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup"])
    image.mount(destination, type="bind", source=source, options=["bind"])
    assert list(image.lacking()) == ([] if fine else ["/mounts/1/destination"])
    image.document["mounts"].insert(1, {"destination": "/bin", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    assert list(image.lacking()) == (["/mounts/2/destination"] if (destination, source) == ("/bin", "file") else [])


@pytest.mark.parametrize(
    ("kind", "inside", "fine"),
    [
        ("proc", "hosts", False),
        ("proc", "sys/nosuch", False),
        ("proc", "sys/kernel", True),
        ("proc", "4194300/x", True),
        ("sysfs", "x", False),
        ("sysfs", "kernel", True),
        ("devpts", "x", False),
        ("tmpfs", "x", True),
        ("mqueue", "x", True),
    ],
)
def test_nothing_can_be_made_where_the_kernel_makes_what_there_is(image, kind, inside, fine):
    image.mount("/etc", type=kind, source=kind)
    image.mount(f"/etc/{inside}", type="tmpfs", source="tmpfs")
    assert list(image.lacking()) == ([] if fine else ["/mounts/1/destination"])


@pytest.mark.parametrize(
    ("options", "fine"),
    [
        (["size=4k"], False),
        (["size=8k"], True),
        (["size=5000"], True),
        (["size=4k", "size=1M"], True),
        (["size=10%"], True),
        (["size=0"], True),
        ([], True),
        (["nr_inodes=4"], False),
        (["nr_inodes=5"], True),
        (["nr_inodes=1k"], True),
        (["size=x"], True),
    ],
)
def test_what_is_copied_up_fits(image, options, fine):
    """A page and a half of a file, two directories, and a link: three entries, and the top."""
    image.file("m/a/file", "x" * 4097)
    (image.root / "m/b").mkdir()
    (image.root / "m/link").symlink_to("a")
    image.mount("/m", type="tmpfs", source="tmpfs", options=["tmpcopyup", *options])
    assert list(image.lacking() if "size=x" not in options else []) == ([] if fine else ["/mounts/0/options/0"])
    image.document["mounts"].insert(0, {"destination": "/m", "type": "tmpfs", "source": "tmpfs"})
    assert image.lacking() == {} or "size=x" in options


def test_a_remount_below_a_file(image):
    image.mount("/bin/run/x", type="bind", source="/etc", options=["remount", "bind", "ro"])
    (said,) = image.lacking().items()
    assert said[0] == "/mounts/0/destination"
    assert "not a directory" in said[1]


@pytest.mark.parametrize(
    ("first", "second", "fine"), [("directory", "file", False), ("file", "directory", False), ("file", "file", True)]
)
def test_a_mount_upon_one_of_the_other_kind(image, tmp_path, first, second, fine):
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    for each in (first, second):
        image.mount("/m", type="bind", source=str(tmp_path / each), options=["bind"])
    assert list(image.lacking()) == ([] if fine else ["/mounts/1/destination"])


def test_a_link_below_proc(image):
    (image.root / "proc").symlink_to("bin")
    image.mount("/proc", type="proc", source="proc")
    assert "symbolic link" in image.lacking()["/mounts/0/destination"]


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ([], "lowerdir"),
        (["lowerdir=/etc"], "second directory"),
        (["lowerdir=/etc:/usr"], ""),
        (["lowerdir=/etc", "upperdir=/tmp"], "workdir"),
        (["lowerdir=/etc", "upperdir=/etc", "workdir=/usr"], ""),
        (["lowerdir=/etc", "upperdir=/etc", "workdir=/etc/."], "neither"),
        (["lowerdir=/etc", "upperdir=/etc", "workdir=/proc"], "one mount"),
    ],
)
def test_an_overlay_without_what_it_needs(image, options, lacks):
    image.mount("/m", type="overlay", source="overlay", options=options)
    said = image.lacking().get("/mounts/0", "")
    assert bool(said) == bool(lacks)
    assert lacks in said


@pytest.mark.parametrize(("kind", "hint"), [("none", "bind missing"), ("tmpf", "did you mean tmpfs?"), ("zzz", "its module")])
def test_a_type_that_there_is_not(image, kind, hint):
    image.mount("/m", type=kind, source="/etc", options=["rbnd"])
    assert hint in image.lacking()["/mounts/0/type"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/proc/self/ns/net", ""),
        ("/proc/self/ns/uts", "another type"),
        ("/etc/passwd", "another type"),
        ("/etc", "another type"),
        ("/no/such", "no such file"),
        ("/etc/passwd/x", "not a directory"),
    ],
)
def test_a_namespace_to_be_joined(image, path, says):
    image.document["linux"]["namespaces"].append({"type": "network", "path": path})
    said = image.lacking()
    assert list(said) == (["/linux/namespaces/2/path"] if says else [])
    assert says in "".join(said.values())


def test_more_open_files_than_the_machine_lets_anybody_have(image):
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    image.document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": most + 1, "soft": 1}]
    assert list(image.lacking()) == ["/process/rlimits/0/hard"]
    image.document["process"]["rlimits"][0]["hard"] = 64
    assert image.lacking() == {}


@ROOT
@pytest.mark.parametrize(
    ("kind", "options", "place", "hint"),
    [
        ("tmpfs", ["size=1m", "nosiud"], "options/1", "did you mean nosuid?"),
        ("tmpfs", ["ro,sise=1m"], "options/0", "did you mean size?"),
        ("tmpfs", ["size=12q"], "options/0", "size"),
        ("tmpfs", ["mode=9"], "options/0", "mode"),
        ("proc", ["hidpid=2"], "options/0", "did you mean hidepid?"),
        ("devpts", ["newinstance", "ptmxmod=666"], "", "ptmxmod"),
        ("tmpfs", ["size=10%", "mode=1777", "noatime", "nr_inodes=1k"], None, ""),
        ("devpts", ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"], None, ""),
    ],
)
def test_options_of_file_systems(image, kind, options, place, hint):
    (image.root / "m").mkdir()
    image.mount("/proc" if kind == "proc" else "/m", type=kind, source=kind, options=options)
    said = image.lacking()
    assert [each.startswith(f"/mounts/0/{place}".rstrip("/")) for each in said] == ([] if place is None else [True])
    assert all(hint in text for text in said.values())


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("/process/noNewPriviliges", "noNewPrivileges"),
        ("/process/nonewprivileges", "noNewPrivileges"),
        ("/root/readOnly", "readonly"),
        ("/linux/resource", "resources"),
        ("/linux/resources/memory/limits", "limit"),
        ("/linux/namespaces/0/pth", "path"),
        ("/mount", "mounts"),
        ("/process/user/zzz", ""),
    ],
)
def test_fields_that_nobody_knows(image, place, near):
    found = image.document
    *steps, last = place.split("/")[1:]
    for step in steps:
        found = found[int(step)] if isinstance(found, list) else found.setdefault(step, {})
    found[last] = True
    assert image.warnings() == {place: f"it is ignored: {f'did you mean {near}?' if near else 'remove it'}"}


def test_names_that_are_anybody_s(image):
    """Keys of maps, and what the specification has for other platforms."""
    image.document |= {"annotations": {"anything": "x"}, "windows": {"x": 1}, "vm": {}, "hostname": None}
    assert image.warnings() == {}


@pytest.mark.parametrize("word", ["src-nofollow", "copy-symlink", ""])
def test_a_source_that_is_a_link_to_nothing(image, tmp_path, word):
    """It is what is asked for where the link itself is."""
    (tmp_path / "link").symlink_to("/is/nowhere")
    mount = {"destination": "/here", "type": "bind", "source": str(tmp_path / "link"), "options": ["bind", *filter(None, [word])]}
    image.document["mounts"] = [mount]
    assert [each.pointer for each in image.check().lacking if each.pointer.startswith("/mounts")] == (
        [] if word else ["/mounts/0/source"]
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("run.oci.hooks.stdot", "it is ignored: did you mean run.oci.hooks.stdout?"),
        ("run.oci.zzz", "it is ignored: correct the name, or remove it"),
        ("run.oci.handler", "no other handler runs containers here: use crun for krun and wasm"),
        ("run.oci.timens_offset", "use linux.timeOffsets, the specification's own"),
    ],
)
def test_annotations_in_crun_s_name_that_mean_nothing_here(image, name, hint):
    image.document |= {"annotations": {name: "1", "run.oci.keep_original_groups": "1", "run.ocelot": "1"}}
    assert image.warnings() == {f"/annotations/{name}": hint}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.oci.keep_original_groups", "yes"),
        ("run.oci.hooks.stdout", "relative"),
        ("run.oci.pidfd_receiver", ""),
        ("run.oci.mount_context_type", "file"),
    ],
)
def test_annotations_of_crun_s_with_a_value_that_means_nothing(image, name, text):
    image.document |= {"annotations": {name: text}}
    assert [each.pointer for each in image.check().violations] == [f"/annotations/{name}"]


def test_a_capability_that_no_kernel_has(image):
    image.document["process"]["capabilities"] = {"bounding": ["CAP_KILL", "CAP_NET_BIND"]}
    assert image.warnings() == {"/process/capabilities/bounding/1": "it is ignored: did you mean CAP_NET_BIND_SERVICE?"}


def test_nearest():
    assert nearest("nosiud", ["nosuid", "nodev"]) == "nosuid"
    assert nearest("zzz", ["nosuid"]) == ""


@ABSENT
@pytest.mark.parametrize("sample", CONFIGS, ids=lambda each: each.stem)
def test_nothing_is_said_of_what_engines_write(image, tmp_path, sample):
    """Over an image with its program, with sources and hooks that are there."""
    document = json.loads(sample.read_text())
    document["root"]["path"] = "rootfs"
    for index, mount in enumerate(document.get("mounts", [])):
        if mount["type"] == "bind":
            mount["source"] = f"source{index}"
            (tmp_path / mount["source"]).write_text("")
    for hooks in document.get("hooks", {}).values():
        for hook in hooks:
            hook["path"] = "/bin/sh"
    image.file("bin/sh", program())
    name = document["process"]["args"][0]
    image.document = document
    image.file(name.lstrip("/") if "/" in name else f"bin/{name}", program())
    report = image.check()
    kept = [each for each in report.lacking if not each.pointer.startswith("/linux/")]
    assert (kept, report.warnings) == ([], ())


@pytest.mark.parametrize("args", [["run"], ["/bin/run"]])
@pytest.mark.parametrize(
    ("mount", "fine"),
    [
        ({"type": "tmpfs", "source": "tmpfs"}, False),
        ({"type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}, True),
        ({"type": "bind", "source": "{empty}", "options": ["bind"]}, False),
        ({"type": "bind", "source": "{full}", "options": ["bind"]}, True),
        ({"type": "bind", "source": "{link}", "options": ["bind"]}, True),
        ({"type": "proc", "source": "proc"}, False),
    ],
)
def test_a_program_below_a_mount_whose_content_is_known(image, tmp_path, args, mount, fine):
    """What is surely not there is said; a link, or what is there, is not followed."""
    for name in ("empty", "full", "link"):
        (tmp_path / name).mkdir()
    (tmp_path / "full/run").write_bytes(program())
    (tmp_path / "link/run").symlink_to("/nosuch")
    image.document["process"]["args"] = args
    image.mount("/bin", **{**mount, "source": mount["source"].format(**{n: tmp_path / n for n in ("empty", "full", "link")})})
    assert list(image.lacking()) == ([] if fine else ["/process/args/0"])


@pytest.mark.parametrize("name", ["self/exe", "1/exe"])
def test_a_program_that_is_a_process(image, name):
    image.mount("/bin", type="proc", source="proc")
    image.document["process"]["args"] = [f"/bin/{name}"]
    assert image.lacking() == {}


def test_a_directory_that_is_masked_has_no_program(image):
    image.document["linux"]["maskedPaths"] = ["/bin"]
    assert list(image.lacking()) == ["/process/args/0"]


def test_an_argument_that_is_too_long(image):
    image.document["process"]["env"].append("A=" + "b" * 131069)
    assert image.lacking() == {}
    image.document["process"]["env"][-1] += "b"
    assert "too long" in image.lacking()["/process/args/0"]
