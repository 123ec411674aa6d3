"""A program that is changed between the moment in which it is checked and that in which it is executed (CVE-2019-5736).

What was checked is executed, or nothing is; the runtime's own program never is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from integration.harness.bundle import BUSYBOX
from integration.harness.swapping import swapping
from integration.looking import fingerprint, interpreter, script

pytestmark = pytest.mark.pyrunc_only("it runs a sealed copy of itself, and that it may be")
# A program for the interpreter that the runtime is, if that gets it.
EVIL = "#!/proc/self/exe\nprint('got the interpreter')\n"


def evil(path: Path) -> None:
    """Make PATH a script for the interpreter."""
    path.unlink(missing_ok=True)
    path.write_text(EVIL)
    path.chmod(0o755)


# A file, a link and a script, and what they say.
PROGRAMS = {"echo": "\n", "links/echo": "\n", "script": "/data/script\n"}


def furnished(b):
    """Give B the programs, and what the interpreter would need to run."""
    b.mount("/usr", "bind", "/usr", "rbind", "ro")
    for name in ("lib", "lib64"):
        (b.rootfs / name).symlink_to(f"usr/{name}")
    shutil.copy(BUSYBOX, b.rootfs / "data/echo")
    (b.rootfs / "data/links").mkdir()
    (b.rootfs / "data/links/echo").symlink_to("../echo")
    script(b, "/data/script", "#!/data/echo\n")
    return b


def replaced(b) -> None:
    for name in PROGRAMS:
        evil(b.rootfs / "data" / name)


def replaced_by_links(b) -> None:
    for name in PROGRAMS:
        path = b.rootfs / "data" / name
        path.unlink()
        path.symlink_to("/proc/self/exe")


def rewritten(b) -> None:
    """Leave the same files, with something else in them."""
    (b.rootfs / "data/echo").write_text(EVIL)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("change", [replaced, replaced_by_links, rewritten])
def test_between_create_and_start(runtime, bundle, change, program, tmp_path):
    b = furnished(bundle(f"/data/{program}"))
    before = fingerprint(interpreter(runtime))
    with (tmp_path / "out").open("w") as out:
        name = runtime.create(b, stdout=out, stderr=out)
    change(b)
    done = runtime("start", name, check=False)
    runtime.wait(name, "stopped")
    wanted = (1, "") if change is rewritten else (0, PROGRAMS[program])
    assert (done.returncode, (tmp_path / "out").read_text()) == wanted, done
    assert fingerprint(interpreter(runtime)) == before


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("change", [replaced, replaced_by_links, rewritten])
def test_where_it_can_only_be_executed_by_path(runtime, bundle, change, program, tmp_path):
    """A filter may forbid execveat(2): then what has changed between create and start is refused."""
    b = furnished(bundle(f"/data/{program}"))
    rule = {"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert runtime.output(b) == PROGRAMS[program]
    with (tmp_path / "out").open("w") as out:
        name = runtime.create(b, stdout=out, stderr=out)
    change(b)
    assert "replaced while it was being started" in runtime.refuses("start", name)
    assert (tmp_path / "out").read_text() == ""


def test_what_the_attack_would_get(runtime, bundle):
    """Where the interpreter is the image's own business, it runs: the tests here would notice."""
    b = furnished(bundle("/data/echo"))
    shutil.copy(interpreter(runtime), b.rootfs / "data/copy")
    (b.rootfs / "data/echo").write_text(EVIL.replace("/proc/self/exe", "/data/copy"))
    done = runtime.run(b, check=False)
    # Python runs the script; the native program takes its name for a command.
    assert done.stdout == "got the interpreter\n" or "No help topic for '/data/echo'" in done.stderr


@pytest.fixture
def flipping():
    """Return a function that lets a file and another one change places, as fast as it goes."""
    with swapping() as flip:
        yield flip


@pytest.mark.slow_vm
@pytest.mark.parametrize("swapped", PROGRAMS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_while_it_is_executed(runtime, bundle, flipping, swapped, program):
    b = furnished(bundle())
    before = fingerprint(interpreter(runtime))
    container = runtime.start(b)
    other = b.rootfs / "data/other"
    evil(other)
    flipping(b.rootfs / "data" / swapped, other)
    for _ in range(12):
        done = runtime.exec(container, f"/data/{program}", check=False)
        assert done.stdout in ("", PROGRAMS[program]), done
        assert done.returncode in (0, 255), done
    assert fingerprint(interpreter(runtime)) == before
