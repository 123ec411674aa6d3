"""The golden configurations (tests/golden) as bundles of this machine: what they name is made, or another takes its place."""

from __future__ import annotations

import copy
import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from integration.harness.ordinary import UID
from integration.looking import has_controller, unified
from tests.planned import DOCUMENTS, JOINS, ON, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration.harness.bundle import Bundle

BY_PATH = {path.stem: path for path in DOCUMENTS}
FILTER = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "execveat"], "action": "SCMP_ACT_ALLOW"}]}
# What their containers are like, as tests/planned.py has it.
CONTAINERS: dict[str, dict[str, Any]] = {
    "exec-limited": {"resources": {"memory": {"limit": 2097152}}},
    "exec-user": {"seccomp": FILTER, "personality": {"domain": "LINUX32"}},
}
TOP = re.compile(r"^/(srv|var|data|layers|[abuw](?=$|/))")
MAPS = ("uidMappings", "gidMappings")
# What no machine of ours has; what is lost with it are the ops that ask for it.
NOT_HERE = {"rdma": "no such device", "apparmorProfile": "no such profile", "/disk": "no such disk"}


class Golden(NamedTuple):
    """One golden configuration: its name, and whether an ordinary user is to run it."""

    name: str
    user: bool = False

    def __str__(self) -> str:
        return f"{self.name}{' by a user' if self.user else ''}"

    @property
    def is_exec(self) -> bool:
        """Return whether it is a process for a container, and not a container."""
        return self.name in JOINS

    def document(self) -> dict[str, Any]:
        """Return it as it is written."""
        document: dict[str, Any] = json.loads(BY_PATH[self.name].read_text())
        return document

    def options(self) -> dict[str, Any]:
        """Return what its caller asks for, in the words of a verb's options."""
        asked = dict(REQUESTS.get(self.name, {}))
        asked.pop("wait", None)
        for found in ("traced", "links"):  # found, not asked for: by a capability in its document, and by what a source is
            asked.pop(found, None)
        if asked.pop("systemd", False):
            asked["systemd_cgroup"] = True
        return asked


def all_of_them() -> Iterator[Golden]:
    """Yield every golden configuration, twice if it means another thing for an ordinary user."""
    for name in BY_PATH:
        machines = ON.get(name, ("v2",))
        if not all(machine.endswith("-user") for machine in machines):
            yield Golden(name)
        if any(machine.endswith("-user") for machine in machines):
            yield Golden(name, user=True)


def not_here(golden: Golden) -> str:
    """Return why GOLDEN cannot be run on this machine, "" if it can."""
    if golden.name.startswith("systemd") and not Path("/run/systemd/system").is_dir():
        return "systemd is not process 1 here"
    if golden.name == "unified" and not unified():
        return "cgroup version 1 has no unified resources"
    return ""


def replaced(value: Any, change: Callable[[str], str]) -> Any:
    """Return VALUE, of JSON, with each string as CHANGE makes it."""
    if isinstance(value, dict):
        return {key: replaced(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


class Local:
    """Makes the configuration of GOLDEN one of bundle B, beside a container whose process is PID."""

    def __init__(self, golden: Golden, b: Bundle, pid: int) -> None:
        """Make the directory in which its sources lie."""
        self.golden, self.b, self.pid = golden, b, pid
        self.sources = b.path / "sources"
        self.sources.mkdir(exist_ok=True)

    def config(self, cgroup: str, mounts_of: int = 0, agent: str = "") -> dict[str, Any]:
        """Return the configuration; it has the CGROUP, joins mounts of process MOUNTS_OF, and has its listener at AGENT."""
        if self.golden.is_exec:
            return self._container(cgroup)
        document = replaced(self.golden.document(), lambda text: self._string(text, mounts_of or self.pid))
        if "listenerPath" in document["linux"].get("seccomp", {}):
            document["linux"]["seccomp"]["listenerPath"] = agent
        self._take_away(document)
        document["mounts"] = [self._mount(mount) for mount in document.get("mounts", [])]
        for hooks in document.get("hooks", {}).values():
            for hook in hooks:
                hook |= {"path": "/bin/true", "args": ["true", *hook.get("args", [])[1:]]}
        if cgroup:
            document["linux"]["cgroupsPath"] = cgroup
        return self._owned(document)

    def process(self) -> dict[str, Any]:
        """Return the process, of a golden exec."""
        document = self.golden.document()
        document.pop("apparmorProfile", None)
        return document

    def _container(self, cgroup: str) -> dict[str, Any]:
        """Return a container for a golden exec."""
        name = self.golden.name
        document: dict[str, Any] = {
            "ociVersion": "1.3.0",
            "process": {"cwd": "/", "args": ["sleep", "1000"], "env": ["PATH=/bin"]},
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in JOINS[name]], **copy.deepcopy(CONTAINERS.get(name, {}))},
        }
        if name == "exec-user":
            for kind in MAPS:
                document["linux"][kind] = many_ids(user=self.golden.user)
        if cgroup:
            document["linux"]["cgroupsPath"] = cgroup
        return self._owned(document)

    def _string(self, text: str, mounts_of: int) -> str:
        """Return what takes the place of TEXT, a string of the document."""
        if text == "/proc/42/ns/mnt":
            return f"/proc/{mounts_of}/ns/mnt"
        text = text.replace("/proc/42/", f"/proc/{self.pid}/").replace("/run/netns/blue", f"/proc/{self.pid}/ns/net")
        return text.replace("/bundle/", f"{self.b.path}/") if text.startswith("/bundle/") else text

    def _take_away(self, document: dict[str, Any]) -> None:
        """Take away from DOCUMENT what no machine of ours has (NOT_HERE), and name devices that it has."""
        document["process"].pop("apparmorProfile", None)
        document["mounts"] = [mount for mount in document.get("mounts", []) if mount["destination"] not in NOT_HERE]
        resources = document["linux"].get("resources", {})
        for key, controller in (("rdma", "rdma"), ("hugepageLimits", "hugetlb")):
            if not has_controller(controller) or key == "rdma":
                resources.pop(key, None)
        disk = a_disk()
        block = resources.get("blockIO", {})
        for key in [key for key in block if key.startswith("weight")]:
            if not unified() and not Path("/sys/fs/cgroup/blkio/blkio.weight").exists():
                del block[key]
        for key, rows in block.items():
            if isinstance(rows, list):
                block[key] = [{**row, "major": disk[0], "minor": disk[1]} for row in rows] if disk else []
        texts = resources.get("unified", {})
        if "io.max" in texts:
            texts["io.max"] = f"{disk[0]}:{disk[1]} rbps=1048576" if disk else ""
            if not disk:
                del texts["io.max"]
        sysctl = document["linux"].get("sysctl", {})
        if "net/ipv4/conf/eth0.1/forwarding" in sysctl:
            sysctl["net/ipv4/conf/lo/forwarding"] = sysctl.pop("net/ipv4/conf/eth0.1/forwarding")

    def _mount(self, mount: dict[str, Any]) -> dict[str, Any]:
        """Return MOUNT with sources that are there."""
        if mount["type"] == "overlay":
            return {**mount, "options": [self._layers(option) for option in mount["options"]]}
        source = mount.get("source", "")
        if source == "/dev":  # a bound one, in which a node may be made: not the machine's
            return {**mount, "source": self._devices()}
        if TOP.match(source) or source == "hosts":
            return {**mount, "source": self._source(source, file=source.endswith(("meminfo", "hosts")))}
        return mount

    def _layers(self, option: str) -> str:
        """Return OPTION of an overlay with directories that are there."""
        key, equals, value = option.partition("=")
        return key + equals + ":".join(self._source(path) for path in value.split(":")) if equals else option

    def _source(self, path: str, *, file: bool = False) -> str:
        """Return what is there in the place of PATH, a directory or a FILE."""
        place = self.sources / path.strip("/")
        (place.parent if file else place).mkdir(parents=True, exist_ok=True)
        if file:
            place.write_text("of the host\n")
        return str(place)

    def _devices(self) -> str:
        """Return a directory of device nodes."""
        place = self.sources / "dev"
        place.mkdir(exist_ok=True)
        for name, number in (("null", (1, 3)), ("zero", (1, 5)), ("fuse", (10, 229))):
            if not (place / name).exists():
                os.mknod(place / name, stat.S_IFCHR | 0o666, os.makedev(*number))
        return str(place)

    def _owned(self, document: dict[str, Any]) -> dict[str, Any]:
        """Give the rootfs to the root of DOCUMENT's user namespace, if it has one and no user runs it."""
        mappings = document["linux"].get("uidMappings", [])
        if mappings and not self.golden.user:
            first = mappings[0]["hostID"]
            for path in (self.b.path, self.b.rootfs, *self.b.rootfs.rglob("*")):
                os.chown(path, first, first, follow_symlinks=False)
        return document


def many_ids(*, user: bool) -> list[dict[str, int]]:
    """Return a mapping of many ids, for an ordinary USER by newuidmap(1)."""
    first = [{"containerID": 0, "hostID": UID if user else 200000, "size": 1}]
    return [*first, {"containerID": 1, "hostID": 100000, "size": 65536}]


def a_disk() -> tuple[int, int] | None:
    """Return the number of a disk of this machine, None if it has none."""
    for path in sorted(Path("/sys/block").iterdir()):
        if not path.name.startswith(("loop", "ram", "zram", "dm-")):
            major, minor = (path / "dev").read_text().split(":")
            return int(major), int(minor)
    return None
