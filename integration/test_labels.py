"""Labels and profiles of security modules, on a machine without them; tests/test_labels.py has the plans of those with."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.looking import refused

pytestmark = pytest.mark.pyrunc_only("ignores what the kernel lacks")
apparmor = Path("/sys/module/apparmor/parameters/enabled")
without_apparmor = pytest.mark.skipif(apparmor.exists() and apparmor.read_text()[:1] == "Y", reason="AppArmor is enabled")
with_apparmor = pytest.mark.skipif(not apparmor.exists() or apparmor.read_text()[:1] != "Y", reason="AppArmor is not enabled")
without_selinux = pytest.mark.skipif(" - selinuxfs " in Path("/proc/self/mountinfo").read_text(), reason="SELinux is enabled")
LABEL = "system_u:system_r:container_t:s0:c1,c2"


@without_selinux
def test_selinux(runtime, bundle):
    b = bundle()
    b.process["selinuxLabel"] = LABEL
    refused(runtime, b, "SELinux is not enabled on this host (at /process/selinuxLabel;")
    b = bundle()
    b.linux["mountLabel"] = LABEL
    refused(runtime, b, "SELinux is not enabled on this host (at /linux/mountLabel;")
    name = runtime.start(bundle())
    said = runtime.refuses("exec", "--process-label", LABEL, name, "true", status=255)
    assert "SELinux is not enabled on this host (at /selinuxLabel;" in said


@without_apparmor
def test_apparmor_where_there_is_none(runtime, bundle):
    b = bundle()
    b.process["apparmorProfile"] = "unconfined"
    refused(runtime, b, "AppArmor is not enabled on this host (at /process/apparmorProfile;")
    name = runtime.start(bundle())
    said = runtime.refuses("exec", "--apparmor", "unconfined", name, "true", status=255)
    assert "AppArmor is not enabled on this host (at /apparmorProfile;" in said


@with_apparmor
def test_apparmor(runtime, bundle):
    """The profile "unconfined" is always there; one that is not loaded is an error."""
    b = bundle("cat", "/proc/self/attr/current")
    b.process["apparmorProfile"] = "unconfined"
    assert runtime.output(b).startswith("unconfined")
    name = runtime.start(bundle())
    assert runtime.exec("--apparmor", "unconfined", name, "cat", "/proc/self/attr/current").stdout.startswith("unconfined")
    said = runtime.refuses("exec", "--apparmor", "pyrunc-test-absent", name, "true", status=255)
    assert "(at /apparmorProfile" in said
    b.process["apparmorProfile"] = "pyrunc-test-absent"
    refused(runtime, b, "(at /process/apparmorProfile")
