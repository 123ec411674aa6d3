"""The plan of linux.intelRdt, and the directories of resctrl as plain ones."""

from __future__ import annotations

import fcntl
import json
import os
import threading

import pytest

from pyrunc.cgroup import resctrl
from pyrunc.errors import ConfigError, OpError
from pyrunc.host.cgroups import Cgroups
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.plan import rdt

FACTS = HostFacts(kernel=(6, 1), last_cap=40, apparmor=False, cgroups=Cgroups(), resctrl="/rdt")


def wanted(**fields):
    text = json.dumps({"ociVersion": "1.3.0", "linux": {"intelRdt": fields}})
    return parsing.parse(text.encode()).linux.intelRdt


@pytest.mark.parametrize(
    ("fields", "writes"),
    [
        ({}, ()),
        ({"l3CacheSchema": "L3:0=f"}, (("L3:0=f",),)),
        ({"memBwSchema": "MB:0=20"}, (("MB:0=20",),)),
        ({"l3CacheSchema": "L3:0=f\nMB:0=10", "memBwSchema": "MB:0=20"}, (("L3:0=f", "MB:0=20"),)),
        ({"l3CacheSchema": "L3:0=f\nMB:0=10"}, (("L3:0=f", "MB:0=10"),)),
        ({"schemata": ["L2:0=f", "L3:0=7"], "l3CacheSchema": "L3:0=f"}, (("L3:0=f",), ("L2:0=f", "L3:0=7"))),
    ],
)
def test_what_is_written(fields, writes):
    op = next(rdt.make(wanted(**fields), FACTS, "box"))
    assert (op.call, op.args) == ("make_resctrl_class", ("/rdt/box", writes))


@pytest.mark.parametrize(
    ("fields", "joins", "owns"),
    [
        ({}, ("/rdt/box",), ("/rdt/box",)),
        ({"enableMonitoring": True}, ("/rdt/box", "/rdt/box/mon_groups/box"), ("/rdt/box/mon_groups/box", "/rdt/box")),
        ({"closID": "gold"}, ("/rdt/gold",), ()),
        ({"closID": "gold", "enableCMT": True}, ("/rdt/gold", "/rdt/gold/mon_groups/box"), ("/rdt/gold/mon_groups/box",)),
        ({"closID": "/", "enableMBM": True}, ("/rdt", "/rdt/mon_groups/box"), ("/rdt/mon_groups/box",)),
    ],
)
def test_which_directories(fields, joins, owns):
    found = rdt.groups(wanted(**fields), FACTS, "box")
    assert (found.joins, found.owns) == (joins, owns)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"closID": ".."}, "/linux/intelRdt/closID"),
        ({"closID": "a/b"}, "/linux/intelRdt/closID"),
        ({"closID": "mon_groups"}, "/linux/intelRdt/closID"),
        ({"memBwSchema": "L3:0=f"}, "/linux/intelRdt/memBwSchema"),
        ({"memBwSchema": "MB:0=1\nL3:0=f"}, "/linux/intelRdt/memBwSchema"),
        ({"schemata": ["L3:0=f", "L3:0=f\nMB:0=1"]}, "/linux/intelRdt/schemata/1"),
        ({"schemata": "L3:0=f"}, "/linux/intelRdt/schemata"),
        ({"enableMonitoring": 1}, "/linux/intelRdt/enableMonitoring"),
    ],
)
def test_nonsense(fields, pointer):
    with pytest.raises(ConfigError) as caught:
        list(rdt.make(wanted(**fields), FACTS, "box"))
    assert caught.value.pointer == pointer


@pytest.fixture
def gold(tmp_path):
    """Return a class that is there, as plain files."""
    path = tmp_path / "gold"
    path.mkdir()
    (path / "tasks").touch()
    (path / "schemata").write_text("    MB:0=100;1= 70\n    L3:0=7f0;1=01f\n")
    return path


@pytest.mark.parametrize("writes", [(), (("L3:0=7f0",),), (("L3:1=1f;0=07F0", "MB:1=70"),), (("MB:0=100",), ("L3:1=1f",))])
def test_a_class_with_the_same_schemata_is_used(gold, writes):
    before = (gold / "schemata").read_text()
    resctrl.use_class(str(gold), writes)
    resctrl.join((str(gold),), 123)
    assert (gold / "tasks").read_text() == "123"
    assert (gold / "schemata").read_text() == before


@pytest.mark.parametrize("line", ["L3:0=7f1", "L3:2=7f0", "L2:0=7f0", "MB:0=64", "L3:0=7f0;1=0f", "L3:0=x", "L3"])
def test_a_class_with_other_schemata_is_refused(gold, line):
    if line == "L3":
        resctrl.use_class(str(gold), ((line,),))  # names no domain, so contradicts none
        return
    with pytest.raises(ConfigError):
        resctrl.use_class(str(gold), ((line,),))


def test_the_file_system_is_locked_while_a_class_is_found_or_made(gold):
    """Of two that start together, the second finds what the first has made (resctrl.rst, "Locking")."""
    (gold.parent / "tasks").touch()
    fd = os.open(resctrl.root(str(gold)), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    found = []
    second = threading.Thread(target=lambda: found.append(resctrl.use_class(str(gold), (("L3:0=7f0",),))))
    second.start()
    second.join(0.2)
    assert not found
    os.close(fd)
    second.join(10)
    assert found[0][0] is False
    os.close(found[0][1])


def test_a_class_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no class of service absent") as caught:
        resctrl.use_class(str(tmp_path / "absent"), ())
    assert caught.value.pointer == "/linux/intelRdt/closID"


def test_what_the_kernel_had_against_it_is_told(tmp_path):
    (tmp_path / "info").mkdir()
    (tmp_path / "info/last_cmd_status").write_text("Mask f0f is not contiguous\n")
    with pytest.raises(OpError, match="Mask f0f is not contiguous"):
        resctrl.make_class(str(tmp_path / "new"), (("L3:0=f0f",),))
    assert not (tmp_path / "new").exists()


def test_each_set_of_lines_is_one_write(gold):
    """Seen through a fifo, which keeps the two writes."""
    (gold / "schemata").unlink()
    os.mkfifo(gold / "schemata")
    fd = os.open(gold / "schemata", os.O_RDONLY | os.O_NONBLOCK)
    resctrl._set(str(gold), ("L3:0=f", "MB:0=20"))
    assert os.read(fd, 100) == b"L3:0=f\nMB:0=20\n"
    os.close(fd)


def test_removing_twice(tmp_path):
    (tmp_path / "a").mkdir()
    for _ in range(2):
        resctrl.remove((str(tmp_path / "a"),))
    assert not (tmp_path / "a").exists()


def kernel(refuses: str, monkeypatch) -> list[str]:
    """Stand in for the file that the kernel would refuse line REFUSES of; return what is written."""
    written: list[str] = []

    def write(_: str, text: str) -> None:
        if refuses and refuses in text:
            raise OSError(22, "Invalid argument")
        written.append(text)

    monkeypatch.setattr(resctrl, "write", write)
    return written


def test_a_change_gives_back_what_was(gold, monkeypatch):
    before = (gold / "schemata").read_text()
    written = kernel("", monkeypatch)
    assert resctrl.change(str(gold), (("L3:0=f", "MB:0=20"), ("L3:1=1",))) == before
    assert written == ["L3:0=f\nMB:0=20\n", "L3:1=1\n"]


def test_a_change_that_is_refused_is_taken_back(gold, monkeypatch):
    written = kernel("f0f", monkeypatch)
    with pytest.raises(OpError, match='write "L3:1=f0f"'):
        resctrl.change(str(gold), (("MB:0=20",), ("L3:1=f0f",)))
    assert written == ["MB:0=20\n", "MB:0=100;1= 70\n", "L3:0=7f0;1=01f\n"]
