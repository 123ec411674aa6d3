"""`check`: everything that is wrong with a bundle, and what this host lacks for it, without running it.

Structure and meaning are what the parser checks, all of it (oci/explain.py).
Then the container is planned, as `create` plans it; what the planner refuses is
noted, taken out of the document, and the rest planned again.  What of that plan the
kernel would refuse is looked for without changing anything (container/checks).
"""

from __future__ import annotations

from pyrunc.container.bundle import check_rootfs, read_bundle
from pyrunc.container.checks import (
    devices,
    fields,
    hooks,
    host,
    ignored,
    joining,
    limits,
    masks,
    mounts,
    netdevices,
    options,
    overlay,
    program,
    resources,
    rights,
    scheduling,
    sysctl,
    view,
)
from pyrunc.container.options import CreateOptions
from pyrunc.container.verbs import create
from pyrunc.errors import ConfigError, PyruncError, UnsupportedError
from pyrunc.host import facts
from pyrunc.jsonio import loads
from pyrunc.oci import config as oci
from pyrunc.oci import explain
from pyrunc.plan import build, paths
from pyrunc.plan.namespaces import has
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Plan
    from pyrunc.plan.request import Request

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
    """What is wrong with the bundle itself, what this host lacks for it, and what will be ignored."""

    violations: tuple[Finding, ...] = ()
    lacking: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

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
    try:
        wrong = tuple(Finding(*(value for _, value in each.items())) for each in explain.violations(document))
        invalid = bool(explain.structure(document, "config"))
    except RecursionError:  # the library writes out whatever it finds, however deep it is; the parser does not
        wrong = tuple(_finding(each, document) for each in explain.meaning(document, "config"))
        invalid = bool(wrong)
    rest = _Rest(document)
    if invalid or not all(rest.remove(each.pointer) for each in reversed(wrong)):
        return Report(violations=wrong, warnings=_warnings(document, None))
    planned = _planned(absolute, document, rest)
    return planned.replace(violations=(*wrong, *planned.violations))


def _warnings(document: object, config: Config | None) -> tuple[Finding, ...]:
    """Return what in DOCUMENT is ignored; CONFIG is what has been made of it, if that was possible."""
    found = [*fields.unknown(document)]
    if config is not None:
        found += [*ignored.capabilities(config), *ignored.calls(config)]
    return tuple(Finding(at, text, hint, explain.value(document, at)) for at, text, hint in found[:FINDINGS_MAX])


def _finding(error: PyruncError, document: object) -> Finding:
    """Return ERROR as a finding, with what stands at its place in DOCUMENT."""
    return Finding(error.pointer, error.message, error.hint, explain.value(document, error.pointer))


def _planned(bundle: str, document: Any, rest: _Rest) -> Report:
    """Plan the container of DOCUMENT, whose structure is right, until nothing of the REST is refused any more."""
    probed = facts.probe()
    whole = _parsed(document)
    violations: list[Finding] = []
    missing: dict[str, Finding] = {}

    def note(error: PyruncError) -> None:
        """Keep ERROR, with its place in the whole document."""
        at = rest.original(error.pointer)
        finding = Finding(at, error.message, error.hint, explain.value(document, at))
        if isinstance(error, UnsupportedError):
            missing.setdefault(at, finding)
        else:
            violations.append(finding)

    while len(violations) + len(missing) < FINDINGS_MAX:
        try:
            config = _parsed(rest.document)
            known = facts.for_plan(probed, user_namespace=has(config.linux, "user"))
            asked = create.request(OPTIONS, bundle, config, wait=True)
            plan = build.build(config, known, asked)
        except PyruncError as error:
            note(error)
            if not rest.remove(error.pointer):
                break
        else:
            config = paths.cleaned(config, asked.rootfs)
            for lack in (*host.errors(config, plan, known), *_refusals(config, plan, probed, asked, whole)):
                note(lack)
            break
    try:
        check_rootfs(create.request(OPTIONS, bundle, whole, wait=True).rootfs)
    except ConfigError as error:
        violations.append(_finding(error, document))
    return Report(tuple(violations), tuple(missing.values()), _warnings(document, whole))


def _parsed(document: Any) -> Config:
    """Return the configuration that DOCUMENT is, whose structure is right: an empty program where it names none."""
    config: Config = oci.config(document, "")
    user = config.process
    return config if user is None or user.args else config.replace(process=user.replace(args=("",)))


def _refusals(config: Config, plan: Plan, known: HostFacts, asked: Request, whole: Config) -> Iterator[UnsupportedError]:
    """Yield what of PLAN, that of CONFIG, the kernel would refuse; WHOLE has what has been refused already."""
    image = None
    try:
        image = view.View(asked.rootfs)
    except OSError:
        pass  # which is a finding of its own, or not for us to read
    yield from mounts.sources(config, plan, known, asked.rootfs, image)
    yield from joining.errors(config)
    yield from netdevices.errors(config)
    yield from resources.errors(plan)
    yield from limits.errors(config, plan, known)
    yield from scheduling.errors(config, plan, known)
    yield from sysctl.errors(config, plan, known)
    yield from rights.capabilities(config, known)
    yield from options.refused(plan, known)
    yield from overlay.incomplete(plan)
    yield from hooks.ours(config)
    if image is None:
        return
    try:
        yield from rights.outsiders(config, plan, known, asked.rootfs, image)
        yield from mounts.points(config, plan, image)
        hidden = paths.cleaned(whole, asked.rootfs)
        image.cover((each.destination for each in hidden.mounts), again=False)
        image.cover(hidden.linux.maskedPaths, "")
        yield from devices.nodes(config, plan, image)
        yield from masks.errors(plan, image)
        yield from hooks.inside(config, image)
        yield from program.errors(config, plan, known, image)
    finally:
        image.close()


class _Rest:
    """What is left of a document, of which some has been taken out."""

    def __init__(self, document: Any) -> None:
        """Begin with the whole DOCUMENT, which is not changed."""
        self.document = document
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
            without = _without(self.document, steps)
            if without is not None and _is_configuration(without):
                self.document = without
                *around, last = self.original("/" + "/".join(steps)).split("/")
                self._gone.setdefault("/".join(around), []).extend([int(last)] if last.isdigit() else [])
                return True
            steps.pop()
            if len(steps) < 3 and not (steps and steps[-1].isdigit()):
                break  # without so much, other things would be wrong
        return False


def _without(document: Any, steps: list[str]) -> Any:
    """Return a copy of DOCUMENT without what STEPS lead to; None if that is not there."""
    if not isinstance(document, (dict, list)):
        return None
    changed: Any = document.copy()
    step: Any = steps[0].replace("~1", "/").replace("~0", "~")
    try:
        step = int(step) if isinstance(document, list) else step
        if len(steps) == 1:
            del changed[step]
        else:
            changed[step] = _without(document[step], steps[1:])
            if changed[step] is None:
                return None
    except (KeyError, IndexError, ValueError):
        return None
    return changed


def _is_configuration(document: Any) -> bool:
    """Return whether DOCUMENT has the structure of a configuration."""
    try:
        oci.config(document, "")
    except ConfigError:
        return False
    return True
