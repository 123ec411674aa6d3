"""A bundle of a mutant, and both verdicts on it: what `check` says, and what `create` and `start` do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from integration.checked.mutants import filled
from integration.harness.bundle import BUSYBOX, GROUP, PASSWD
from pyrunc.container.verbs.check import check

if TYPE_CHECKING:
    from integration.checked.mutants import Mutant

SECONDS = 20
AT = re.compile(r"\(at (/[^;)]*)")
FILES = ("resolv.conf", "hostname", "hosts", ".containerenv", "docker-init", "passwd", "group")
APPLETS = ("sh", "true", "false", "sleep", "cat", "echo", "id", "ls", "env", "test", "busybox")
NAME_MAX = 100
BY_COMMAND = 20  # every so many times the command is asked too: it takes ten times as long as the library


class Outcome(NamedTuple):
    """What both said of a mutant: check's status and pointers, the runtime's own words ("" if it has run), and check's warnings."""

    status: int
    pointers: tuple[str, ...]
    said: str
    warned: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return the pointer in what the runtime said."""
        found = AT.search(self.said)
        return found.group(1) if found else ""

    @property
    def fault(self) -> str:
        """Return what is wrong with check's verdict: "silent", "warned", "alarm", "place" or ""."""
        if bool(self.status) != bool(self.said):
            return ("warned" if self.place in self.warned else "silent") if self.said else "alarm"
        return "" if not self.said or self.place in self.pointers or self.place == "" else "place"


class Scene:
    """Where mutants live: one directory, one cgroup's name, one process whose namespaces may be joined."""

    def __init__(self, binary: str, directory: Path, own: str, keeper: int) -> None:
        """Begin in DIRECTORY, with the runtime BINARY; OWN is the name of the cgroup above those of all mutants."""
        self.binary, self.directory, self.own, self.keeper = binary, directory, own, keeper
        self.count = 0

    def judge(self, mutant: Mutant) -> Outcome:
        """Ask both about MUTANT, and remove what is left of it."""
        self.count += 1
        bundle = self.directory / f"m{self.count}"
        self._write(bundle, mutant)
        try:
            said = check(str(bundle))
            if self.count % BY_COMMAND == 1:
                asked = self._run("check", "--json", str(bundle))
                if asked.returncode != said.status:
                    raise RuntimeError(f"{mutant.changes}: the command ends with {asked.returncode}, and not {said.status}")
            pointers = tuple(each.pointer for each in (*said.violations, *said.lacking))
            return Outcome(said.status, pointers, self._refusal(bundle), tuple(each.pointer for each in said.warnings))
        finally:
            subprocess.run(["umount", "-R", "-l", str(bundle / "rootfs")], capture_output=True, check=False)
            shutil.rmtree(bundle)

    def _refusal(self, bundle: Path) -> str:
        """Return what `create` or `start` of BUNDLE said, "" if both worked."""
        name = f"{self.own}-{self.count}"
        try:
            for words in (("create", "--bundle", str(bundle), name), ("start", name)):
                done = self._run(*words)
                if done.returncode:
                    return str(done.stderr) or f"status {done.returncode}"
            return ""
        finally:
            gone = self._run("delete", "--force", name)
            if gone.returncode:
                raise RuntimeError(f"{bundle}: delete: {gone.stderr}")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command, its output in files, as a container may keep the streams."""
        out, err = self.directory / "out", self.directory / "err"
        with out.open("w") as stdout, err.open("w") as stderr:
            argv = [self.binary, "--root", str(self.directory / "state"), *words]
            try:
                done = subprocess.run(
                    argv, check=False, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=SECONDS
                )
            except subprocess.TimeoutExpired:
                return subprocess.CompletedProcess(argv, 124, "", f"has not ended after {SECONDS} seconds")
        text = "\n".join(each for each in err.read_text(errors="replace").splitlines() if ": warning: " not in each)
        return subprocess.CompletedProcess(argv, done.returncode, out.read_text(errors="replace"), text)

    def _write(self, bundle: Path, mutant: Mutant) -> None:
        """Write the bundle of MUTANT."""
        document = filled(mutant.document, bundle=bundle, keeper=f"/proc/{self.keeper}/ns", own=self.own)
        root = bundle / "rootfs"
        for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "data", "run"):
            (root / name).mkdir(parents=True)
        for name in ("a", "b", "b/d", "c"):
            (bundle / name).mkdir()
        os.link(self.directory / "busybox", root / "bin/busybox")
        for name in (*APPLETS[:-1], Path(program(mutant.document)).name):
            if name and len(name) < NAME_MAX and "\0" not in name and "nosuch" not in name and not (root / "bin" / name).exists():
                (root / "bin" / name).symlink_to("busybox")
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        (root / "loop").symlink_to("loop")
        (root / "link").symlink_to("data")
        if mutant.program is not None:
            (root / "data/x").write_bytes(mutant.program[0])
            (root / "data/x").chmod(mutant.program[1])
        (bundle / "config.json").write_text(json.dumps(document))


def program(document: Any) -> str:
    """Return the name of the program that DOCUMENT runs, "" if it names none."""
    try:
        name = document["process"]["args"][0]
    except (KeyError, IndexError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def adapted(document: dict[str, Any], directory: Path, own: str) -> dict[str, Any]:
    """Return DOCUMENT, which an engine wrote, for a machine without that engine: sources below DIRECTORY, a cgroup below OWN."""
    document["root"] = {**document.get("root", {}), "path": "rootfs"}
    document["process"] |= {"terminal": False, "args": [Path(program(document)).name, *document["process"]["args"][1:]]}
    document["process"].pop("apparmorProfile", None)
    for mount in document.get("mounts", ()):
        if mount.get("type") == "bind" or "bind" in mount.get("options", ()) or "rbind" in mount.get("options", ()):
            mount["source"] = _source(directory, Path(mount["source"]).name, Path(mount["destination"]).name)
    for kind, hooks in document.get("hooks", {}).items():
        for hook in hooks:
            hook["path"] = "/bin/true"
            if kind == "startContainer":  # busybox, which by its first argument is another program; what it does nobody knows before
                hook.pop("args", None)
    for namespace in document["linux"].get("namespaces", ()):
        namespace.pop("path", None)
    document["linux"]["cgroupsPath"] = f"/{own}/one"
    return document


def _source(directory: Path, name: str, target: str) -> str:
    """Return a file or directory to be mounted: of busybox if it is a program."""
    made = directory / "sources" / f"{name}-{target}"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        if target == "docker-init":
            shutil.copy(BUSYBOX, made)
        elif target in FILES or name in FILES:
            made.write_text("")
        else:
            made.mkdir()
    return str(made)
