"""`check`: everything that is wrong with a bundle, and what this host lacks for it, without running it.

Structure and meaning are what the parser checks, all of it (oci/explain.py).
Then the container is planned, as `create` plans it; what the planner refuses is
noted, taken out of the document, and the rest planned again.  What of that plan the
kernel would refuse is looked for without changing anything (container/checks).
"""

from __future__ import annotations

from pyrunc.container.bundle import check_rootfs, read_bundle
from pyrunc.container.checks import (
    clocks,
    devices,
    essentials,
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
from pyrunc.oci import crun, explain
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

    Doubt = tuple[str, str, str]  # pointer, message, hint
    Refusals = Iterator[tuple[str, UnsupportedError]]

FINDINGS_MAX = 200
OPTIONS = CreateOptions(id="check")
FINE, NOT_HERE, INVALID = 0, 1, 2
# Where rules come from, beside manual pages.
SCHEMA, MEANING, EXTENSIBILITY, BUNDLE = "spec/schema/config.json", "config.md", "config.md, Extensibility", "bundle.md"
HOST = "this host"


class Finding(Record):
    """One thing at `pointer`: `message` says what is expected, `found` is what stands there (None: nothing).

    `source` is where the rule comes from: a document of the specification, a manual page, or what else has it.
    """

    pointer: str
    message: str
    hint: str = ""
    found: object = None
    source: str = ""


class Report(Record):
    """What is wrong with the bundle itself, what this host lacks for it, and what will be ignored."""

    violations: tuple[Finding, ...] = ()
    lacking: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def status(self) -> int:
        """Return 0 if it runs here, 1 if it does not run here, 2 if it is invalid."""
        return INVALID if self.violations else NOT_HERE if self.lacking else FINE


def check(bundle: str, given: bytes | None = None) -> Report:
    """Check the bundle in directory BUNDLE; GIVEN stands for its config.json.

    Needs no privileges; raises nothing for what is wrong with it.
    """
    try:
        absolute, text = read_bundle(bundle, given)
        document: Any = loads(text)
    except ConfigError as error:
        return Report(violations=(_finding(error, None, BUNDLE),))
    try:
        structure = explain.structure(document, "config")
        first: dict[str, Finding] = {}  # at each place
        for source, errors in ((SCHEMA, structure), (MEANING, explain.meaning(document, "config"))):
            for each in errors:
                first.setdefault(each.pointer, _finding(each, document, source))
        wrong, invalid = tuple(first.values()), bool(structure)
    except RecursionError:  # the library writes out whatever it finds, however deep it is; the parser does not
        wrong = tuple(_finding(each, document, MEANING) for each in explain.meaning(document, "config"))
        invalid = bool(wrong)
    rest = _Rest(document)
    if invalid or not all(rest.remove(each.pointer) for each in reversed(wrong)):
        return Report(violations=wrong, warnings=_warnings(document, None, []))
    planned = _planned(absolute, document, rest)
    return planned.replace(violations=(*wrong, *planned.violations))


def _warnings(document: object, config: Config | None, more: list[Doubt]) -> tuple[Finding, ...]:
    """Return what in DOCUMENT is ignored, and MORE; CONFIG is what has been made of it, if that was possible."""
    found = [(EXTENSIBILITY, each) for each in fields.unknown(document)]
    if config is not None:
        theirs = (*crun.left_out(config.annotations), *crun.unknown(config.annotations))
        found += [("crun(1)", each) for each in theirs]
        found += [("capabilities(7)", each) for each in ignored.capabilities(config)]
        found += [("syscalls(2)", each) for each in (*ignored.calls(config), *essentials.refused(config))]
    found += [("sysctl(2)" if each[0].startswith(sysctl.AT) else "execve(2)", each) for each in more]
    shown = found[:FINDINGS_MAX]
    return tuple(Finding(at, text, hint, explain.value(document, at), source) for source, (at, text, hint) in shown)


def _finding(error: PyruncError, document: object, source: str) -> Finding:
    """Return ERROR as a finding, with what stands at its place in DOCUMENT, and the SOURCE of the rule."""
    return Finding(error.pointer, error.message, error.hint, explain.value(document, error.pointer), source)


def _planned(bundle: str, document: Any, rest: _Rest) -> Report:
    """Plan the container of DOCUMENT, whose structure is right, until nothing of the REST is refused any more."""
    probed = facts.probe()
    whole = _parsed(document)
    violations: list[Finding] = []
    missing: dict[str, Finding] = {}
    doubts: list[Doubt] = []

    def note(error: PyruncError, source: str) -> None:
        """Keep ERROR, of a rule of SOURCE, with its place in the whole document."""
        at = rest.original(error.pointer)
        finding = Finding(at, error.message, error.hint, explain.value(document, at), source)
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
            note(error, HOST if isinstance(error, UnsupportedError) else MEANING)
            if not rest.remove(error.pointer):
                break
        else:
            config = paths.cleaned(config, asked.rootfs)
            for lack in host.errors(config, plan, known):
                note(lack, HOST)
            for source, lack in _refusals(config, plan, probed, asked, whole, doubts):
                note(lack, source)
            break
    try:
        check_rootfs(create.request(OPTIONS, bundle, whole, wait=True).rootfs)
    except ConfigError as error:
        violations.append(_finding(error, document, BUNDLE))
    return Report(tuple(violations), tuple(missing.values()), _warnings(document, whole, doubts))


def _parsed(document: Any) -> Config:
    """Return the configuration that DOCUMENT is, whose structure is right: an empty program where it names none."""
    config: Config = oci.config(document, "")
    user = config.process
    return config if user is None or user.args else config.replace(process=user.replace(args=("",)))


def _refusals(
    config: Config, plan: Plan, known: HostFacts, asked: Request, whole: Config, doubts: list[Doubt]
) -> Refusals:
    """Yield what of PLAN, that of CONFIG, the kernel would refuse, each with the source of the rule.

    WHOLE has what has been refused already.  What may be well is added to DOUBTS.
    """
    image = None
    try:
        image = view.View(asked.rootfs)
    except OSError:
        pass  # which is a finding of its own, or not for us to read
    yield from _of("mount(2)", mounts.sources(config, plan, known, asked.rootfs, image))
    yield from _of("setns(2)", joining.errors(config))
    yield from _of("config-linux.md, Network Devices", netdevices.errors(config))
    yield from _of("cgroups(7)", resources.errors(plan))
    yield from _of("getrlimit(2)", limits.errors(config, plan, known))
    yield from _of("sched(7)", scheduling.errors(config, plan, known))
    yield from _of("sysctl(2)", sysctl.errors(config, plan, known, doubts))
    yield from _of("time_namespaces(7)", clocks.errors(config))
    yield from _of("capset(2)", rights.capabilities(config, known))
    yield from _of("fsconfig(2)", options.refused(plan, known))
    yield from _of("filesystems/overlayfs.rst", overlay.incomplete(plan))
    yield from _of("config.md, POSIX-platform Hooks", hooks.ours(config))
    if image is None:
        return
    try:
        yield from _in_image(config, plan, known, image, paths.cleaned(whole, asked.rootfs), asked, doubts)
        missing = program.missing(config, plan, known, image)
        if missing:
            doubts.append((program.ARGS, missing, hooks.BROUGHT))
    finally:
        image.close()


def _in_image(
    config: Config, plan: Plan, known: HostFacts, image: view.View, whole: Config, asked: Request, doubts: list[Doubt]
) -> Refusals:
    """Yield the same for what is done in the IMAGE, over which WHOLE has mounts."""
    yield from _of("user_namespaces(7)", rights.outsiders(config, plan, known, asked.rootfs, image))
    yield from _of("mount(2)", mounts.points(config, plan, image))
    image.cover((each.destination for each in whole.mounts), again=False)
    image.cover(whole.linux.maskedPaths, "")
    yield from _of("mknod(2)", devices.nodes(config, plan, image))
    yield from _of("path_resolution(7)", masks.errors(plan, image))
    yield from _of("config.md, POSIX-platform Hooks", hooks.inside(config, image, doubts))
    yield from _of("execve(2)", program.errors(config, plan, known, image))


def _of(source: str, errors: Iterator[UnsupportedError]) -> Refusals:
    """Yield each of ERRORS with the SOURCE of its rule."""
    return ((source, each) for each in errors)


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
