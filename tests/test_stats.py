"""Statistics: what kernels write, as their documentation has it, in runc's shape.  Containers show the rest."""

from __future__ import annotations

from pyrunc.cgroup import stats
from pyrunc.cgroup.paths import Place

# Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/blkio-controller.rst
IO_STAT = (
    "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n"
    "8:0 rbytes=90430464 wbytes=0 rios=8950 wios=1252 dbytes=50331648 dios=3021\n"
)
SERVICED = "8:0 Read 124\n8:0 Write 0\n8:0 Sync 104\n8:0 Async 20\n8:0 Total 124\nTotal 124\n"


def test_block_devices_of_version_2():
    assert stats._block2(IO_STAT) == {
        "ioServiceBytesRecursive": [
            {"major": 8, "minor": 16, "op": "Read", "value": 1459200},
            {"major": 8, "minor": 16, "op": "Write", "value": 314773504},
            {"major": 8, "op": "Read", "value": 90430464},
            {"major": 8, "op": "Write"},
        ],
        "ioServicedRecursive": [
            {"major": 8, "minor": 16, "op": "Read", "value": 192},
            {"major": 8, "minor": 16, "op": "Write", "value": 353},
            {"major": 8, "op": "Read", "value": 8950},
            {"major": 8, "op": "Write", "value": 1252},
        ],
    }
    assert stats._block2("") == {}


def test_block_devices_of_version_1(tmp_path):
    """The first group of files with something in it counts, as with runc."""
    for name in ("io_serviced_recursive", "io_service_bytes_recursive"):
        (tmp_path / f"blkio.bfq.{name}").write_text("")
        (tmp_path / f"blkio.throttle.{name}").write_text(SERVICED)
    found = stats._block(str(tmp_path))
    assert list(found) == ["ioServicedRecursive", "ioServiceBytesRecursive"]
    assert found["ioServicedRecursive"] == [
        {"major": 8, "op": "Read", "value": 124},
        {"major": 8, "op": "Write"},
        {"major": 8, "op": "Sync", "value": 104},
        {"major": 8, "op": "Async", "value": 20},
        {"major": 8, "op": "Total", "value": 124},
    ]


def test_rows_without_a_word():
    assert stats._block_rows("8:16 6792\n") == [{"major": 8, "minor": 16, "value": 6792}]


def test_memory_of_version_2(tmp_path):
    """Swap is told as in version 1: both together, and endless if one is."""
    files = {
        "memory.current": "1000", "memory.max": "4000", "memory.swap.current": "50", "memory.swap.max": "600",
        "memory.peak": "1500", "memory.stat": "anon 700\nfile 200\n", "memory.events": "low 0\nhigh 0\nmax 3\noom 0\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    found = stats._memory2(str(tmp_path))
    assert found["usage"] == {"limit": 4000, "usage": 1000, "max": 1500, "failcnt": 3}
    assert found["swap"] == {"limit": 4600, "usage": 1050, "failcnt": 0}
    assert (found["cache"], found["raw"]) == (200, {"anon": 700, "file": 200})
    (tmp_path / "memory.swap.max").write_text("max\n")
    assert stats._memory2(str(tmp_path))["swap"]["limit"] == (1 << 64) - 1


def test_lists():
    assert stats._list("0-3,7,9-9") == [0, 1, 2, 3, 7, 9]
    assert stats._list("") == []


def test_pressure(tmp_path):
    (tmp_path / "io.pressure").write_text(
        "some avg10=0.12 avg60=1.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    )
    assert stats._pressure(str(tmp_path), "io") == {
        "psi": {
            "some": {"avg10": 0.12, "avg60": 1.0, "avg300": 0.0, "total": 1234},
            "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 99},
        }
    }
    assert stats._pressure(str(tmp_path), "cpu") == {}


def test_nothing_is_there():
    """A machine without any controller: the shape stays."""
    found = stats.stats((Place("/nonexistent", "/", ("name=systemd",)),))
    assert found["memory"]["usage"] == {"limit": 0, "failcnt": 0}
    assert found["pids"] == found["blkio"] == found["hugetlb"] == {}
    assert found["cpu"] == {"usage": {"kernel": 0, "user": 0}, "throttling": {}}
