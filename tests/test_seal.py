"""After the seal nothing is imported: no module, no codec; what is loaded goes on working."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
sys.path.insert(0, {runtime!r})
sys.path.insert(0, {trap!r})
import json
from pyrunc.run.seal import seal
seal()
{code}
"""


@pytest.fixture
def sealed(checkout: Path, tmp_path: Path):
    """Return a function that runs code after the seal, in the directory and on the path of an attacker."""

    def run(code: str) -> str:
        for name in ("colorsys", "encodings/idna", "encodings/cp037", "sealed_trap", "pyrunc/run/late"):
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("print('sprung')")
        program = PROGRAM.format(runtime=str(checkout / "runtime"), trap=str(tmp_path), code=code)
        command = [sys.executable, "-S", "-B", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert "sprung" not in done.stdout + done.stderr
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.parametrize(
    "statement",
    [
        "import sealed_trap",
        "import colorsys",
        "import json.tool",
        "from json import tool",
        "import pyrunc.run.late",
        "__import__('colorsys')",
        "import importlib; importlib.import_module('colorsys')",
    ],
)
def test_no_module_is_found(sealed, statement: str):
    code = f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)"
    assert "after the fork into a container" in sealed(code)


@pytest.mark.parametrize("codec", ["cp037", "idna", "no-such-codec"])
def test_no_codec_is_loaded(sealed, codec: str):
    code = f"try:\n    'a'.encode({codec!r})\nexcept (ImportError, LookupError) as error:\n    print('refused')"
    assert sealed(code) == "refused"


@pytest.mark.parametrize(
    "statement",
    [
        "import json; print(json.dumps([1]))",
        "import sys; print('[1]')",
        "from json import decoder; print(list(decoder.JSONDecoder().decode('[1]')))",
        "print(str(b'[1]', 'utf-8', 'surrogateescape'))",
        "print('[1]'.encode('utf-8', 'replace').decode())",
    ],
)
def test_what_is_loaded_goes_on_working(sealed, statement: str):
    assert sealed(statement) == "[1]"


def test_nothing_is_left_to_find_modules_with(sealed):
    assert sealed("import sys; print(len(sys.meta_path), sys.path, sys.path_hooks, sys.path_importer_cache)") == "1 [] [] {}"
