"""A /proc, /sys that the image, or a configuration, fakes (CVE-2019-16884, -19921, CVE-2023-27561, CVE-2025-52881)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.swapping import swapped
from integration.looking import mountinfo, refused, volume
from integration.security import naive
from integration.security.naive import apart, caught
from integration.security.racing import TRIES, by_turns, tried
from pyrunc.run.steps import files

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle


@pytest.mark.parametrize("target", ["/data", "../../../../../{out}", "{out}", "data"])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_is_no_place_for_the_kernels_files(runtime, bundle, name, target, tmp_path):
    b = bundle("true")
    out = tmp_path / "outside"
    out.mkdir()
    (b.rootfs / name).rmdir()
    (b.rootfs / name).symlink_to(target.format(out=out))
    before = Path("/proc/self/mountinfo").read_text()
    refused(runtime, b, f"/{name}")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list(out.iterdir())


def test_a_link_is_no_place_for_the_kernels_files_bites(bundle, tmp_path):
    b = bundle()
    (b.rootfs / "proc").rmdir()
    (b.rootfs / "proc").symlink_to(tmp_path)
    script = 'cat /proc/self/mountinfo; echo; mount -t proc proc "$1/proc"; cat /proc/self/mountinfo'
    before, after = apart(script, b.rootfs).stdout.split("\n\n")
    with caught():
        assert mountinfo(before).keys() == mountinfo(after).keys()


@pytest.mark.parametrize(
    "destination",
    ["/proc", "/proc/", "//proc", "/data/../proc", "/link", "/proc/.", "/./proc"],
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nothing_else_is_mounted_on_proc(runtime, bundle, destination, kind):
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    if kind == "bind":
        b.mount(destination, "bind", str(volume(b)), "bind")
    else:
        b.mount(destination, "tmpfs", "tmpfs")
    refused(runtime, b)


@pytest.mark.parametrize(
    "destination",
    [
        "/proc/sys",
        "/proc/self/attr",
        "/proc/../proc/sys",
        "/link/sys",
        "/deep/attr",
        "/proc/sys/kernel/core_pattern",
    ],
)
def test_nothing_is_mounted_inside_proc(runtime, bundle, destination):
    """CVE-2019-16884: not even by way of a link, or the labels that are written there go elsewhere."""
    b = bundle("true")
    (b.rootfs / "link").symlink_to("/proc")
    (b.rootfs / "deep").symlink_to("/proc/self")
    if destination.endswith("core_pattern"):
        (b.path / "file").touch()
        b.mount(destination, "bind", "file", "bind")
    else:
        b.mount(destination, "bind", str(volume(b)), "bind")
    refused(runtime, b)


@pytest.mark.parametrize("name", ["meminfo", "cpuinfo", "uptime", "stat", "loadavg"])
def test_what_lxcfs_emulates_may_be(runtime, bundle, name):
    b = bundle("cat", f"/proc/{name}")
    (b.path / "file").write_text("emulated\n")
    b.mount(f"/proc/{name}", "bind", "file", "bind")
    assert runtime.output(b) == "emulated\n"


# What the runtime writes to procfs (CVE-2025-52881, CVE-2019-19921)

FAKES = ("sys/net/ipv4/ip_forward", "self/oom_score_adj", "self/attr/exec", "self/attr/keycreate", "self/setgroups", "1/oom_score_adj")


def with_a_fake_proc(b: Bundle) -> list[Path]:
    """Give B, which mounts none, a /proc of plain files; return those that the kernel's would be written to."""
    b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] not in ("/proc", "/sys", "/sys/fs/cgroup")]
    b.linux["maskedPaths"] = b.linux["readonlyPaths"] = []
    made = [b.rootfs / "proc" / name for name in FAKES]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("fake")
    return made


def still_fake(files: list[Path]) -> None:
    """Check that nobody has written to FILES."""
    assert [path.read_text() for path in files] == ["fake"] * len(files)


@pytest.mark.pyrunc_only("fails without a /proc in the container")
def test_what_is_meant_for_the_kernel_goes_nowhere_else(runtime, bundle):
    """Sysctls, the score of the OOM killer, the groups: through a descriptor of the host's own procfs."""
    b = bundle("sleep", "1000")
    fakes = with_a_fake_proc(b)
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    b.process["oomScoreAdj"] = 77
    name = runtime.start(b)
    still_fake(fakes)
    assert Path(f"/proc/{runtime.pid(name)}/oom_score_adj").read_text() == "77\n"
    seen = apart('nsenter -t "$1" -n sh -c "mount -t proc proc /proc; cat /proc/sys/net/ipv4/ip_forward"', runtime.pid(name))
    assert seen.stdout == "1\n"


def test_what_is_meant_for_the_kernel_goes_nowhere_else_bites(bundle):
    b = bundle()
    fakes = with_a_fake_proc(b)
    naive.write(b.rootfs / "proc/sys/net/ipv4/ip_forward", "1")
    with caught():
        still_fake(fakes)


def knobs(tmp_path: Path) -> tuple[Path, Path]:
    """Return a directory with a knob in `here/`, and a file outside that a link in its place would lead to."""
    root, out = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "here", out):
        directory.mkdir(parents=True)
        (directory / "knob").write_text("fake")
    return root, out / "knob"


@pytest.mark.slow_vm
@pytest.mark.pyrunc_only("it is our own guard that is called")
def test_a_knob_behind_a_swapped_link(tmp_path):
    """CVE-2025-52881, at the guard itself: below the directory that was opened, through no link, on no other mount."""
    root, victim = knobs(tmp_path)
    fd = os.open(root, os.O_PATH)
    with swapped(*by_turns(root, victim.parent)):
        assert tried(lambda *_: files.write_at(None, fd, "here/knob", "set"), root) >= TRIES
    os.close(fd)
    still_fake([victim])


@pytest.mark.slow_vm
def test_a_knob_behind_a_swapped_link_bites(tmp_path):
    root, victim = knobs(tmp_path)
    with swapped(*by_turns(root, victim.parent)):
        tried(lambda *_: naive.write(root / "here/knob", "set"), root)
    with caught():
        still_fake([victim])


@pytest.mark.pyrunc_only("it is our own guard that is called")
def test_a_knob_below_another_mount(tmp_path):
    """What is mounted inside procfs is not written to: openat2(2) with RESOLVE_NO_XDEV."""
    code = (
        "import os; from pyrunc.run.steps import files\n"
        "fd = os.open('/proc', os.O_PATH)\n"
        "try: files.write_at(None, fd, 'sys/kernel/hostname', 'set')\n"
        "except OSError as error: print(error.errno)\n"
    )
    victim = tmp_path / "victim"
    victim.write_text("fake")
    script = 'mount --bind "$1" /proc/sys/kernel/hostname; exec python3 -c "$2"'
    done = apart(script, victim, code, env={**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[3])})
    assert done.stdout == "18\n", done  # EXDEV
    still_fake([victim])
