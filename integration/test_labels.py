"""Labels and profiles of security modules: in a virtual machine that has them, and refused where there are none.

`integration/vm/run` boots one kernel with AppArmor, and one with SELinux and the policy of labels.cil.
"""

from __future__ import annotations

import pytest

from integration import labels
from integration.labels import FILES, LABEL, PROFILE
from integration.looking import refused

ignored = pytest.mark.pyrunc_only("ignores what the kernel lacks")
without_apparmor = pytest.mark.skipif(labels.apparmor(), reason="AppArmor is enabled")
with_apparmor = pytest.mark.skipif(not labels.apparmor(), reason="AppArmor is not enabled (tox -e vm has it)")
without_selinux = pytest.mark.skipif(labels.selinux(), reason="SELinux is enabled")
with_selinux = pytest.mark.skipif(not labels.selinux(), reason="SELinux is not enabled (tox -e vm has it)")
CURRENT = "/proc/self/attr/current"


@ignored
@without_selinux
def test_selinux_where_there_is_none(runtime, bundle):
    b = bundle()
    b.process["selinuxLabel"] = LABEL
    refused(runtime, b, "SELinux is not enabled on this host (at /process/selinuxLabel;")
    b = bundle()
    b.linux["mountLabel"] = LABEL
    refused(runtime, b, "SELinux is not enabled on this host (at /linux/mountLabel;")
    name = runtime.start(bundle())
    said = runtime.refuses("exec", "--process-label", LABEL, name, "true", status=255)
    assert "SELinux is not enabled on this host (at --process-label;" in said


@ignored
@without_apparmor
def test_apparmor_where_there_is_none(runtime, bundle):
    b = bundle()
    b.process["apparmorProfile"] = "unconfined"
    refused(runtime, b, "AppArmor is not enabled on this host (at /process/apparmorProfile;")
    name = runtime.start(bundle())
    said = runtime.refuses("exec", "--apparmor", "unconfined", name, "true", status=255)
    assert "AppArmor is not enabled on this host (at --apparmor;" in said


@pytest.fixture(scope="module")
def profile():
    labels.load_profiles()
    return PROFILE


@pytest.fixture(scope="module")  # before `runtime`, which looks at what is mounted
def policy(tmp_path_factory):
    labels.load_policy(tmp_path_factory.mktemp("policy"))


@with_apparmor
def test_an_apparmor_profile_binds_the_program(runtime, bundle, profile):
    b = bundle(f"cat {CURRENT}; cat /denied; cat /allowed")
    for name in ("denied", "allowed"):
        (b.rootfs / name).write_text(f"{name}\n")
    assert runtime.output(b).splitlines() == ["unconfined", "denied", "allowed"]
    b.process["apparmorProfile"] = profile
    done = runtime.run(b)
    assert done.stdout.splitlines() == [f"{profile} (enforce)", "allowed"]
    assert "can't open '/denied': Permission denied" in done.stderr


@with_apparmor
def test_an_apparmor_profile_of_exec(runtime, bundle, profile):
    b = bundle()
    name = runtime.start(b)
    done = runtime("exec", "--apparmor", profile, name, "cat", CURRENT)
    assert done.stdout == f"{profile} (enforce)\n"
    assert runtime.exec(name, "cat", CURRENT).stdout == "unconfined\n"


@with_apparmor
def test_an_apparmor_profile_with_everything_dropped(runtime, bundle, profile):
    """An ordinary user without privileges to gain gets it too."""
    b = bundle("cat", CURRENT)
    b.process.update(apparmorProfile=profile, noNewPrivileges=True, user={"uid": 1000, "gid": 1000})
    b.process["capabilities"] = {}
    assert runtime.output(b) == f"{profile} (enforce)\n"


@ignored
@with_apparmor
def test_an_apparmor_profile_that_is_not_loaded(runtime, bundle):
    b = bundle()
    b.process["apparmorProfile"] = "pyrunc-test-absent"
    refused(runtime, b, "(at /process/apparmorProfile")
    name = runtime.start(bundle())
    said = runtime.refuses("exec", "--apparmor", "pyrunc-test-absent", name, "true", status=255)
    assert "(at --apparmor" in said


@with_selinux
def test_a_selinux_label_of_the_program(runtime, bundle, policy):
    b = bundle("cat", CURRENT)
    b.process["selinuxLabel"] = LABEL
    assert runtime.output(b).strip("\0\n") == LABEL
    b = bundle()
    name = runtime.start(b)
    assert runtime("exec", "--process-label", LABEL, name, "cat", CURRENT).stdout.strip("\0\n") == LABEL
    assert runtime.exec(name, "cat", CURRENT).stdout.startswith("system_u:system_r:base_t")


@with_selinux
def test_a_selinux_label_of_mounts(runtime, bundle, policy):
    b = bundle("grep -E ' (/dev|/dev/shm|/data) ' /proc/mounts")
    b.linux["mountLabel"] = FILES
    # runc gives each mqueue a label of its own, which the file system does not take under this policy.
    b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["type"] != "mqueue"]
    b.mount("/data", "tmpfs", "tmpfs", "nosuid")
    lines = runtime.output(b).splitlines()
    assert len(lines) == 3, lines
    for line in lines:
        assert f'context="{FILES}"' in line, line


@with_selinux
@pytest.mark.cruns("runc has no such annotation")
@pytest.mark.parametrize("kind", ["context", "fscontext", "rootcontext"])
def test_an_annotation_says_which_option_gives_the_label_of_mounts(runtime, bundle, policy, kind):
    """run.oci.mount_context_type (crun(1)); the kernel shows the option with the mount.

    It takes defcontext for no file system to which the policy gives labels by transition, as this one does to tmpfs.
    """
    b = bundle("grep -E ' (/dev/shm|/data) ' /proc/mounts")
    b.linux["mountLabel"] = FILES
    b.config["annotations"] = {"run.oci.mount_context_type": kind}
    b.config["mounts"] = [mount for mount in b.config["mounts"] if mount["type"] != "mqueue"]
    b.mount("/data", "tmpfs", "tmpfs", "nosuid")
    lines = runtime.output(b).splitlines()
    assert len(lines) == 2, lines
    for line in lines:
        assert f',{kind}="{FILES}"' in line, line


@ignored
@with_selinux
def test_a_selinux_label_that_the_policy_does_not_know(runtime, bundle, policy):
    b = bundle()
    b.process["selinuxLabel"] = "system_u:system_r:absent_t:s0"
    refused(runtime, b, "(at /process/selinuxLabel")
    b = bundle()
    b.linux["mountLabel"] = "system_u:object_r:absent_t:s0"
    refused(runtime, b, "/linux/mountLabel")
