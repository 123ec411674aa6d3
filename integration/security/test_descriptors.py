"""A descriptor of the host's as directory or program, or left open (CVE-2024-21626)."""

from __future__ import annotations

import pytest

from integration.looking import refused, with_probe

FORMS = ["/proc/self/fd/{}", "/proc/thread-self/fd/{}", "/proc/1/fd/{}", "/proc/self/fd/{}/../.."]


@pytest.mark.parametrize("form", FORMS)
def test_a_directory_that_is_a_descriptor(runtime, bundle, form):
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 64):
        b = with_probe(bundle(), "cwd")
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
