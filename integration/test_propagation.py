"""Which mounts of the host's reach a container, and the other way round, for every word of rootfsPropagation and of a bind.

The tables say what runc 1.5 gives.  A row: the word (`-` for none), what mountinfo says of the mount
(S shared, M slave, U unbindable, `-` private), and whether a later mount goes in and out (y, n).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.looking import give, mapped, mountinfo, reachable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LETTERS = {"shared": "S", "master": "M", "unbindable": "U"}
# What is different on purpose (docs/differences.md): runc leaves other mounts peers of the host's.
PEERS = {"Syy": "Myn"}

ROOT = """
-           - n n
private     - n n
rprivate    - n n
slave       - n n
rslave      - n n
shared      S n n
rshared     S n n
unbindable  U n n
"""

# rootfsPropagation, the bind's word, its source on the rootfs's mount, its source a mount of its own
BIND = """
-           -         -nn  Myn
-           private   -nn  -nn
-           slave     -nn  Myn
-           shared    Snn  SMyn
-           unbindable Unn Unn
private     -         -nn  Syy
private     slave     -nn  Myn
private     shared    Snn  Syy
rprivate    -         -nn  -nn
rprivate    rslave    -nn  -nn
rprivate    rshared   Snn  Snn
slave       -         -nn  Syy
slave       shared    Snn  Syy
rslave      -         -nn  Myn
rslave      rshared   -nn  Myn
rslave      rprivate  -nn  -nn
shared      -         -nn  Syy
shared      rslave    -nn  Myn
shared      rshared   Snn  Syy
shared      rprivate  -nn  -nn
rshared     -         Snn  Syy
rshared     rslave    Snn  SMyn
rshared     rprivate  Snn  Snn
unbindable  -         -nn  Syy
"""

# what is mounted in the rootfs already
BELOW = """
-           Myn
private     Syy
rprivate    -nn
slave       Syy
rslave      Myn
shared      Syy
rshared     Syy
unbindable  Syy
"""


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in table.strip().splitlines()]


@pytest.fixture
def spread(bundle, tmp_path) -> Iterator[Path]:
    """Return the directory of bundles, as a shared mount of the host's."""
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
    (tmp_path / "state").mkdir()
    bundle.directory = tmp_path
    yield tmp_path
    subprocess.run(["umount", "-l", "-R", str(tmp_path)], check=True)


@contextlib.contextmanager
def mounted(path: Path, *words: str) -> Iterator[None]:
    """Mount something at PATH of the host meanwhile: a tmpfs, or what WORDS say."""
    subprocess.run(["mount", *(words or ("-t", "tmpfs", "none")), str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def look(runtime, name: str, inside: str, host: Path) -> str:
    """Return what is seen of the mount at INSIDE of container NAME, which shows HOST: kind, in, out."""
    there = mountinfo(runtime.exec(name, "cat", "/proc/self/mountinfo").stdout)[inside]
    kind = "".join(LETTERS[word.partition(":")[0]] for word in there.optional.split()) or "-"
    with mounted(host / "in"):
        (host / "in/mark").touch()
        goes_in = bool(runtime.exec(name, "ls", f"{inside.rstrip('/')}/in").stdout)
    runtime.exec(name, "mount", "-t", "tmpfs", "none", f"{inside.rstrip('/')}/out")
    goes_out = os.path.ismount(host / "out")
    return kind + "ny"[goes_in] + "ny"[goes_out]


def doors(path: Path) -> Path:
    """Make the two directories at PATH on which something will be mounted."""
    for name in ("in", "out"):
        (path / name).mkdir(parents=True)
    return path


def asked(b, word: str) -> None:
    """Let B have rootfsPropagation WORD."""
    if word != "-":
        b.linux["rootfsPropagation"] = word


def kept(runtime, seen: str) -> str:
    """Return what RUNTIME is to give where runc gives SEEN."""
    return seen if runtime.name == "runc" else PEERS.get(seen, seen)


@pytest.mark.parametrize("own", [False, True], ids=["directory", "mount"])
@pytest.mark.parametrize(("word", "kind", "goes_in", "goes_out"), rows(ROOT))
def test_root(runtime, bundle, spread, own, word, kind, goes_in, goes_out):
    b = give(bundle(), "CAP_SYS_ADMIN")
    doors(b.rootfs)
    asked(b, word)
    with mounted(b.rootfs, "--bind", str(b.rootfs)) if own else contextlib.nullcontext():
        name = runtime.start(b)
        assert look(runtime, name, "/", b.rootfs) == kind + goes_in + goes_out
        runtime("delete", "--force", name)


@pytest.mark.parametrize(("root", "word", "beside", "own"), rows(BIND))
def test_bind(runtime, bundle, spread, root, word, beside, own):
    b = give(bundle(), "CAP_SYS_ADMIN")
    asked(b, root)
    words = ("rbind",) if word == "-" else ("rbind", word)
    first, second = doors(spread / "first"), doors(spread / "second")
    with mounted(second, "--bind", str(second)):
        b.mount("/data", "bind", str(first), *words)
        b.mount("/mnt", "bind", str(second), *words)
        name = runtime.start(b)
        assert look(runtime, name, "/data", first) == beside
        wanted = kept(runtime, own) if word == "-" and root in ("private", "slave", "unbindable") else own
        assert look(runtime, name, "/mnt", second) == wanted
        runtime("delete", "--force", name)


@pytest.mark.parametrize(("root", "seen"), rows(BELOW))
def test_what_the_rootfs_has_mounted(runtime, bundle, spread, root, seen):
    b = give(bundle(), "CAP_SYS_ADMIN")
    asked(b, root)
    doors(b.rootfs / "data")
    with mounted(b.rootfs / "data", "--bind", str(b.rootfs / "data")):
        name = runtime.start(b)
        wanted = kept(runtime, seen) if root in ("private", "slave", "unbindable") else seen
        assert look(runtime, name, "/data", b.rootfs / "data") == wanted
        runtime("delete", "--force", name)


@pytest.mark.parametrize(("root", "word", "beside", "own"), [row for row in rows(BIND) if row[0] in ("-", "rslave", "rprivate")])
def test_bind_with_a_user_namespace(runtime, bundle, spread, root, word, beside, own):
    """The host opens its source, in the container's mount namespace: what the kernel copied there is a slave."""
    b = give(mapped(bundle()), "CAP_SYS_ADMIN")
    asked(b, root)
    words = ("rbind",) if word == "-" else ("rbind", word)
    first, second = doors(spread / "first"), doors(spread / "second")
    reachable(spread)
    for path in (spread, first, second, *first.iterdir(), *second.iterdir()):
        path.chmod(0o777)
    with mounted(second, "--bind", str(second)):
        b.mount("/data", "bind", str(first), *words)
        b.mount("/mnt", "bind", str(second), *words)
        name = runtime.start(b)
        assert look(runtime, name, "/data", first) == beside
        assert look(runtime, name, "/mnt", second) == own
        runtime("delete", "--force", name)
