"""The golden cases: which config of tests/golden is planned for which machine, and how it was asked for.

NAME.json is a config.json, or a process.json where the name begins with `exec`.
It is planned for a machine with cgroup v2 into NAME.plan, or for each machine of
ON into NAME.MACHINE.plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from pyrunc.cgroup import paths
from pyrunc.host.facts import HostFacts
from pyrunc.oci import parsing
from pyrunc.oci.linux import Linux, linux
from pyrunc.plan import build
from pyrunc.plan.op import Plan
from pyrunc.plan.request import Request
from tests.machines import MACHINES

GOLDEN = Path(__file__).parent / "golden"
DEFAULT = "v2"
EVERY = ("v1", "v2", "hybrid")
# Configs that mean another thing on other machines.
ON = {
    "cgroup-mount": EVERY,
    "cgroup-namespace": EVERY,
    "resources": EVERY,
    "systemd": EVERY,
    "systemd-subgroup": ("v1", "v2"),
    "device-rules": ("v1", "v2"),
    "exec": EVERY,
    "minimal": ("v2", "v2-6.14"),
    "exec-traced": ("v1", "v2"),
    "exec-user": ("v2", "v2-user"),
    "rootless-spec": ("v2", "v1-user", "v2-user"),
    "rootless-ids": ("v2-user",),
    "time-user-namespace": ("v2", "v2-user"),
}
# What the caller asks for beside the config.
REQUESTS = {
    "systemd": {"systemd": True},
    "systemd-subgroup": {"systemd": True},
    "no-pivot": {"no_pivot": True},
    "mount-links": {"links": ((2, "target"),)},
    "exec-traced": {"traced": True},
    "run": {"wait": False, "no_new_keyring": True, "preserve_fds": 2},
}
# Namespaces of the container that an exec enters.
JOINS = {
    "exec": ("mount", "uts", "ipc", "network", "pid", "cgroup"),
    "exec-limited": ("mount", "pid"),
    "exec-traced": ("mount", "uts", "ipc", "network", "pid", "cgroup"),
    "exec-user": ("user", "mount", "pid"),
}
FILTER = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "execveat"], "action": "SCMP_ACT_ALLOW"}]}
# What their configs say about every process.
LINUX = {
    "exec-limited": linux({"resources": {"memory": {"limit": 2097152}}}, "/linux"),
    "exec-user": linux({"seccomp": FILTER, "personality": {"domain": "LINUX32"}}, "/linux"),
}


class Case(NamedTuple):
    """One golden plan."""

    document: Path
    host: str

    @property
    def name(self) -> str:
        return self.document.stem

    @property
    def plan_path(self) -> Path:
        return self.document.with_suffix(f".{self.host}.plan" if self.name in ON else ".plan")

    def build(self) -> Plan:
        return self.plan(self.document.read_bytes())

    def plan(self, text: bytes) -> Plan:
        """Return the plan of the document in TEXT, on this machine and as this case was asked for."""
        facts = MACHINES[self.host]
        asked = request(**REQUESTS.get(self.name, {}))
        if self.name in JOINS:
            added = parsing.parse_process(text)
            where = paths.writable(facts.cgroups, paths.places(facts.cgroups, "", asked.id))
            return build.build_exec(added, JOINS[self.name], where, LINUX.get(self.name, Linux()), facts, asked)
        return plan(text, facts, asked)


def request(**changes: object) -> Request:
    """Return what create asks for container "box", with CHANGES."""
    usual = {"id": "box", "bundle": "/bundle", "rootfs": "/bundle/rootfs", "wait": True, "seccomp_cache": "/run/pyrunc/.seccomp"}
    return Request(**{**usual, **changes})


def plan(text: bytes, facts: HostFacts, asked: Request | None = None) -> Plan:
    """Return the plan of the config in TEXT."""
    return build.build(parsing.parse(text), facts, asked or request())


def plan_of(document: object, host: str = DEFAULT) -> Plan:
    """Return the plan of config DOCUMENT on machine HOST."""
    return plan(json.dumps(document).encode(), MACHINES[host])


def minimal(**changes: object) -> dict:
    """Return the smallest config that can be planned, with CHANGES at its top."""
    process = {"cwd": "/", "args": ["/bin/true"]}
    linux = {"namespaces": [{"type": "pid"}, {"type": "mount"}]}
    return {"ociVersion": "1.3.0", "process": process, "root": {"path": "rootfs"}, "linux": linux, **changes}


DOCUMENTS = sorted(GOLDEN.glob("*.json"))
CASES = [Case(path, host) for path in DOCUMENTS for host in ON.get(path.stem, (DEFAULT,))]


def case_id(case: Case) -> str:
    """Return the name of CASE in the output of pytest."""
    return case.plan_path.stem
