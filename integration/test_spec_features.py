"""The features document (features.md, features-linux.md): true, complete, and the same on every machine."""

from __future__ import annotations

import json
import subprocess

import pytest

from integration.looking import volume

pytestmark = pytest.mark.pyrunc_only("1.1 of Debian 12 follows an older version")

STRINGS, BOOLEAN = [str], bool
ENABLED = {"enabled": BOOLEAN}
# Every property of version 1.3.0.
KNOWN = {
    "ociVersionMin": str,
    "ociVersionMax": str,
    "hooks": STRINGS,
    "mountOptions": STRINGS,
    "annotations": {str: str},
    "potentiallyUnsafeConfigAnnotations": STRINGS,
    "linux": {
        "namespaces": STRINGS,
        "capabilities": STRINGS,
        "cgroup": dict.fromkeys(("v1", "v2", "systemd", "systemdUser", "rdma"), BOOLEAN),
        "seccomp": {**ENABLED, **dict.fromkeys(("actions", "operators", "archs", "knownFlags", "supportedFlags"), STRINGS)},
        "apparmor": ENABLED,
        "selinux": ENABLED,
        "memoryPolicy": {"modes": STRINGS, "flags": STRINGS},
        "intelRdt": dict.fromkeys(("enabled", "schemata", "monitoring"), BOOLEAN),
        "mountExtensions": {"idmap": ENABLED},
        "netDevices": ENABLED,
    },
}
# config.md, "Linux mount options"; what is not here would belong to some file system.
OPTIONS = """
    async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev nodiratime
    noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
    rdiratime relatime remount rexec ridmap rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid
    rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared
    silent slave strictatime suid symfollow sync tmpcopyup unbindable
""".split()


@pytest.fixture
def features(runtime):
    return json.loads(runtime("features").stdout)


def conforms(value, kind, at=""):
    """Check that VALUE has no property that KIND does not know, and the right types."""
    if kind == STRINGS:
        assert all(type(item) is str for item in value), at
        assert len(set(value)) == len(value), at
    elif isinstance(kind, dict):
        assert type(value) is dict, at
        for name, item in value.items():
            assert name in kind or str in kind, f"{at}/{name}"
            conforms(item, kind.get(name, kind.get(str)), f"{at}/{name}")
    else:
        assert type(value) is kind, at


def test_no_property_that_the_version_does_not_have(features):
    conforms(features, KNOWN)


@pytest.mark.parametrize("which", ["ociVersionMin", "ociVersionMax"])
def test_both_versions_are_accepted(runtime, bundle, features, which):
    b = bundle("echo", "ran")
    b.config["ociVersion"] = features[which]
    assert runtime.output(b) == "ran\n"


def test_the_least_version_is_not_above_the_greatest(features):
    least, greatest = (tuple(map(int, features[key].split("."))) for key in ("ociVersionMin", "ociVersionMax"))
    assert (1, 0, 0) <= least <= greatest


def test_the_machine_does_not_matter(runtime):
    """Without cgroups, processes and devices in sight it says the same."""
    hide = 'for d in /sys /proc /dev; do mount -t tmpfs none $d; done; exec "$0" "$@"'
    command = ["unshare", "--mount", "sh", "-c", hide, *runtime.argv("features")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == runtime("features").stdout


def test_every_hook_runs(runtime, bundle, features, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    b = bundle()
    b.mount(str(shared), "bind", str(shared), "bind")
    b.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo >{shared}/{kind}"]}] for kind in features["hooks"]}
    name = runtime.start(b)
    runtime.end(name)
    runtime("delete", name)
    assert {path.name for path in shared.iterdir()} == set(features["hooks"])


def test_mount_options_are_the_specifications(features):
    """And crun's (docs/crun.md)."""
    assert set(features["mountOptions"]) <= {*OPTIONS, *CRUNS}


CRUNS = {"copy-symlink", "dest-nofollow", "src-nofollow", "rasync", "rdirsync", "rmand", "rnomand", "rsync"}
# What a file system takes and a bind cannot; and what needs more than the word, which test_mounts.py and test_idmap.py have.
OF_THE_FILE_SYSTEM = {"dirsync", "lazytime", "mand", "sync", "tmpcopyup", "rdirsync", "rmand", "rsync"}
NEEDING_MORE = {"idmap", "iversion", "remount", "ridmap"}


def test_every_mount_option_is_understood(runtime, bundle, features):
    """None reaches the file system as an option of its own, which tmpfs would refuse by name."""
    b = bundle("echo", "ran")
    path = volume(b)
    for number, option in enumerate(sorted(set(features["mountOptions"]) - NEEDING_MORE)):
        if option in OF_THE_FILE_SYSTEM:
            b.mount(f"/data/{number}", "tmpfs", "tmpfs", option)
        else:
            b.mount(f"/data/{number}", "bind", str(path), *{"bind", option} - ({"bind"} if option == "rbind" else set()))
    assert runtime.output(b) == "ran\n"
    for option in sorted({"async", "defaults", "loud", "silent", "noiversion", "nolazytime", "nomand"} & set(features["mountOptions"])):
        b = bundle("echo", "ran")
        b.mount("/data", "tmpfs", "tmpfs", option)
        assert runtime.output(b) == "ran\n", option


def test_idmap_is_enabled_if_it_is_understood(runtime, bundle, features):
    """Understood, be it in part: what is not is refused as such."""
    b = bundle("true")
    b.mount("/data", "bind", str(volume(b)), "bind", "idmap")
    rows = [{"containerID": 0, "hostID": 100000, "size": 10}]
    b.config["mounts"][-1].update(uidMappings=rows, gidMappings=rows)
    said = runtime.run(b, check=False).stderr
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] == ("not supported" not in said)


def test_every_namespace_is_understood(runtime, bundle, features):
    assert set(features["linux"]["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
    for kind in set(features["linux"]["namespaces"]) - {"user"}:  # which needs mappings: test_userns.py
        b = bundle("echo", "ran")
        b.namespace(kind)
        assert runtime.output(b) == "ran\n"


def test_every_capability_is_understood(runtime, bundle, features):
    b = bundle("echo", "ran")
    names = features["linux"]["capabilities"]
    assert {"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"} <= set(names)
    b.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    log = runtime.directory / "log"
    name = runtime.prepare(b)
    assert runtime("--log", str(log), "run", "--bundle", str(b.path), name).stdout == "ran\n"
    assert not log.exists() or "unknown" not in log.read_text()


@pytest.mark.parametrize("which", ["actions", "operators", "archs", "knownFlags", "supportedFlags"])
def test_every_word_of_seccomp_is_understood(runtime, bundle, features, which):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    words = features["linux"]["seccomp"][which]
    assert words
    for word in words:
        rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
        made = {**profile, "syscalls": [rule]}
        if which == "actions":
            if word == "SCMP_ACT_NOTIFY":
                continue  # which needs a listener
            rule["action"] = word
        elif which == "operators":
            rule["args"] = [{"index": 0, "value": 1, "op": word}]
        elif which == "archs":
            made["architectures"] = [word]
        elif word != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV":  # the kernel takes it with a listener only
            made["flags"] = [word]
        b = bundle("echo", "ran")
        b.linux["seccomp"] = made
        done = runtime.run(b, check=False)
        if which == "archs" and done.returncode:  # known here, and not to the installed libseccomp
            assert f"does not know {word}" in done.stderr or f"{word} cannot share a filter" in done.stderr
        else:
            assert done.stdout == "ran\n", (word, done.stderr)


@pytest.mark.pyrunc_only("1.1 does not have the list")
def test_annotations_that_change_what_the_host_does(runtime):
    """CVE-2024-3154: with systemd, an annotation becomes a property of the unit."""
    document = json.loads(runtime("features").stdout)
    listed = document["potentiallyUnsafeConfigAnnotations"]
    assert listed[:3] == ["bundle", "org.systemd.property.", "org.criu.config"]
    assert runtime.name != "pyrunc" or {name for name in listed[3:] if name.startswith("run.oci.")} == set(listed[3:])
    assert document["linux"]["cgroup"]["systemd"] is True


def test_it_is_written_as_runc_writes_it(runtime):
    text = runtime("features").stdout
    assert text == json.dumps(json.loads(text), indent=4) + "\n"
    order = ["ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations", "potentiallyUnsafeConfigAnnotations"]
    assert list(json.loads(text)) == order
