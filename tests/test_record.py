"""Records: immutable, compared by value, and strict about what they are made of."""

from __future__ import annotations

import pytest

from pyrunc.record import Record


class Point(Record):
    x: int
    y: int = 2


class Named(Point):
    name: str = ""


class Other(Record):
    x: int
    y: int = 2


def test_fields_by_position_and_by_name():
    assert Point(1) == Point(x=1, y=2) == Point(1, 2)
    assert list(Named(1, name="a").items()) == [("x", 1), ("y", 2), ("name", "a")]


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing ['x'], unknown []"),
        ((), {"y": 1}, "missing ['x'], unknown []"),
        ((1,), {"z": 1}, "missing [], unknown ['z']"),
        ((1, 2, 3), {}, "missing [], unknown []"),
        ((), {"z": 1}, "missing ['x'], unknown ['z']"),
    ],
)
def test_what_they_are_not_made_of(args: tuple, kwargs: dict, said: str):
    with pytest.raises(TypeError) as caught:
        Point(*args, **kwargs)
    assert str(caught.value) == f"Point: {said}"


def test_they_do_not_change():
    point = Point(1)
    with pytest.raises(AttributeError, match="read-only"):
        point.x = 3
    with pytest.raises(AttributeError, match="read-only"):
        point.new = 3
    with pytest.raises(AttributeError, match="read-only"):
        del point.x
    assert point.replace(y=5) == Point(1, 5)
    assert point == Point(1)


def test_equality_asks_for_the_class():
    assert Point(1) != Other(1)
    assert Point(1) != Named(1)
    assert Point(1) != (1, 2)
    assert len({Point(1), Point(1, 2), Other(1)}) == 2


def test_one_that_holds_a_dict_has_no_hash():
    with pytest.raises(TypeError):
        hash(Point({}))


def test_representation_leaves_defaults_out():
    assert repr(Point(1)) == "Point(x=1)"
    assert repr(Named(1, 3, "a")) == "Named(x=1, y=3, name='a')"
