"""What a command imports in its good case: our own modules and the C modules named here, and nothing else.

A module that slips onto the hot path costs 0.1 to 50 ms at every start of every container, and its
code can be reached after the fork.  So a new one is added here on purpose, or not at all.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[1] / "runtime"
INTERPRETER = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable

# Cheap: built into the interpreter, or one small shared object; each measured below 0.3 ms.
C_MODULES = {"_blake2", "_ctypes", "_json", "_signal", "_struct", "errno", "fcntl", "gc"}
C_MODULES |= {"marshal", "posix", "select", "sys", "termios", "time"}
OTHERS = {"__future__"}  # which every module of ours names in its first line

HOT = ("create", "run", "start", "state", "kill", "delete", "exec", "pause", "resume", "update", "events")
RARE = ("checkpoint", "restore")  # what only these need, no other may load
# What must not be there even so: the slow half of a library whose C half is above.
HEAVY = {"argparse", "collections", "contextlib", "ctypes", "dataclasses", "enum", "functools", "json"}
HEAVY |= {"jsonschema", "logging", "os", "pathlib", "prctl", "psutil", "pyseccomp", "re", "seccomp", "signal", "socket"}
HEAVY |= {"subprocess", "typing"}

LIST_LOADED = """
import sys
before = set(sys.modules)
sys.path.insert(0, {runtime!r})
{code}
print(*(set(sys.modules) - before))
"""


def loaded(code: str, *, ours: bool = False) -> set[str]:
    """Return the modules that CODE loads in a fresh, isolated interpreter: OURS, or all others."""
    program = LIST_LOADED.format(runtime=str(RUNTIME), code=code)
    command = [INTERPRETER, "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return {name for name in done.stdout.splitlines()[-1].split() if (name.partition(".")[0] == "pyrunc") is ours}


@pytest.mark.parametrize("command", [*HOT, *RARE])
def test_hot_commands_import_almost_nothing(command: str):
    """Importing the file of a command is all the importing there is: the seal sees to the rest."""
    found = loaded(f"import pyrunc.cli.main, pyrunc.cli.commands.{command}")
    assert found - C_MODULES - OTHERS == set()


@pytest.mark.parametrize("command", HOT)
def test_no_other_command_loads_what_is_for_criu(command: str):
    code = f"""
import pyrunc.cli.main, pyrunc.cli.commands.{command}
assert not [name for name in sys.modules if name.startswith(("pyrunc.criu", "pyrunc.host.mounted"))]
"""
    assert loaded(code) is not None


@pytest.mark.parametrize("command", ["start", "state", "kill", "delete"])
def test_short_commands_load_neither_ctypes_nor_json(command: str):
    """They would be a tenth of the time of a command that reads one file and makes one system call."""
    found = loaded(f"import pyrunc.cli.main, pyrunc.cli.commands.{command}")
    assert found & {"_ctypes", "_json", "_socket", "_struct"} == set()


def test_parsing_a_config_imports_nothing_heavy(tmp_path: Path):
    """The generated default config goes through parser and planner without a library."""
    code = f"""
from pyrunc.cli.main import main
assert main(["spec", "--bundle", {str(tmp_path)!r}]) == 0
"""
    assert loaded(code) & HEAVY == set()
    code = f"""
from pyrunc.oci.parsing import parse
parse(open({str(tmp_path / "config.json")!r}, "rb").read())
"""
    assert loaded(code) - C_MODULES - OTHERS == set()


@pytest.mark.parametrize("command", ["state", "kill", "start", "delete"])
def test_a_refusal_is_quick_too(command: str, tmp_path: Path):
    """An engine asks for the state of containers that are gone all the time."""
    code = f"""
from pyrunc.cli.main import main
assert main(["--root", {str(tmp_path)!r}, {command!r}, "absent"]) == 1
"""
    assert loaded(code) - C_MODULES - OTHERS == set()


# Of our own modules, what `create` loads only when a config or a plan has it: tests/test_plan_rules.py sees that it does.
ON_DEMAND = {"cgroup": ("annotated", "bpf", "owner", "properties", "resctrl", "systemd", "writeorder")}
ON_DEMAND |= {"linux": ("rtnetlink",), "plan": ("idmap", "memorypolicy", "netdevices", "personality", "rdt", "scheduling")}
ON_DEMAND |= {"run": ("failure", "terminal")}
ON_DEMAND |= {"run.steps": ("copyup", "idmap", "listener", "mountns", "moveroot", "netdevices", "peers"), "seccomp": ("compile",)}


@pytest.mark.parametrize("command", ["create", "run", "exec"])
def test_rare_subjects_wait_until_they_are_asked_for(command: str):
    """Each would cost every container 0.1 ms, and its waiting init the memory."""
    rare = {f"pyrunc.{package}.{name}" for package, names in ON_DEMAND.items() for name in names}
    assert {name for name in rare if not (RUNTIME / name.replace(".", "/")).with_suffix(".py").exists()} == set()
    assert loaded(f"import pyrunc.cli.main, pyrunc.cli.commands.{command}", ours=True) & rare == set()
