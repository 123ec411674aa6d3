"""Planning is pure: Python tells its auditors (PEP 578) of no file, process, socket or import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# An audit hook cannot be taken away again, so it gets an interpreter of its own.
PROGRAM = """
import sys
sys.path[:0] = {path!r}
from tests.planned import CASES, Case

heard, names = [], []
documents = {{case: case.document.read_bytes() for case in CASES}}
for case, text in documents.items():
    case.plan(text)  # what is imported late is imported here
listening = True
sys.addaudithook(lambda event, _: heard.append(event) if listening else None)
for case, text in documents.items():
    case.plan(text)
listening = False
open({canary!r}).close()
listening = True
open({canary!r}).close()
listening = False
print(len(documents), heard)
"""


def test_planning_touches_nothing(checkout: Path):
    path = [str(checkout / "runtime"), str(checkout)]
    program = PROGRAM.format(path=path, canary=__file__)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, heard = done.stdout.strip().split(" ", 1)
    assert int(count) > 20
    assert heard == "['open']"  # the canary alone
