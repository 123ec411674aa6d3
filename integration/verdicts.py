"""Whether pyrunc and runc take the same documents: real configurations, changed at random, are created by both.

Each create happens in a mount namespace of its own, and what comes of it is deleted; no program of a container runs.  What is
changed stays inside the bundle: where the root lies is not touched.  EXPLAINED names the kinds of disagreement that are meant,
each with a row of docs/differences.md.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from integration.faults.scene import hierarchies, make_rootfs
from tests.schemas import CHANGES, change, nodes, recorded, short

APART = ("unshare", "--mount", "--propagation", "private", "--")
SECONDS = 20
KEPT = ("root", "hooks")  # members that are never changed: one leads out of the bundle, the other runs programs of the host
# (a pattern of what who refuses says, the words of docs/differences.md that explain it), by who refuses.
EXPLAINED: dict[str, tuple[tuple[str, str], ...]] = {
    "pyrunc": (
        (r"environment entry .* has no", "environment entries without a name or `=`"),
        (r"at /ociVersion", "`ociVersion`"),
        (r"expected an absolute path", "paths that are not absolute"),
        (r"capabilities that are not permitted|that are not (inheritable|permitted)", "capability sets that the kernel would refuse"),
        (r"expected an? \w+( \w+)?, found null", "null in an array"),
    ),
    "runc": (
        (r"empty string is not a valid syscall", "an empty name of a system call"),
    ),
}


class Verdicts:
    """Two runtimes, and a bundle that both are given."""

    def __init__(self, runc: str, pyrunc: str) -> None:
        """Make the bundle."""
        self.programs = {"pyrunc": os.path.abspath(shutil.which(pyrunc) or pyrunc), "runc": os.path.abspath(runc)}
        self.path = Path(tempfile.mkdtemp(prefix="pyrunc-verdicts-"))
        self.path.chmod(0o755)
        make_rootfs(self.path / "bundle/rootfs")
        self.cgroup = f"pyrunc-verdicts-{os.getpid()}"
        self.count = 0

    def close(self) -> None:
        """Take it away."""
        for top in hierarchies():
            for path in (*sorted((top / self.cgroup).rglob("*/"), reverse=True), top / self.cgroup):
                if path.exists():
                    path.rmdir()
        shutil.rmtree(self.path)

    def bases(self) -> list[Any]:
        """Return configurations of real engines that both create here, once what belongs to the engine's machine is gone."""
        found = []
        for part, name, document in recorded():
            if part == "config" and "process" in document:
                base = self.at_home(short(document))
                verdicts = {who: self.verdict(who, base) for who in self.programs}
                if not any(verdicts.values()):
                    found.append((name, base))
        return found

    def at_home(self, document: Any) -> Any:
        """Return DOCUMENT for our bundle: its root, no hooks, no sources and namespaces of the machine that it was made on."""
        made = copy.deepcopy(document)
        made.pop("hooks", None)
        made["root"] = {"path": "rootfs", "readonly": False}
        made["process"].update(args=["/bin/sleep", "1000"], terminal=False, cwd="/")
        for name in ("apparmorProfile", "selinuxLabel"):
            made["process"].pop(name, None)
        made["process"].get("user", {}).pop("username", None)
        made["mounts"] = [each for each in made.get("mounts", []) if each.get("type") in ("proc", "tmpfs", "devpts", "mqueue", "sysfs")]
        linux = made.setdefault("linux", {})
        linux["namespaces"] = [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
        linux["cgroupsPath"] = f"/{self.cgroup}/box"
        for name in ("uidMappings", "gidMappings", "mountLabel"):
            linux.pop(name, None)
        return made

    def verdict(self, who: str, document: Any) -> str:
        """Return what WHO has against DOCUMENT, "" if it creates it."""
        self.count += 1
        name = f"verdict-{os.getpid()}-{self.count}"
        shutil.rmtree(self.path / "bundle/rootfs")  # what an earlier create has made in it is in nobody's way
        make_rootfs(self.path / "bundle/rootfs")
        (self.path / "bundle/config.json").write_text(json.dumps(document))
        log = self.path / "log"
        log.unlink(missing_ok=True)
        root = ["--root", str(self.path / who)]
        words = [*APART, self.programs[who], *root, "--log", str(log), "create", "--bundle", str(self.path / "bundle"), name]
        try:
            status = subprocess.run(words, stdin=-3, stdout=-3, stderr=-3, check=False, timeout=SECONDS).returncode
        except subprocess.TimeoutExpired:
            status = -1
        said = log.read_text(errors="replace") if log.exists() else ""
        if (self.path / who / name).exists():
            subprocess.run([self.programs[who], *root, "delete", "--force", name], stdin=-3, stdout=-3, stderr=-3, check=False, timeout=60)
        errors = re.findall(r'level=(?:error|fatal) msg="((?:[^"\\]|\\.)*)"', said)
        return "" if status == 0 else (errors[-1] if errors else f"status {status}: {said[-200:]}")


def changed(base: Any, chance: random.Random) -> tuple[Any, str]:
    """Return BASE with one or two changes, and these in words."""
    made, told = base, []
    for _ in range(chance.choice((1, 1, 1, 2))):
        places = [place for place in nodes(made) if place and place[0] not in KEPT and place[:2] != ("linux", "cgroupsPath")]
        place, how = chance.choice(places), chance.choice(CHANGES)
        made = change(made, place, how)
        told.append(f"/{'/'.join(map(str, place))} := {how!r}"[:120])
    return made, "; ".join(told)


def compare(runc: str, pyrunc: str, count: int, seed: int) -> int:
    """Compare COUNT documents; print what is not explained, and how many of each kind; return 1 if something is not."""
    chance, verdicts = random.Random(seed), Verdicts(runc, pyrunc)
    counts: Counter[str] = Counter()
    try:
        bases = verdicts.bases()
        print(f"{len(bases)} configurations of engines that both create", flush=True)
        for _ in range(count):
            name, base = chance.choice(bases)
            document, told = changed(base, chance)
            found = {who: verdicts.verdict(who, document) for who in verdicts.programs}
            kind = _kind(found)
            counts[kind] += 1
            if kind.startswith("not explained"):
                print(f"{kind}: {name}: {told}\n       pyrunc: {found['pyrunc'][:300] or 'creates it'}\n       runc:   {found['runc'][:300] or 'creates it'}", flush=True)
    finally:
        verdicts.close()
    for kind, number in counts.most_common():
        print(f"{number:6d}  {kind}")
    return 1 if any(kind.startswith("not explained") for kind in counts) else 0


def _kind(found: dict[str, str]) -> str:
    """Return of what kind what was FOUND is: the same verdict, or why it is not."""
    refusing = [who for who, text in found.items() if text]
    if len(refusing) != 1:
        return "both refuse" if refusing else "both create"
    (who,) = refusing
    for pattern, why in EXPLAINED[who]:
        if re.search(pattern, found[who]):
            return f"{who} refuses: {why}"
    return f"not explained, {who} refuses"


if __name__ == "__main__":
    sys.exit(compare(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])))
