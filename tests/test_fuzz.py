"""Whatever a document or a text says, it is taken or refused in words: no other exception, no hang, no memory that stays.

tests/fuzzing.py has the targets; script/fuzz goes on for minutes, from other seeds.
"""

from __future__ import annotations

import ast
import gc

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzzing import TARGETS, corpus, one, resident

EXAMPLES = 500
MEMORY = 48 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_taken_or_refused(name):
    target = TARGETS[name]
    for path in corpus(name):
        one(name, ast.literal_eval(path.read_text()))
    sizes = []

    @settings(max_examples=int(EXAMPLES * target.share), suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def run(made):
        one(name, made)
        if not sizes:
            sizes.append(resident())

    run()
    gc.collect()
    assert resident() - sizes[0] < MEMORY
