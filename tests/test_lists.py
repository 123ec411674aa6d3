"""Lists of processors and nodes, in the kernel's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import ConfigError
from pyrunc.oci import lists

convert = lists.number_list


@given(st.sets(st.integers(0, lists.NUMBER_MAX), max_size=40))
def test_there_and_back(numbers):
    bits = lists.mask(",".join(map(str, numbers)))
    assert len(bits) % lists.WORD == 0
    assert {n for n in range(len(bits) * 8) if bits[n // 8] >> n % 8 & 1} == numbers
    assert lists.mask(lists.shown(bits)) == bits


@pytest.mark.parametrize(
    ("text", "bits"), [("", b""), ("0", b"\1"), ("0-3,7", b"\x8f"), (" 1 , 3-4", b"\x1a"), ("63", bytes(7) + b"\x80")]
)
def test_what_is_meant(text, bits):
    assert convert(text, "/x") == text
    assert lists.mask(text) == bits.ljust(-(-len(bits) // 8) * 8, b"\0")


@given(st.text(max_size=12))
def test_any_text_is_a_list_or_refused(text):
    plain = all(letter in "0123456789,-" or letter.isspace() for letter in text)
    try:
        convert(text, "/x")
    except ConfigError:
        return
    assert plain
    list(lists.errors(text, "/x"))


@pytest.mark.parametrize("text", ["8192", "0-8192", "2-1"])
def test_what_makes_no_sense(text):
    assert convert(text, "/x") == text
    (error,) = lists.errors(text, "/x")
    assert error.pointer == "/x"


@pytest.mark.parametrize("text", ["-", "1,", "10000", "\N{ARABIC-INDIC DIGIT ONE}", "0--1", "1.5"])
def test_what_is_none(text):
    with pytest.raises(ConfigError, match="a list of numbers"):
        convert(text, "/x")
