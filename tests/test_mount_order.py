"""Plans of mounts: which flags of a bind are cleared, what becomes read-only at the end, and when sources are opened."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.linux import mount as m
from pyrunc.plan.op import Op
from tests.test_mounts import V2, document, facts, one, plan

EVERY = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC | m.MOUNT_ATTR_NOSYMFOLLOW
TIMES = m.MOUNT_ATTR__ATIME | m.MOUNT_ATTR_NODIRATIME
RO, NOSUID, NOATIME, NODIRATIME = m.MOUNT_ATTR_RDONLY, m.MOUNT_ATTR_NOSUID, m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR_NODIRATIME

# Options of a bind -> what its top gets, and what is cleared there: nothing if no flag is named.
FLAGS: list[tuple[str, tuple[int, int] | None]] = [
    ("bind", None),
    ("rbind rprivate", None),
    ("rbind rro", None),
    ("rbind rnoatime", None),
    ("bind defaults", None),
    ("bind ro", (RO, EVERY & ~RO)),
    ("bind rw", (0, EVERY)),
    ("bind ro rw", (0, EVERY)),
    ("bind dev", (0, EVERY)),
    ("bind async", (0, EVERY)),
    ("bind nosuid rprivate", (NOSUID, EVERY & ~NOSUID)),
    ("bind,nosuid", (NOSUID, EVERY & ~NOSUID)),
    # How access times are kept stays, unless a word chooses.
    ("bind atime", (0, EVERY)),
    ("bind diratime", (0, EVERY)),
    ("bind norelatime", (0, EVERY)),
    ("bind relatime", (0, EVERY | TIMES)),
    ("bind noatime", (NOATIME, EVERY | TIMES)),
    ("bind nodiratime", (NODIRATIME, EVERY | m.MOUNT_ATTR__ATIME)),
    ("bind noatime nodiratime", (NOATIME | NODIRATIME, EVERY | m.MOUNT_ATTR__ATIME)),
    # What the whole tree has got stays.
    ("rbind rro nosuid", (NOSUID, EVERY & ~NOSUID & ~RO)),
    ("rbind rro rw", (0, EVERY)),
    ("rbind rnodiratime ro", (RO, EVERY & ~RO)),
    ("rbind rnodiratime diratime", (0, EVERY | NODIRATIME)),
    ("rbind rnoatime nodiratime", (NODIRATIME, EVERY)),
    ("rbind rnodiratime noatime", (NOATIME, EVERY | m.MOUNT_ATTR__ATIME)),
]


@pytest.mark.parametrize(("options", "expected"), FLAGS, ids=[row[0] for row in FLAGS])
@pytest.mark.parametrize("user", [False, True])
def test_flags_that_are_not_named_are_cleared(options: str, expected: tuple[int, int] | None, user: bool):
    _, child = plan(document(one("bind", *options.split()), user=user))
    found = [_flags(op) for op in child if _is_flags(op)]
    assert found == ([] if expected is None else [expected])
    assert user == any(op.call == "set_bind_flags" for op in child) or expected is None


def _is_flags(op: Op) -> bool:
    """Return whether OP sets flags of a mount's top."""
    return op.call == "set_bind_flags" or (op.call == "mount_setattr" and op.args[2] == m.AT_EMPTY_PATH and not op.args[5])


def _flags(op: Op) -> tuple[object, object]:
    """Return what OP sets and clears."""
    first = 1 if op.call == "set_bind_flags" else 3
    return op.args[first], op.args[first + 1]


def test_an_old_kernel_is_not_asked_to_follow_links():
    _, child = plan(document(one("bind", "bind", "ro")), facts(kernel=(5, 13)))
    assert [_flags(op) for op in child if _is_flags(op)] == [(RO, EVERY & ~RO & ~m.MOUNT_ATTR_NOSYMFOLLOW)]


@pytest.mark.parametrize(
    ("options", "named", "undone"),
    [
        ("bind ro", 0, 0),
        ("bind rw dev", m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NODEV, 0),
        ("bind rw ro", 0, 0),
        ("bind atime", 0, m.MS_NOATIME),
        ("bind diratime norelatime", 0, m.MS_NODIRATIME | m.MS_RELATIME),
        ("bind relatime", 0, 0),
    ],
)
def test_what_a_user_namespace_may_not_keep(options: str, named: int, undone: int):
    _, child = plan(document(one("bind", *options.split()), user=True))
    assert next(op for op in child if op.call == "set_bind_flags").args[3:] == (named, undone)


# Read-only at the end


def at(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": "/source", "options": list(options)}


LATER = [
    ([at("/t", "tmpfs", "ro")], ["/mounts/0/options/0"]),
    ([at("/t", "tmpfs", "nosuid", "rro")], ["/mounts/0/options/1"]),
    ([at("/t", "tmpfs", "nosuid,ro")], ["/mounts/0/options/0"]),
    ([at("/t", "ramfs", "ro"), at("/o", "overlay", "ro")], ["/mounts/0/options/0", "/mounts/1/options/0"]),
    ([at("/dev", "devtmpfs", "ro")], ["/mounts/0/options/0"]),
    ([at("/c", "cgroup", "ro")], ["/mounts/0/options/0"]),
    ([at("/t", "tmpfs", "ro", "rw")], []),
    ([at("/t", "tmpfs"), at("/t", "tmpfs", "remount", "ro")], ["/mounts/1/options/1"]),
    ([at("/t", "tmpfs", "ro"), at("/t", "tmpfs", "remount", "rw")], []),
    ([at("/t", "tmpfs", "ro"), at("/u", "tmpfs", "remount", "rw")], ["/mounts/0/options/0"]),
    # At once: nothing is made in them, or may be.
    ([at("/d", "bind", "bind", "ro")], []),
    ([at("/dev", "bind", "bind", "ro")], []),
    ([at("/p", "proc", "ro"), at("/s", "sysfs", "ro"), at("/e", "ext4", "ro")], []),
]


@pytest.mark.parametrize(("listed", "pointers"), LATER)
def test_what_becomes_read_only_at_the_end(listed: list[dict[str, Any]], pointers: list[str]):
    _, child = plan(document(*listed))
    last = max(i for i, op in enumerate(child) if op.call in ("move_mount", "mount_point", "open_mount"))
    later = [op for op in child[last:] if op.call == "mount_setattr" and op.args[3] == RO]
    first = [op for op in child[:last] if op.call == "fsmount" and int(str(op.args[2])) & RO]
    assert [op.at for op in later if "/options/" in op.at] == pointers
    assert not pointers or not first
    closed = [slot for op in child if op.call == "close" for slot in op.args]
    assert len(closed) == len(set(closed))
    assert {op.into for op in child} - {""} <= set(closed)


def test_a_cgroup_mount_of_version_2_is_read_only_at_once():
    _, child = plan(document(at("/c", "cgroup", "ro")), facts(V2))
    assert [op.call for op in child][-1] == "close"
    assert not [op for op in child if op.at == "/mounts/0/options/0"]


@pytest.mark.parametrize(
    ("mount", "asked"),
    [
        ({**at("/e", "ext4", "ro"), "source": "/dev/loop0"}, True),
        ({**at("/e", "ext4", "nosuid,ro"), "source": "/dev/loop0"}, True),
        ({**at("/e", "ext4"), "source": "/dev/loop0"}, False),
        ({**at("/e", "tmpfs", "ro"), "source": "/dev/loop0"}, False),
        (at("/e", "debugfs", "ro"), False),
    ],
)
def test_a_device_is_opened_read_only(mount: dict[str, Any], asked: bool):
    """One that is read-only itself cannot be opened otherwise."""
    host, child = plan(document(mount))
    assert asked == any(op.call == "fsconfig" and op.args[2] == "ro" for op in (*host, *child))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "vfat"])
def test_a_file_system_on_a_device_is_made_by_the_host(kind: str):
    """The device rules of the container do not hold for it."""
    mount = {**at("/e", kind, "nosuid"), "source": "/dev/loop0"}
    host, child = plan(document(mount))
    assert [op.call for op in host] == ["fsopen", "fsconfig", "fsconfig", "fsmount"]
    assert [op.call for op in child] == ["mount_point", "move_mount", "close"]


@pytest.mark.parametrize("kind", ["mqueue", "proc", "sysfs", "devpts", "tmpfs", "nfs"])
def test_what_is_of_a_namespace_is_made_by_the_child(kind: str):
    host, _ = plan(document({**at("/e", kind), "source": "/dev/loop0"}))
    assert not host


def test_in_a_user_namespace_the_child_tries():
    host, child = plan(document({**at("/e", "ext4"), "source": "/dev/loop0"}, user=True))
    assert not host
    assert [op.call for op in child].count("fsmount") == 1


def test_quotes_of_a_label_are_for_mount_alone():
    _, child = plan(document(one("tmpfs", 'context="u:r:t:s0:c1,c2"', "size=1m")))
    values = [op.args[3] for op in child if op.call == "fsconfig" and op.args[2] == "context"]
    assert values == ["u:r:t:s0:c1,c2"]


# Sources


def rounds(ops: list[Op]) -> list[list[str]]:
    """Return the slots of what is opened at each barrier sources."""
    found: list[list[str]] = []
    for op in ops:
        if op.call == "barrier":
            found.append([])
        elif op.call == "open_tree_by_helper":
            found[-1].append(op.into)
    return found


def bound(destination: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["bind", *options]}


def test_a_source_in_the_root_waits_for_the_mounts_before_it():
    listed = [
        bound("/a", "/somewhere"),
        bound("/b", "/bundle/rootfs/a/x"),
        bound("/c", "/bundle/./other/../rootfs//a"),
        bound("/d", "rootfs/a"),
        bound("/e", "/bundle/rootfs-other/a"),
    ]
    host, child = plan(document(*listed, user=True))
    assert rounds(host) == [["mount0", "mount4"], ["mount1"], ["mount2"], ["mount3"]]
    assert [op.call for op in host].count("end_helper") == 1
    assert host[-2].call == "end_helper"
    order = [(op.call, op.at) for op in child if op.call in ("barrier", "move_mount")]
    assert order.index(("move_mount", "/mounts/0")) < order.index(("barrier", "/mounts/1/source"))
    assert order.index(("move_mount", "/mounts/2")) < order.index(("barrier", "/mounts/3/source"))


def test_the_first_mount_waits_for_none():
    host, _ = plan(document(bound("/b", "/bundle/rootfs/a"), user=True))
    assert rounds(host) == [["mount0"]]


def test_without_a_user_namespace_the_child_opens_it_in_its_turn():
    text = document(bound("/a", "/somewhere", "shared"), bound("/b", "/bundle/rootfs/a", "shared"))
    text["linux"]["rootfsPropagation"] = "shared"
    host, child = plan(text)
    assert [op.into for op in host if op.call == "open_tree"] == ["mount0"]
    assert [op.into for op in child if op.call == "open_tree"] == ["mount1"]
