"""A descriptor of the host's as directory or program, or left open (CVE-2024-21626)."""

from __future__ import annotations

import os
import subprocess

import pytest

from integration.looking import compiled, refused, with_probe
from integration.security.naive import caught

FORMS = ["/proc/self/fd/{}", "/proc/thread-self/fd/{}", "/proc/1/fd/{}", "/proc/self/fd/{}/../.."]


@pytest.mark.parametrize("form", FORMS)
def test_a_directory_that_is_a_descriptor(runtime, bundle, form):
    b = with_probe(bundle(), "cwd")
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 64):
        b.process["cwd"] = form.format(number)
        done = runtime.run(b, check=False)
        assert done.returncode != 0 or done.stdout in ("/\n", "/proc\n"), done.stdout


@pytest.mark.parametrize("number", [3, 6, 7, 8, 9, 63])
def test_a_link_to_a_descriptor_as_directory(runtime, bundle, number):
    b = with_probe(bundle(), "cwd")
    (b.rootfs / "link").symlink_to(f"/proc/self/fd/{number}")
    b.process["cwd"] = "/link"
    refused(runtime, b)


@pytest.mark.parametrize("number", [3, 5, 6, 7, 8, 9, 10])
def test_a_descriptor_as_directory_of_exec(runtime, bundle, number):
    b = with_probe(bundle())
    (b.rootfs / "link").symlink_to(f"/proc/self/fd/{number}")
    name = runtime.start(b)
    for cwd in (f"/proc/self/fd/{number}", "/link"):
        done = runtime("exec", "--cwd", cwd, name, "probe", "cwd", check=False)
        assert done.returncode == 255, done.stdout


@pytest.mark.parametrize("number", [3, 6, 7, 8, 9])
def test_a_program_by_way_of_a_descriptor(runtime, bundle, number):
    for path in (f"/proc/self/fd/{number}/bin/true", f"/proc/self/fd/{number}/../../../bin/true"):
        refused(runtime, bundle(path))


# Descriptors that somebody has left open


@pytest.fixture
def leaking(tmp_path):
    """Open what an engine may have left open: pipes, directories of the host, a high number."""
    read, write = os.pipe()
    held = [read, write, os.open("/", os.O_RDONLY), os.open(tmp_path, os.O_PATH), os.open("/etc/hostname", os.O_RDONLY)]
    held.append(os.dup2(held[2], 300))
    yield tuple(held)
    for fd in held:
        os.close(fd)


def only(text: str, *more: int) -> None:
    """Check that TEXT, what the probe prints, has the three standard descriptors and MORE."""
    assert [int(word) for word in text.split()] == [0, 1, 2, *more]


def within(text: str) -> None:
    """Check that TEXT, what getcwd(2) says, is inside the root."""
    assert text.startswith("/")


def test_what_the_caller_left_open_is_closed(runtime, bundle, leaking):
    """In run, in exec, and in a hook that runs inside; and no directory of the host's is the current one."""
    only(runtime.output(with_probe(bundle(), "fds"), pass_fds=leaking))
    within(runtime.output(with_probe(bundle(), "cwd"), pass_fds=leaking))
    b = with_probe(bundle())
    b.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "/bin/probe fds >/data/fds"]}]}
    name = runtime.start(b, pass_fds=leaking)
    only(runtime.exec(name, "probe", "fds", pass_fds=leaking).stdout)
    within(runtime.exec(name, "probe", "cwd", pass_fds=leaking).stdout)
    only((b.rootfs / "data/fds").read_text())


def test_what_is_to_be_kept_is(runtime, bundle):
    b = with_probe(bundle(), "fds")
    name = runtime.prepare(b)
    script = 'exec 3</etc/hostname 4</etc/hostname 5</; exec "$@"'
    argv = ["sh", "-c", script, "sh", *runtime.argv("run", "--preserve-fds", "2", "--bundle", str(b.path), name)]
    only(subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout, 3, 4)


CHROOT = """
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) /* ROOT FD PROGRAM ARGUMENTS: chroot, and no more */
{
	if (chroot(argv[1]) || fchdir(atoi(argv[2])))
		return 1;
	return execv(argv[3], argv + 3);
}
"""


def test_what_the_caller_left_open_is_closed_bites(bundle, leaking):
    """chroot(2) alone closes nothing, and a directory of the host's may well be the current one."""
    b = with_probe(bundle())
    runner = [str(compiled(CHROOT)), str(b.rootfs), str(leaking[2]), "/bin/probe"]
    said = {word: subprocess.run([*runner, word], capture_output=True, text=True, check=True, pass_fds=leaking).stdout for word in ("fds", "cwd")}
    with caught():
        only(said["fds"])
    with caught():
        within(said["cwd"])
