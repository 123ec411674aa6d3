"""`check`: everything that is wrong with a bundle, and what this host lacks for it, without running it.

Structure and meaning are what the parser checks, all of it (oci/explain.py).
Then the container is planned, as `create` plans it; what the planner refuses is
noted, taken out of the document, and the rest planned again.
"""

from __future__ import annotations

from pyrunc.container import hostsupport
from pyrunc.container.bundle import check_rootfs, read_bundle
from pyrunc.container.options import CreateOptions
from pyrunc.container.verbs import create
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError
from pyrunc.host import facts
from pyrunc.jsonio import loads
from pyrunc.oci import config as oci
from pyrunc.oci import explain
from pyrunc.plan import build
from pyrunc.plan.namespaces import has
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FINDINGS_MAX = 200
OPTIONS = CreateOptions(id="check")
FINE, NOT_HERE, INVALID = 0, 1, 2


class Finding(Record):
    """One thing at `pointer`: `message` says what is expected, `found` is what stands there (None: nothing)."""

    pointer: str
    message: str
    hint: str = ""
    found: object = None


class Report(Record):
    """What is wrong with the bundle itself, and what this host lacks for it."""

    violations: tuple[Finding, ...] = ()
    lacking: tuple[Finding, ...] = ()

    @property
    def status(self) -> int:
        """Return 0 if it runs here, 1 if it does not run here, 2 if it is invalid."""
        return INVALID if self.violations else NOT_HERE if self.lacking else FINE


def check(bundle: str) -> Report:
    """Check the bundle in directory BUNDLE.  Needs no privileges; raises nothing for what is wrong with it."""
    try:
        absolute, text = read_bundle(bundle)
        document: Any = loads(text)
    except ConfigError as error:
        return Report(violations=(_finding(error, None),))
    wrong = tuple(Finding(*(value for _, value in each.items())) for each in explain.violations(document))
    rest = _Rest(document)
    if explain.structure(document, "config") or not all(rest.remove(each.pointer) for each in reversed(wrong)):
        return Report(violations=wrong)
    planned = _planned(absolute, document, rest)
    return planned.replace(violations=(*wrong, *planned.violations))


def _finding(error: PyruncError, document: object) -> Finding:
    """Return ERROR as a finding, with what stands at its place in DOCUMENT."""
    return Finding(error.pointer, error.message, error.hint, explain.value(document, error.pointer))


def _planned(bundle: str, document: Any, rest: _Rest) -> Report:
    """Plan the container of DOCUMENT, whose structure is right, until nothing of the REST is refused any more."""
    probed = facts.probe()
    violations: list[Finding] = []
    missing: list[Finding] = []

    def note(error: PyruncError) -> None:
        """Keep ERROR, with its place in the whole document."""
        at = rest.original(error.pointer)
        finding = Finding(at, error.message, error.hint, explain.value(document, at))
        (missing if isinstance(error, UnsupportedError) else violations).append(finding)

    while len(violations) + len(missing) < FINDINGS_MAX:
        try:
            config = oci.config(rest.document, "")
            known = facts.for_plan(probed, user_namespace=has(config.linux, "user"))
            asked = create.request(OPTIONS, bundle, config, wait=True)
            plan = build.build(config, known, asked)
        except PyruncError as error:
            note(error)
            if not rest.remove(error.pointer):
                break
        else:
            for lack in hostsupport.errors(config, plan, known):
                note(lack)
            break
    try:
        check_rootfs(create.request(OPTIONS, bundle, oci.config(document, ""), wait=True).rootfs)
    except ConfigError as error:
        violations.append(_finding(error, document))
    return Report(tuple(violations), tuple(missing))


class _Rest:
    """What is left of a document, of which some has been taken out."""

    def __init__(self, document: Any) -> None:
        """Begin with a copy of the whole DOCUMENT."""
        self.document = _copy(document)
        self._gone: dict[str, list[int]] = {}

    def original(self, pointer: str) -> str:
        """Return POINTER, which is one into the rest, as one into the whole document."""
        out = ""
        for step in pointer.split("/")[1:]:
            if step.isdigit():
                index = int(step)
                for gone in sorted(self._gone.get(out, ())):
                    index += gone <= index
                step = str(index)
            out += f"/{step}"
        return out

    def remove(self, pointer: str) -> bool:
        """Take out what stands at POINTER, or the smallest thing around it that may be missing; return whether that worked."""
        steps = pointer.split("/")[1:]
        while steps:
            without = _copy(self.document)
            if _taken_out(without, steps):
                self.document = without
                *around, last = self.original("/" + "/".join(steps)).split("/")
                self._gone.setdefault("/".join(around), []).extend([int(last)] if last.isdigit() else [])
                return True
            steps.pop()
            if len(steps) < 3 and not (steps and steps[-1].isdigit()):
                break  # without so much, other things would be wrong
        return False


def _taken_out(document: Any, steps: list[str]) -> bool:
    """Take out of DOCUMENT what STEPS lead to; return whether it was there, and the rest is still a configuration."""
    place = explain.value(document, "".join(f"/{step}" for step in steps[:-1]))
    last = steps[-1].replace("~1", "/").replace("~0", "~")
    try:
        if isinstance(place, dict):
            del place[last]
        elif isinstance(place, list):
            del place[int(last)]
        else:
            return False
        oci.config(document, "")
    except (KeyError, IndexError, ValueError, ConfigError):
        return False
    return True


def _copy(value: Any) -> Any:
    """Return a copy of JSON VALUE in which things can be taken out."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
