"""The numbers of system calls: known for a machine, or refused."""

from __future__ import annotations

import pytest

from pyrunc.errors import UnsupportedError
from pyrunc.linux import abi


@pytest.mark.parametrize("machine", ["x86_64", "i686", "aarch64", "armv8l", "riscv64", "loongarch64"])
def test_known_machines(machine: str):
    """The names that personality(2) gives are those of the same machine."""
    found = abi.numbers(machine, 64)
    assert found["execve"] == (59 if machine in ("x86_64", "i686") else 221)
    assert found.keys() == abi.NUMBERS.keys()


@pytest.mark.parametrize(
    ("machine", "bits"),
    [("ppc64le", 64), ("s390x", 64), ("mips64", 64), ("armv7l", 32), ("x86_64", 32), ("i686", 32), ("aarch64", 32), ("", 64)],
)
def test_other_machines_are_refused(machine: str, bits: int):
    """The numbers of another would be those of other calls."""
    with pytest.raises(UnsupportedError, match=f"{bits} bits on {machine} are not known"):
        abi.numbers(machine, bits)
