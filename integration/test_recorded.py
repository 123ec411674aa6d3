"""What engines wrote for real (PYRUNC_SHARED, configs/): each runs, over our root and without what is gone with its machine.

Kept is what the engine asked of a runtime: namespaces, mounts, limits, devices, capabilities, seccomp and all the
rest.  What the engine had on its own machine gets a substitute, or goes: the root, the sources of bind mounts, namespaces
that were somebody else's, hooks, the parent cgroup, and the program, which looks at what the configuration asked for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from integration.looking import reachable

SHARED = Path(os.environ.get("PYRUNC_SHARED") or Path(__file__).parents[2] / "shared")
OTHERS = (".exec-process", ".update-resources")
CONFIGS = sorted(path for path in SHARED.glob("configs/*/*.json") if not any(other in path.name for other in OTHERS))
ABSENT = pytest.mark.skip(reason=f"no configs in {SHARED}: set PYRUNC_SHARED to their directory")
LOOK = "cat /proc/self/status /proc/self/uid_map; echo; hostname; pwd; cut -d' ' -f5 /proc/self/mountinfo"


def resourceful() -> bool:
    """Return whether we have CAP_SYS_RESOURCE ourselves, which virtual machines like to withhold."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm"))
    return bool(int(line.split()[1], 16) >> 24 & 1)


def called(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def supplied(b, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return RECORDED with what only its own machine had replaced, for bundle B."""
    config = json.loads(json.dumps(recorded))
    config["root"]["path"] = "rootfs"
    config["process"] |= {"args": ["/bin/sh", "-c", LOOK], "terminal": False}
    config["process"].pop("consoleSize", None)
    config.pop("hooks", None)
    sources = b.path / "sources"
    sources.mkdir(mode=0o755)
    for index, mount in enumerate(config["mounts"]):
        if {"bind", "rbind"} & set(mount.get("options", ())) and mount["source"].startswith(("/srv/engine", "/var/tmp")):
            place = sources / str(index)
            place.mkdir() if mount["destination"] in ("/dev/shm", "/v", "/mnt/x", "/srv/engine") else place.touch()
            mount["source"] = str(place)
    linux = config["linux"]
    linux.pop("cgroupsPath", None)
    for name in ("realtimeRuntime", "realtimePeriod"):  # a share of what the parent has, and new ones have nothing
        linux.get("resources", {}).get("cpu", {}).pop(name, None)
    for namespace in linux["namespaces"]:
        namespace.pop("path", None)
    if any(namespace["type"] == "user" for namespace in linux["namespaces"]):
        for kind in ("uidMappings", "gidMappings"):
            linux[kind] = linux.get(kind) or [{"containerID": 0, "hostID": 0, "size": 65536}]
        reachable(b.path)
        first = {kind: linux[f"{kind}Mappings"][0]["hostID"] for kind in ("uid", "gid")}
        for place in (b.rootfs, *b.rootfs.rglob("*"), sources, *sources.iterdir()):
            os.chown(place, first["uid"], first["gid"], follow_symlinks=False)
    return config


@pytest.mark.parametrize("path", CONFIGS or [pytest.param(SHARED, marks=ABSENT)], ids=called)
def test_it_runs_as_the_engine_asked(runtime, bundle, path):
    recorded = json.loads(path.read_text())
    if runtime.name == "runc" and "CAP_SYS_RESOURCE" in recorded["process"]["capabilities"]["effective"] and not resourceful():
        pytest.skip("1.1 fails for a capability that it does not have itself")
    b = bundle()
    (b.path / "rootfs" / recorded["process"]["cwd"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    b.config = supplied(b, recorded)
    done = runtime.run(b, check=False)
    assert done.returncode == 0, done.stderr
    status, _, rest = done.stdout.partition("\n\n")
    hostname, cwd, *points = rest.splitlines()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    asked = recorded["process"]
    assert fields["Uid"].split()[1] == str(asked["user"]["uid"])
    assert int(fields["NoNewPrivs"]) == int(asked.get("noNewPrivileges", False))
    assert (int(fields["Seccomp"]) == 2) == bool(recorded["linux"].get("seccomp"))
    assert cwd == asked["cwd"]
    if any(namespace["type"] == "uts" for namespace in recorded["linux"]["namespaces"]) and recorded.get("hostname"):
        assert hostname == recorded["hostname"]
    assert {mount["destination"] for mount in recorded["mounts"]} <= set(points)
