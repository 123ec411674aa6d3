"""Capabilities: the five sets, of root and of others, in run and in exec (capabilities(7))."""

from __future__ import annotations

import json

import pytest

from integration.looking import ALL_SETS, become, fields, give, status_inside

CAP = {
    "CAP_CHOWN": 0,
    "CAP_KILL": 5,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_ADMIN": 21,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SYSLOG": 34,
    "CAP_BPF": 39,
}
SETS = {
    "bounding": "CapBnd",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}


def mask(*names):
    return f"{sum(1 << CAP[name] for name in names):016x}"


def sets(status):
    return {name: status[field] for name, field in SETS.items()}


def test_the_five_sets_of_a_user(runtime, bundle):
    b = become(bundle(), 1000)
    b.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_KILL"],
    }
    found = sets(status_inside(runtime, b))
    assert found["bounding"] == mask("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT")
    assert found["inheritable"] == mask("CAP_KILL", "CAP_NET_RAW")
    # What a user keeps over execve is what is ambient.
    assert found["ambient"] == found["effective"] == found["permitted"] == mask("CAP_KILL")


def test_root_gets_its_bounding_set(runtime, bundle):
    found = sets(status_inside(runtime, give(bundle(), "CAP_CHOWN", "CAP_KILL")))
    assert found["effective"] == found["permitted"] == found["bounding"] == mask("CAP_CHOWN", "CAP_KILL")
    assert found["inheritable"] == found["ambient"] == mask()


@pytest.mark.parametrize("uid", [0, 1000])
def test_none_at_all(runtime, bundle, uid):
    b = become(bundle(), uid)
    b.process["capabilities"] = {}
    assert set(sets(status_inside(runtime, b)).values()) == {mask()}


@pytest.mark.pyrunc_only("leaves the process all that the runtime has")
@pytest.mark.parametrize("uid", [0, 1000])
def test_what_is_not_asked_for_is_not_given(runtime, bundle, uid):
    b = become(bundle(), uid)
    del b.process["capabilities"]
    assert set(sets(status_inside(runtime, b)).values()) == {mask()}


def test_a_user_without_ambient_ones_has_none(runtime, bundle):
    found = sets(status_inside(runtime, become(give(bundle(), "CAP_KILL"), 1000)))
    assert found["effective"] == found["permitted"] == mask()
    assert found["bounding"] == mask("CAP_KILL")


def test_those_of_the_second_word(runtime, bundle):
    names = ("CAP_CHOWN", "CAP_SYSLOG", "CAP_BPF")
    found = sets(status_inside(runtime, give(bundle(), *names)))
    assert found["effective"] == found["bounding"] == mask(*names)


def test_what_spec_writes_is_not_inheritable(runtime, bundle):
    """CVE-2022-29162: nothing may be inheritable that nobody asked for."""
    found = sets(status_inside(runtime, bundle()))
    assert found["inheritable"] == found["ambient"] == mask()
    assert found["effective"] == mask("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")


@pytest.mark.parametrize("kind", ["exec", "run"])
def test_an_unknown_one_is_left_out_with_a_warning(runtime, bundle, kind):
    b = give(bundle(), "CAP_KILL", "CAP_NONSENSE")
    log = runtime.directory / "log"
    if kind == "run":
        b.process["args"] = ["cat", "/proc/self/status"]
        name = runtime._prepare(b)
        done = runtime("--log", str(log), "run", "--bundle", str(b.path), name)
    else:
        name = runtime.start(bundle())
        document = {**b.process, "args": ["cat", "/proc/self/status"]}
        (b.path / "process.json").write_text(json.dumps(document))
        done = runtime("--log", str(log), "exec", "--process", str(b.path / "process.json"), name)
    assert fields(done.stdout)["CapEff"] == mask("CAP_KILL")
    assert "CAP_NONSENSE" in log.read_text()
    assert "warn" in log.read_text()


def test_they_work_and_their_lack_too(runtime, bundle):
    words = "chown 7 /tmp/file && echo owned; chroot / true && echo jailed"
    for names, out in ((("CAP_CHOWN",), "owned\n"), (("CAP_SYS_CHROOT",), "jailed\n"), ((), "")):
        b = give(bundle("sh", "-c", words), *names)
        (b.rootfs / "tmp/file").touch()
        assert runtime.run(b, check=False).stdout == out


def test_an_ambient_one_works_for_a_user(runtime, bundle):
    b = become(give(bundle("chroot / echo jailed; cat /proc/self/status"), "CAP_SYS_CHROOT"), 1000)
    b.process["capabilities"].update(inheritable=["CAP_SYS_CHROOT"], ambient=["CAP_SYS_CHROOT"])
    assert runtime.output(b).startswith("jailed\n")


@pytest.mark.parametrize("keep", ["inheritable", "permitted"])
def test_an_ambient_one_must_be_both_permitted_and_inheritable(runtime, bundle, keep):
    """What cannot be is left out, as capabilities(7) has it; runc warns."""
    b = become(bundle(), 1000)
    b.process["capabilities"] = {"bounding": ["CAP_KILL"], keep: ["CAP_KILL"], "ambient": ["CAP_KILL"]}
    assert sets(status_inside(runtime, b))["ambient"] == mask()


# exec


def test_exec_has_those_of_the_config(runtime, bundle):
    name = runtime.start(give(bundle(), "CAP_KILL", "CAP_CHOWN"))
    found = sets(fields(runtime.exec(name, "cat", "/proc/self/status").stdout))
    assert found["effective"] == found["bounding"] == mask("CAP_KILL", "CAP_CHOWN")
    assert found["inheritable"] == mask()


def test_exec_with_more(runtime, bundle):
    """CVE-2022-29162 again: --cap makes nothing inheritable that is not in the config."""
    name = runtime.start(give(bundle(), "CAP_KILL"))
    out = runtime("exec", "--cap", "CAP_CHOWN", name, "cat", "/proc/self/status").stdout
    found = sets(fields(out))
    assert found["effective"] == found["permitted"] == mask("CAP_KILL", "CAP_CHOWN")
    assert found["inheritable"] == mask()


@pytest.mark.parametrize("uid", [0, 1000])
def test_exec_with_a_process_of_its_own(runtime, bundle, uid):
    name = runtime.start(bundle())
    b = become(give(bundle(), "CAP_NET_RAW", sets=[*ALL_SETS, "inheritable", "ambient"]), uid)
    document = {**b.process, "args": ["cat", "/proc/self/status"]}
    (b.path / "process.json").write_text(json.dumps(document))
    out = runtime("exec", "--process", str(b.path / "process.json"), name).stdout
    assert set(sets(fields(out)).values()) == {mask("CAP_NET_RAW")}


def test_init_and_a_waiting_init_have_no_more(runtime, bundle):
    name = runtime.create(give(bundle(), "CAP_KILL"))
    pid = runtime.pid(name)
    with open(f"/proc/{pid}/status") as file:
        waiting = fields(file.read())
    assert waiting["CapBnd"] == mask("CAP_KILL") or runtime.name == "runc"
    runtime("start", name)
    with open(f"/proc/{pid}/status") as file:
        assert sets(fields(file.read()))["effective"] == mask("CAP_KILL")
