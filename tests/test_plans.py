"""Golden plans: small configs, each about one subject, and the plans that come of them.

After a change of the planner: `pytest tests/test_plans.py --update-golden`, then read the diff.
"""

from __future__ import annotations

import pytest

from pyrunc.plan import text
from tests.planned import CASES, DOCUMENTS, GOLDEN, JOINS, ON, REQUESTS, Case, case_id


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_plan_is_as_written_down(case: Case, request: pytest.FixtureRequest):
    found = text.render(case.build())
    if request.config.getoption("--update-golden"):
        case.plan_path.write_text(found)
    assert case.plan_path.exists(), f"{case.plan_path.name} is missing: run pytest {__file__} --update-golden"
    assert found.splitlines() == case.plan_path.read_text().splitlines()


def test_every_plan_has_its_config(request: pytest.FixtureRequest):
    expected = {case.plan_path for case in CASES}
    found = set(GOLDEN.glob("*.plan"))
    if request.config.getoption("--update-golden"):
        for path in found - expected:
            path.unlink()
        found &= expected
    assert {path.name for path in found} == {path.name for path in expected}


def test_the_tables_name_configs_that_are_there():
    assert {*ON, *REQUESTS, *JOINS} <= {path.stem for path in DOCUMENTS}
