"""Documents with something wrong: the parser, our schema and the specification's must see the same.

Each place of a document in which every property is set is changed in each way, one at a time; then what engines have
written is changed at random.  Where our schema and the specification's part, DIFFERENCES says so, and docs/differences.md why.
"""

from __future__ import annotations

import json
import re
from functools import reduce
from operator import getitem

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.oci import explain, parsing
from tests.schemas import (
    CHANGES,
    CHECKOUT,
    DROP,
    PARTS,
    THEIRS,
    around,
    change,
    changes,
    full,
    needs_shared,
    nodes,
    pointers,
    recorded,
    refusal,
    short,
    theirs,
)

STRICTER, WIDER = "stricter", "wider"
# (what docs/differences.md calls it, what ours is, where).
DIFFERENCES = (
    ("`ociVersion`", STRICTER, "/ociVersion"),
    ("`process.cwd`, `path` of hooks and devices", STRICTER, r"/process/cwd|/hooks/\w+/\d+/path|/linux/devices/\d+/path"),
    ("`linux.namespaces[].path`", STRICTER, r"/linux/namespaces/\d+/path"),
    (
        "`uid`, `gid`, `additionalGids`",
        STRICTER,
        r"/process/user/(uid|gid|additionalGids/\d+)|/linux/devices/\d+/[ug]id",
    ),
    ("`process.user.umask`", STRICTER, "/process/user/umask"),
    ("`process.consoleSize`", STRICTER, "/process/consoleSize/(height|width)"),
    ("`process.oomScoreAdj`", STRICTER, "/process/oomScoreAdj"),
    ("`process.ioPriority.priority`", STRICTER, "/process/ioPriority/priority"),
    ("`process.scheduler.nice`, `.priority`", STRICTER, "/process/scheduler/(nice|priority)"),
    (
        "`process.execCPUAffinity`, `linux.memoryPolicy.nodes`",
        STRICTER,
        "/process/execCPUAffinity/(initial|final)|/linux/memoryPolicy/nodes",
    ),
    ("`linux.intelRdt.enableCMT`, `enableMBM`", STRICTER, "/linux/intelRdt/enable(CMT|MBM)"),
    ("`process.rlimits[].type`", STRICTER, r"/process/rlimits/\d+/type"),
    ("`timeout` of hooks", STRICTER, r"/hooks/\w+/\d+/timeout"),
    ("`size` of mappings", STRICTER, r"(/linux|/mounts/\d+)/[ug]idMappings/\d+/size"),
    ("`linux.timeOffsets`", STRICTER, r"/linux/timeOffsets/(\w+(/nanosecs)?|x-unknown)"),
    ("`linux.personality.domain`, `linux.memoryPolicy.mode`", STRICTER, "/linux/personality/domain|/linux/memoryPolicy/mode"),
    (
        "`major`, `minor`",
        STRICTER,
        r"/linux/(devices|resources/devices|resources/blockIO/(weight|throttle\w+)Device)/\d+/(major|minor)",
    ),
    ("`rate` of throttled devices", STRICTER, r"/linux/resources/blockIO/throttle\w+Device/\d+/rate"),
    ("`linux.resources.devices[].type`", STRICTER, r"/linux/resources/devices/\d+/type"),
    ("`linux.seccomp.syscalls[].args[].index`", STRICTER, r"/linux/seccomp/syscalls/\d+/args/\d+/index"),
    ("`linux.maskedPaths`, `linux.readonlyPaths`", STRICTER, r"/linux/(masked|readonly)Paths/\d+"),
    ("`linux.rootfsPropagation`", WIDER, "/linux/rootfsPropagation"),
    ("`linux.devices[].fileMode`", WIDER, r"/linux/devices/\d+/fileMode"),
    ("`linux.resources.pids.limit`", WIDER, "/linux/resources/pids/limit"),
)
THEIR = {part: theirs(place) for part, (place, _) in PARTS.items()} if THEIRS.is_dir() else {}


def differences(part: str, document: object) -> set[str]:
    """Compare the three; return the names of the differences that were needed to explain what the schemas say."""
    refused = refusal(explain.CONVERTERS[part], document, "")
    ours = explain.structure(document, part)
    if refused is None:
        assert not ours, f"the parser takes {ours[0]}"
    else:
        assert str(refused).isprintable()
        assert ours, f"the schema takes {refused}"
        assert str(ours[0]) == str(refused), "the first violation is not the parser's"
    found = set()
    if part in THEIR:
        prefix = PARTS[part][1]
        mine = {prefix + error.pointer for error in ours}
        other = {prefix + at for at in pointers(THEIR[part].iter_errors(document))}
        for at, kind in [(at, STRICTER) for at in mine - other] + [(at, WIDER) for at in other - mine]:
            names = {name for name, is_, where in DIFFERENCES if is_ == kind and re.fullmatch(where, at)}
            assert names, f"ours is {kind} at {at}"
            found |= names
    return found


def test_every_place_changed_in_every_way():
    document = full()
    found, count = set(), 0
    for place in nodes(document):
        part = around(document, place)
        for how in changes(reduce(getitem, place, document)):
            if place or how is not DROP:
                found |= differences("config", change(part, place, how))
                count += 1
    assert count > 7000, count
    if THEIR:
        assert found == {name for name, _, _ in DIFFERENCES}, "a difference that is none any more"


PARSERS = {"config": parsing.parse, "process": parsing.parse_process}
RECORDED = [(part, short(document)) for part, _, document in recorded()]


@needs_shared
@settings(max_examples=500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_engines_write_with_something_wrong(data):
    part, document = data.draw(st.sampled_from(RECORDED))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(nodes(document)))
        how = data.draw(st.sampled_from([how for how in CHANGES if place or how is not DROP]))
        document = change(document, place, how)
    differences(part, document)
    if part in PARSERS and "Infinity" not in (text := json.dumps(document)):
        refused, found = refusal(PARSERS[part], text.encode()), explain.violations(document, part)
        assert (refused is None) == (found == ())
        if refused is not None:
            assert str(refused).isprintable()
            assert (refused.pointer, refused.message, refused.hint) == (found[0].pointer, found[0].message, found[0].hint)
            assert refused.others == tuple(other.pointer for other in found[1:])


@pytest.mark.parametrize("name", [name for name, _, _ in DIFFERENCES])
def test_a_difference_is_documented(name: str):
    section = (CHECKOUT / "docs/differences.md").read_text().partition("## Our schema and the specification's")[2]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")][1:]
    assert name in rows
    assert len(rows) == len(DIFFERENCES)
