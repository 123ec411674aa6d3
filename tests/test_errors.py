"""Errors: one line each, one tree, and its public names."""

from __future__ import annotations

import inspect

import pytest

from pyrunc import errors
from pyrunc.errors import OpError, PyruncError


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({}, "wrong"),
        ({"pointer": "/a"}, "wrong (at /a)"),
        ({"hint": "do it"}, "wrong (do it)"),
        ({"pointer": "/a", "hint": "do it"}, "wrong (at /a; do it)"),
    ],
)
def test_the_whole_story_in_one_line(kwargs: dict, text: str):
    assert str(PyruncError("wrong", **kwargs)) == text


def test_a_newline_does_not_make_two_lines():
    error = PyruncError("a\nb", pointer="/x\ny", hint="c\nd")
    assert str(error) == "a\\nb (at /x\\ny; c\\nd)"
    assert error.message == "a\nb"


def test_names_are_listed_sorted_and_one_tree():
    found = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert sorted(found) == errors.__all__
    for name in found:
        cls = getattr(errors, name)
        assert issubclass(cls, PyruncError)
        assert name in errors.__doc__
        assert cls("x").status == 1


def test_op_errors_keep_the_kernels_number():
    assert (OpError("x", errno=13).errno, OpError("x").errno) == (13, 0)
