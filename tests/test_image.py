"""What an image leaves out, and that what it holds still does the same."""

from __future__ import annotations

import types

from pyrunc import image

SOURCE = b'''"""Doc."""
from __future__ import annotations
TYPE_CHECKING = False
if TYPE_CHECKING:
    import absent
else:
    STAND_IN = 1


class Kept:
    """Doc."""

    field: int = 3


def double(number: absent.Kind) -> absent.Kind:
    """Doc."""
    local: absent.Kind = number
    return local * 2


def fail():

    raise ValueError
'''


def run() -> tuple[types.CodeType, dict]:
    code = image.lean(SOURCE, "source.py")
    names: dict = {"__name__": "source"}
    exec(code, names)
    return code, names


def test_it_does_the_same():
    _, names = run()
    assert names["double"](4) == 8
    assert names["STAND_IN"] == 1


def test_annotations_stay_where_records_read_them():
    _, names = run()
    assert names["Kept"].__annotations__ == {"field": "int"}
    assert names["double"].__annotations__ == {}


def test_documentation_and_imports_for_types_are_gone():
    code, names = run()
    assert names["double"].__doc__ is None
    assert "__future__" not in code.co_names
    assert "absent" not in code.co_names


def test_lines_stay():
    _, names = run()
    lines = {line for _, _, line in names["fail"].__code__.co_lines()}
    assert SOURCE.splitlines().index(b"    raise ValueError") + 1 in lines
