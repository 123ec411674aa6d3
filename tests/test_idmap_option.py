"""idmap=uids=...;gids=...: an option's mappings become the mount's, or are refused at their place (plan/idmapoption.py)."""

from __future__ import annotations

import pytest

from pyrunc.errors import ConfigError, UnsupportedError
from tests.planned import minimal, plan_of

ROWS = [{"containerID": 0, "hostID": 100, "size": 10}, {"containerID": 10, "hostID": 5000, "size": 10}]
AT = "/mounts/0/options/1"


def document(option: str, namespace: dict[str, str] | None = None, **more: object) -> dict:
    mount = {"destination": "/d", "type": "bind", "source": "/s", "options": ["bind", option], **more}
    found = minimal(mounts=[mount])
    if namespace is not None:
        found["linux"]["namespaces"].append({"type": "user", **namespace})
        if "path" not in namespace:
            found["linux"] |= {"uidMappings": ROWS, "gidMappings": ROWS}
    return found


def mappings(option: str, namespace: dict[str, str] | None = None, **more: object) -> tuple[object, ...]:
    made = [op for op in plan_of(document(option, namespace, **more)).host if op.call == "make_user_namespace"]
    assert [op.at for op in made] == [AT]
    return made[0].args


@pytest.mark.parametrize("name", ["idmap", "ridmap"])
def test_triples(name: str):
    assert mappings(f"{name}=uids=0-5000-10#10-11-10;gids=0-100-10") == ("0 5000 10\n10 11 10\n", "0 100 10\n")


def test_relative_to_the_containers_own_user_namespace():
    assert mappings("idmap=uids=@3-2-1;gids=0-7-1", {}) == ("3 102 1\n", "0 7 1\n")


def test_relative_over_two_ranges_becomes_two_rows():
    assert mappings("idmap=uids=@0-8-4;gids=@0-0-1", {}) == ("0 108 2\n2 5000 2\n", "0 100 1\n")


def test_the_same_in_the_mount_too():
    rows = [{"containerID": 0, "hostID": 1, "size": 2}]
    assert mappings("idmap=uids=0-1-2;gids=0-1-2", uidMappings=rows, gidMappings=rows) == ("0 1 2\n", "0 1 2\n")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("idmap=", "no mappings"),
        ("idmap=foo=1", "neither uids= nor gids="),
        ("idmap=uids=0-1-1;uids=0-1-1", "comes twice"),
        ("idmap=uids=", "neither uids= nor gids="),
        ("idmap=uids=0-1-1", "gidMappings is missing"),
        ("idmap=uids=0-1;gids=0-1-1", "no mapping of three numbers"),
        ("idmap=uids=0-1--1;gids=0-1-1", "no mapping of three numbers"),
        ("idmap=uids=0-4294967296-1;gids=0-1-1", "no mapping of three numbers"),
        ("idmap=uids=0-1-0;gids=0-1-1", "maps no id"),
        ("idmap=uids=0-1-2#1-9-1;gids=0-1-1", "overlaps"),
        ("idmap=uids=@0-1-1;gids=0-1-1", "without a user namespace"),
    ],
)
def test_refused_at_its_place(option: str, text: str):
    with pytest.raises(ConfigError) as found:
        plan_of(document(option))
    assert text in found.value.message
    assert found.value.pointer == AT
    assert found.value.hint


def test_relative_beyond_the_user_namespace():
    with pytest.raises(ConfigError) as found:
        plan_of(document("idmap=uids=@0-18-3;gids=@0-0-1", {}))
    assert (found.value.pointer, found.value.message) == (
        AT,
        "ids 18 to 20 are not all mapped in the container's user namespace",
    )


def test_relative_to_a_user_namespace_that_is_joined():
    with pytest.raises(UnsupportedError) as found:
        plan_of(document("idmap=uids=@0-0-1;gids=@0-0-1", {"path": "/proc/1/ns/user"}))
    assert found.value.pointer == AT


def test_another_mapping_in_the_mount():
    rows = [{"containerID": 0, "hostID": 9, "size": 2}]
    with pytest.raises(ConfigError) as found:
        plan_of(document("idmap=uids=0-1-2;gids=0-1-2", uidMappings=rows, gidMappings=rows))
    assert found.value.pointer == AT
