"""What holds for every plan: barriers that meet, slots that are filled, calls that exist, pointers that lead somewhere."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import pytest

from pyrunc.errors import ConfigError, UnsupportedError
from pyrunc.oci.config import Config
from pyrunc.oci.process import Process
from pyrunc.plan.op import Plan, Slot, barriers
from pyrunc.plan.text import render
from pyrunc.record import Record
from pyrunc.run import calls
from tests.machines import MACHINES
from tests.planned import CASES, EVERY, JOINS, Case, case_id, plan
from tests.samples import CONFIGS, each, name

PROTOCOL = {"barrier", "deliver_listener", "give", "go", "clone3", "respawn"}  # run/executor.py does these itself
AT_THE_BARRIER = {"console": "master"}  # what the child passes to the host
CALLERS = {"init", "init-root", "listener"}  # container/verbs/exec.py opens the first two, it and create.py the third
CONTEXT = object()

# The samples that this version refuses.  Supporting a field makes its row here wrong.
REFUSED: dict[str, str] = {}
# The same on one kind of machine only.
REFUSED_ON = {
    ("docker/x-misc.json", "v2"): "/linux/resources/cpu/realtimeRuntime",  # which version 2 does not have
    ("podman/x-misc.3.json", "v2"): "/linux/resources/cpu/realtimeRuntime",
}


def documented(document: dict, pointer: str) -> bool:
    """Return whether POINTER is in DOCUMENT, or names fields of the specification that are absent there."""
    value = document
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    if steps and steps[0] not in document | dict.fromkeys(Config._fields if "ociVersion" in document else Process._fields):
        return False
    for place, step in enumerate(steps):
        if isinstance(value, dict):
            if step not in value:
                return all(rest in FIELDS for rest in steps[place:])
            value = value[step]
        elif isinstance(value, list):
            if not (step.isdigit() and int(step) < len(value)):
                return False
            value = value[int(step)]
        else:
            return False
    return True


def fields() -> set[str]:
    """Return the names of all fields of all records of oci/."""
    found = set()
    todo = [Record]
    while todo:
        for cls in todo.pop().__subclasses__():
            todo.append(cls)
            if cls.__module__.startswith("pyrunc.oci."):
                found |= set(cls._fields)
    return found


FIELDS = fields()


def check(made: Plan, document: dict) -> None:
    """Check every rule on plan MADE, which DOCUMENT asked for."""
    assert barriers(made.host) == barriers(made.child)
    assert [op.args[0] for op in made.host if op.call == "go"] == barriers(made.host)
    calls = [op.call for op in made.host]
    assert calls.count("clone3") == 1
    check_calls(made)
    check_slots(made)
    for op in (*made.host, *made.child):
        assert documented(document, op.at), f"{op.call}: {op.at} is nowhere in the document"
    assert made.child[-1].call == "exec_program"


def check_calls(made: Plan) -> None:
    """Every call is in the executor's tables, bound before the fork, and takes what it is given."""
    for module in calls.ON_DEMAND.values():
        sys.modules.pop(f"pyrunc.run.steps.{module}", None)
    calls.load(made)
    for op in (*made.host, *made.child):
        if op.call in PROTOCOL:
            continue
        if op.call in calls.KERNEL:
            function, args = calls.KERNEL[op.call], op.args
        else:
            function, args = calls.step(op.call), (CONTEXT, *op.args)
        try:
            inspect.signature(function).bind(*args)
        except ValueError:
            continue  # a function of C that does not tell
        except TypeError as error:
            pytest.fail(f"{op.call}{op.args}: {error}")


def check_slots(made: Plan) -> None:
    """Every slot is filled once, before it is used; the child has what the host had at the fork, and what it gives later."""
    host, inherited = set(CALLERS), set(CALLERS)
    given: dict[str, set[str]] = {name: set() for name in barriers(made.host)}
    place = ""
    for op in made.host:
        place = op.args[0] if op.call == "barrier" else place
        if op.call == "give":
            given[place].update(op.args)
        check_use(op.args, host, op.call)
        if op.call == "clone3":
            inherited = set(host)
        if op.call == "barrier" and op.args[0] in AT_THE_BARRIER:
            host.add(AT_THE_BARRIER[op.args[0]])
        host |= filled(op.into, host)
    child = inherited
    for op in made.child:
        check_use(op.args, child, op.call)
        child |= filled(op.into, child)
        if op.call == "barrier":
            child |= given[op.args[0]]
            passed = AT_THE_BARRIER.get(op.args[0])
            assert op.args[1:] == ((passed,) if passed else ())


def check_use(args: tuple, known: set[str], call: str) -> None:
    """The slots in ARGS are KNOWN, and none is inside a tuple, where the executor does not look."""
    for arg in args:
        assert not isinstance(arg, Slot) or arg in known, f"{call} uses slot {arg} before it is made"
        assert not isinstance(arg, tuple) or not any(isinstance(item, Slot) for item in arg)


def filled(into: str, known: set[str]) -> set[str]:
    """Return the slot INTO as a set; a second filling would leak the first descriptor."""
    assert into not in known, f"slot {into} is made twice"
    return {into} if into else set()


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_golden(case: Case):
    document = json.loads(case.document.read_text())
    if case.name in JOINS:  # pointers into the process, or into the config of its container
        document = {**document, "linux": {"seccomp": {}, "namespaces": [], "personality": {}}}
    made = case.build()
    check(made, document)
    assert made == case.build()


@pytest.mark.parametrize("host", EVERY)
@each(CONFIGS)
def test_samples(path: Path, host: str):
    text = path.read_bytes()
    expected = REFUSED.get(name(path)) or REFUSED_ON.get((name(path), host))
    made = refusal = None
    try:
        made = plan(text, MACHINES[host])
    except (UnsupportedError, ConfigError) as error:
        refusal = error
    if made is None:
        assert refusal.pointer == expected, refusal
        assert documented(json.loads(text), expected)
        return
    assert expected is None, f"{name(path)} is supported now: take it out of the list"
    check(made, json.loads(text))
    assert render(made) == render(plan(text, MACHINES[host]))


def test_the_lists_of_refused_samples_name_samples():
    known = {name(path) for path in CONFIGS}
    if not known:
        pytest.skip("no samples")
    assert {*REFUSED, *(path for path, _ in REFUSED_ON)} <= known

