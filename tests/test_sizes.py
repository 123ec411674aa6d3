"""Sizes, numbers and durations on the command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.cli import sizes
from pyrunc.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0", 0),
        ("1", 1),
        ("52428800", 50 << 20),
        ("50M", 50 << 20),
        ("50m", 50 << 20),
        ("50mb", 50 << 20),
        ("50MiB", 50 << 20),
        ("50 M", 50 << 20),
        ("7b", 7),
        ("7B", 7),
        ("1.5g", 3 << 29),
        ("2k", 2048),
        ("1t", 1 << 40),
        ("1P", 1 << 50),
        ("-1", -1),
        (".5g", 1 << 29),
        ("5.k", 5120),
        ("1e6", 1000000),
        ("1.5E3k", 1536000),
        ("+7", 7),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_sizes(text, bytes_):
    assert sizes.size(text, "--memory") == bytes_


@pytest.mark.parametrize(
    "text",
    ["", "M", "-2", "-1M", "abc", "1.2.3", "1.5.g", "0x10", "1e", "1e1000", "1e99", "e5"]
    + ["5X", "\u0665M", "9223372036854775808", "inf", ".", ".M", "1 2M", "1_0", "--1"],
)
def test_no_sizes(text):
    with pytest.raises(UsageError, match="--memory"):
        sizes.size(text, "--memory")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("16", 16), ("+16", 16), ("-16", -16), ("0", 0), ("1_000", 1000)),
        *(("0x10", 16), ("0X1f", 31), ("-0x10", -16), ("010", 8), ("0o10", 8), ("0b101", 5)),
    ],
)
def test_whole_numbers_in_any_base(text, value):
    """What Go's flag package takes for an integer."""
    assert sizes.integer(text, "--pids-limit") == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.5", "09", "0x", "--1", "+-1", "1e3", " 1", "9223372036854775808", "\u0665", "1" * 5000, "5M"],
)
def test_no_whole_numbers(text):
    with pytest.raises(UsageError, match="--pids-limit"):
        sizes.integer(text, "--pids-limit")


@given(st.integers(0, (1 << 53) - 1), st.sampled_from(["", "b", "k", "kb", "KiB"]))
def test_sizes_multiply(number, unit):
    assert sizes.size(f"{number}{unit}", "--memory") == number * (1024 if "k" in unit.lower() else 1)


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_a_usage_error(text):
    """What people and programs write is understood or refused, never an internal error."""
    for read in (sizes.size, sizes.seconds, sizes.integer, lambda t, o: sizes.number(t, o, signed=True)):
        try:
            assert isinstance(read(text, "--option"), int | float)
        except UsageError as error:
            said = str(error)
            assert "--option" in said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("500ms", 0.5), ("1m", 60), ("1m30s", 90), ("1h", 3600), ("1.5s", 1.5), ("250us", 25e-5), ("1h0m1s", 3601)],
)
def test_durations(text, seconds):
    assert sizes.seconds(text, "--interval") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "0s", "-5s", "s", "5x", "5s3", "1..5s", "5 s", "1e3s"])
def test_no_durations(text):
    with pytest.raises(UsageError, match="--interval"):
        sizes.seconds(text, "--interval")


def test_numbers():
    assert sizes.number("-1", "--pids-limit", signed=True) == -1
    assert sizes.number("007", "--pids-limit", signed=False) == 7
    for text in ("-1", "", "1.5", "1e3", "9" * 40):
        with pytest.raises(UsageError, match="--pids-limit"):
            sizes.number(text, "--pids-limit", signed=False)
