"""The library's names: what is offered, what the reference and type checkers are told of it, and what importing it loads."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyrunc

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "runtime/pyrunc"
# A user's program, for mypy --strict.
USER = """
import asyncio
import pyrunc
from pyrunc import aio

bundle: pyrunc.Bundle = pyrunc.Bundle.from_rootfs("rootfs", ["true"], memory=1 << 20)
status: int = pyrunc.check(bundle).status
calls: list[str] = [op.call for op in pyrunc.plan(bundle).child]
with pyrunc.Container.run(bundle, stdout=pyrunc.PIPE) as container:
    out: bytes = container.stdout.read() if container.stdout is not None else b""
    code: int = container.exec(["true"]).wait(timeout=1.5)
    state: pyrunc.State = container.state()


async def main() -> int:
    async with await aio.Container.run(bundle) as other:
        async for event in other.events():
            print(event["type"])
        return await other.wait()


asyncio.run(main())
"""
WRONG = """
import pyrunc
pyrunc.Container.run(7)
pyrunc.nothing
pyrunc.Bundle("x").wait()
"""


def test_the_reference_is_what_the_code_says():
    done = subprocess.run([sys.executable, CHECKOUT / "script/api.py", "--check"])
    assert done.returncode == 0


def test_every_public_name_is_there_and_in_the_reference():
    reference = (CHECKOUT / "docs/api.md").read_text()
    for name in pyrunc.__all__:
        assert getattr(pyrunc, name) is not None
        assert name in reference, name
    assert set(pyrunc.__all__) <= set(dir(pyrunc))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pyrunc.nothing  # noqa: B018


def test_type_checkers_know_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    told = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == set(pyrunc.__all__)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of programs that use the library: of ours it looks at the types alone, as of any installed package."""
    pytest.importorskip("mypy")
    place = tmp_path_factory.mktemp("user")
    (place / "right.py").write_text(USER)
    (place / "wrong.py").write_text(WRONG)
    for name in ("ci_job.py", "supervisor.py"):  # the third example wants pytest's own types
        shutil.copy(CHECKOUT / "examples/library" / name, place)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    command.append(f"--cache-dir={place}/cache")
    env = {"MYPYPATH": str(PACKAGE.parent)}
    done = subprocess.run([*command, *sorted(place.glob("*.py"))], cwd=place, env=env, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_users_programs_are_checked_strictly(checked: str):
    lines = [line for line in checked.splitlines() if ": error:" in line]
    assert [line.split(":")[:2] for line in lines] == [["wrong.py", str(number)] for number in (3, 4, 5)], checked


def test_importing_it_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import pyrunc; print(sorted(set(sys.modules) - before))"
    env = {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "['__future__', 'pyrunc']", done.stdout + done.stderr


def test_both_faces_have_the_same_methods():
    from pyrunc import aio
    from pyrunc.library import container, process

    for one, other in ((container.Container, aio.Container), (process.Process, aio.Process)):
        assert {name for name in dir(one) if name[0] != "_"} == {name for name in dir(other) if name[0] != "_"}
