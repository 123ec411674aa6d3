"""/process/apparmorProfile: on a kernel with AppArmor, and on one without (config.md, "Linux Process")."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.looking import refused

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
here = ENABLED.exists() and ENABLED.read_text().startswith("Y")
with_it = pytest.mark.skipif(not here, reason="this kernel has no AppArmor, or it is off (tox -e vm has it)")
without = pytest.mark.skipif(here, reason="this kernel has AppArmor")


@with_it
@pytest.mark.parametrize("kind", ["run", "exec"])
def test_the_profile_of_the_process(runtime, bundle, kind):
    b = bundle("cat", "/proc/self/attr/apparmor/current")
    b.process["apparmorProfile"] = "unconfined"
    if kind == "run":
        assert runtime.output(b).strip() == "unconfined"
        return
    name = runtime.start(bundle())
    assert runtime("exec", "--apparmor", "unconfined", name, "true").returncode == 0


@with_it
def test_a_profile_that_is_not_loaded(runtime, bundle):
    b = bundle("true")
    b.process["apparmorProfile"] = "no-such-profile-of-pyrunc"
    err = refused(runtime, b)
    if runtime.name == "pyrunc":
        assert "/process/apparmorProfile" in err


@without
@pytest.mark.parametrize("kind", ["run", "exec", "document"])
def test_without_apparmor_it_is_refused(runtime, bundle, kind, tmp_path):
    b = bundle("true")
    b.process["apparmorProfile"] = "some-profile"
    if kind == "run":
        refused(runtime, b, "apparmor" if runtime.name == "runc" else "(at /process/apparmorProfile;")
        return
    name = runtime.start(bundle())
    if kind == "exec":
        words = ("--apparmor", "some-profile", name, "true")
    else:
        (tmp_path / "process.json").write_text(json.dumps(b.process))
        words = ("--process", str(tmp_path / "process.json"), name)
    done = runtime("exec", *words, check=False)
    assert done.returncode != 0
    assert "apparmor" in done.stderr.lower()
