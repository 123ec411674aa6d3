"""Records: immutable, compared by value, and strict about what they are made of."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import pyrunc
from pyrunc.record import Record, compile_constructor

PACKAGE = Path(pyrunc.__file__).parent


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


# The constructor that the native program has compiled


def every_record() -> list[type[Record]]:
    """Return all records of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "__main__.py":
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    found, todo = [], [Record]
    while todo:
        todo += (below := todo.pop().__subclasses__())
        found += [each for each in below if each.__module__.startswith("pyrunc.")]
    return found


def compiled(kind: type[Record]) -> type[Record]:
    """Return a copy of KIND with a constructor of its own, if it can have one."""
    copy = type(kind.__name__, (kind,), {})
    compile_constructor(copy)
    return copy


def test_it_makes_the_same_of_every_record():
    kinds = every_record()
    made = 0
    for kind in kinds:
        needed = {name: object() for name in kind._fields if name not in kind._defaults}
        for values in (needed, {name: object() for name in kind._fields}):
            copy = compiled(kind)
            made += "__init__" in copy.__dict__
            assert copy(**values).__dict__ == kind(**values).__dict__
            assert list(copy(*values.values()).items())[: len(values)] == list(kind(*values.values()).items())[: len(values)]
    assert made > len(kinds)  # nearly all can have one


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((), {"y": 1}), ((1,), {"z": 1}), ((1, 2, 3), {}), ((), {"z": 1})])
def test_it_is_as_strict(args: tuple, kwargs: dict):
    with pytest.raises(TypeError):
        compiled(Point)(*args, **kwargs)


def test_fields_that_are_no_list_of_parameters():
    """A field without default comes behind one with."""

    class Late(Point):
        z: int

    compile_constructor(Late)
    assert "__init__" not in Late.__dict__
    assert Late(1, z=3) == Late(1, 2, 3)
