"""Bundles over a rootfs of busybox."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

BUSYBOX = "/usr/bin/busybox" if Path("/usr/bin/busybox").exists() else "/bin/busybox"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
GROUP = "root:x:0:\nuser:x:1000:\nstaff:x:50:\n"


@functools.cache
def runc_spec() -> dict[str, Any]:
    """What `runc spec` writes, without a terminal, a cgroup namespace, and ambient capabilities, of which every runtime warns."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["runc", "spec"], cwd=directory, check=True, capture_output=True)
        spec: dict[str, Any] = json.loads(Path(directory, "config.json").read_text())
    spec["process"]["terminal"] = False
    spec["process"]["capabilities"].pop("ambient", None)  # 1.1 writes it, and nothing that is inheritable
    # Where the machine has cgroup version 2, runc adds this one: tests begin with the same everywhere.
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "cgroup"]
    return spec


@functools.cache
def applets() -> list[str]:
    return subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()


def make_rootfs(path: Path) -> Path:
    """Fill PATH with busybox, its links, and the files that name users."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/user", "run", "data"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    first, *others = [name for name in applets() if name != "busybox"]
    (path / "bin" / first).symlink_to("busybox")
    for name in others:  # one link by many names: to make one of its own for each takes many times as long
        os.link(f"{path}/bin/{first}", f"{path}/bin/{name}", follow_symlinks=False)
    (path / "etc/passwd").write_text(PASSWD)
    (path / "etc/group").write_text(GROUP)
    return path


class Bundle:
    """A directory with a rootfs and a config, which `save` writes."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config
        self.rootfs = path / "rootfs"

    @property
    def process(self) -> dict[str, Any]:
        """Return /process of the configuration."""
        process: dict[str, Any] = self.config["process"]
        return process

    @property
    def linux(self) -> dict[str, Any]:
        """Return /linux of the configuration."""
        linux: dict[str, Any] = self.config["linux"]
        return linux

    def save(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.config))

    def namespace(self, kind: str, *, path: str | None = None, drop: bool = False) -> None:
        """Set, or take away, the namespace of KIND."""
        kept = [n for n in self.linux["namespaces"] if n["type"] != kind]
        if not drop:
            kept.append({"type": kind, **({"path": path} if path else {})})
        self.linux["namespaces"] = kept

    def mount(self, destination: str, kind: str, source: str, *options: str) -> None:
        self.config["mounts"].append(
            {"destination": destination, "type": kind, "source": source, "options": list(options)}
        )


class Bundles:
    """Makes bundles below one temporary directory."""

    def __init__(self, directory: Path) -> None:
        if not Path(BUSYBOX).exists():
            pytest.fail("busybox-static is not installed")
        self.directory, self.count = directory, 0

    def __call__(self, *args: str, writable: bool = True) -> Bundle:
        """Make one that runs ARGS, or, with one argument that has a space, a line of shell."""
        self.count += 1
        path = self.directory / f"bundle{self.count}"
        path.mkdir()
        make_rootfs(path / "rootfs")
        config = copy.deepcopy(runc_spec())
        if len(args) == 1 and " " in args[0]:
            args = ("sh", "-c", args[0])
        config["process"]["args"] = list(args or ("sleep", "1000"))
        config["root"]["readonly"] = not writable
        config["process"]["env"] = ["PATH=/bin"]
        bundle = Bundle(path, config)
        bundle.save()
        return bundle
