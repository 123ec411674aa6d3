"""Whether pyrunc and runc take the same documents: real configurations, changed at random, are created and started by both.

Each create happens in namespaces of its own, and what comes of it is deleted; no program of a container runs but sleep(1).
A start belongs to the verdict: an init of runc's may die once create has said that it worked.  Changed is any place, or what
integration/checked has at the borders of what is right, but not where the root and the cgroup lie.  The specification's schema, and the rows of docs/differences.md, explain
what one takes and the other refuses.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from integration.checked.mutants import KINDS, Mutant, filled, make
from integration.faults.scene import PR_SET_CHILD_SUBREAPER, hierarchies, make_rootfs, wait_for
from tests.schemas import PARTS, change, changes, nodes, pointers, recorded, short, theirs
from tests.test_schema_mutations import DIFFERENCES, STRICTER

APART = ("unshare", "--net", "--uts", "--ipc", "--mount", "--propagation", "private", "--")  # runc sets a device down before it fails to move it
SECONDS = 20
BORDERS = 0.6  # of the changes are those of integration/checked
BY_THEIRS = "what the specification's own schema refuses"
FILTERED = "seccomp filters without SCMP_ACT_NOTIFY"
AT = re.compile(r"\(at (/[^;,)]*)")
KEPT = ("root", "hooks")  # members that are not changed at random: one leads out of the bundle, the other runs programs of the host
KEEPER = ("unshare", "--net", "--uts", "--ipc", "--mount", "sleep", "infinity")  # its namespaces are joined
# (a pattern of what who refuses says, the words of docs/differences.md that explain it), by who refuses.
EXPLAINED: dict[str, tuple[tuple[str, str], ...]] = {
    "pyrunc": (
        (r"environment entry .* has no", "environment entries without a name or `=`"),
        (r"expected an absolute path", "paths that are not absolute"),
        (r"capabilities that are not permitted|that are not (inheritable|permitted)", "capability sets that the kernel would refuse"),
        (r"letters of rwm", "device rules: letters other than `rwm` in `access`"),
        (r"returns no errno", "`errnoRet` of an action that returns none"),
        (r"Mappings needs a user namespace", "mappings of ids without a user namespace"),
        (r"weight \d is not from 10 to 1000", "`blockIO.weight` below 10"),
        (r"at /linux/personality/flags", "personality flags"),
        (r"seccomp filter lets no program be executed", "a filter that lets nothing be executed"),
        (r"exec format error|too many levels of script interpreters|its interpreter .* could not be opened", "a program that is found and cannot be executed"),
        (r"error creating device node .* the image has something at", "a device where the image has something else"),
        (r"longer than 64 bytes .at /linux/sysctl", "sysctl `kernel.domainname` of more than 64 bytes"),
    ),
    "runc": (
        (r"empty string is not a valid syscall", "an empty name of a system call"),
        (r"open /proc/sys/kernel/cap_last_cap", "no procfs at /proc"),
        (r"sysctl ..(kernel.pid_max|vm.memfd_noexec).* is not in a separate", "sysctl `kernel.pid_max`, `vm.memfd_noexec`"),
        (r"sysctl ..kernel.(auto_msgmni|\w+_next_id).* is not in a separate", "sysctl `kernel.auto_msgmni`, `kernel.msg_next_id` and its like"),
        (r"sysctl ..kernel.hostname.* conflicts with", "sysctl `kernel.hostname`"),
        (r"container's /dev/null is invalid", "a device at /dev/null that is not it"),
        (r"during container init: too many open files", "a limit of descriptors below what runc's init needs"),
        (r"unable to set memory limit to \d+ .current usage", "a memory limit below what runc's init needs"),
        (r"can't (mask path|make).*not a directory", "a masked or read-only path below a file"),
        (r"device access at \d+ field cannot be empty", "device rules without `access`"),
    ),
}


class Verdicts:
    """Two runtimes, and a bundle that both are given."""

    def __init__(self, runc: str, pyrunc: str) -> None:
        """Make the bundle."""
        self.programs = {"pyrunc": os.path.abspath(shutil.which(pyrunc) or pyrunc), "runc": os.path.abspath(runc)}
        self.path = Path(tempfile.mkdtemp(prefix="pyrunc-verdicts-"))
        self.path.chmod(0o755)
        (self.path / "bundle").mkdir()
        self.keeper = subprocess.Popen(KEEPER)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # process 1 of a machine may reap late, or never
        self.cgroup = f"pyrunc-verdicts-{os.getpid()}"
        self.count = 0

    def close(self) -> None:
        """Take it away."""
        self.keeper.kill()
        self.keeper.wait()
        for top in hierarchies():
            gone(top / self.cgroup)
        shutil.rmtree(self.path)

    def bases(self) -> list[Any]:
        """Return configurations of real engines that both start here, once what belongs to the engine's machine is gone."""
        found = []
        for part, name, document in recorded():
            if part == "config" and "process" in document:
                base = self.at_home(short(document))
                verdicts = {who: self.verdict(who, Mutant("", (), base, None)) for who in self.programs}
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
        linux["cgroupsPath"] = "/{own}/{box}"
        if "seccomp" in linux:  # what is left of a profile would let nothing run
            linux["seccomp"]["defaultAction"] = "SCMP_ACT_ALLOW"
            linux["seccomp"].pop("defaultErrnoRet", None)
        for name in ("realtimeRuntime", "realtimePeriod"):  # of which a new cgroup's parent has nothing to give
            linux.get("resources", {}).get("cpu", {}).pop(name, None)
        for name in ("uidMappings", "gidMappings", "mountLabel"):
            linux.pop(name, None)
        return made

    def verdict(self, who: str, mutant: Mutant) -> str:
        """Return what WHO has against MUTANT, "" if it starts it."""
        self.count += 1
        name, bundle = f"verdict-{os.getpid()}-{self.count}", self.path / "bundle"
        shutil.rmtree(bundle)  # what an earlier create has made in it is in nobody's way
        rootfs = make_rootfs(bundle / "rootfs")
        for each in ("a", "b/d", "c"):
            (bundle / each).mkdir(parents=True)
        if mutant.program is not None:
            (rootfs / "data/x").write_bytes(mutant.program[0])
            (rootfs / "data/x").chmod(mutant.program[1])
        document = filled(mutant.document, bundle=bundle, keeper=f"/proc/{self.keeper.pid}/ns", own=self.cgroup, box=name)
        (bundle / "config.json").write_text(json.dumps(document))
        try:
            return self._said(who, "create", "--bundle", str(self.path / "bundle"), name) or self._said(who, "start", name)
        finally:
            if (self.path / who / name).exists():
                self._said(who, "delete", "--force", name)
            self._clear(who, name)

    def _clear(self, who: str, name: str) -> None:
        """Take away what a delete by WHO may have left of container NAME: the next one is to find nothing of it."""
        for top in hierarchies():
            for file in (top / self.cgroup / name).rglob("cgroup.procs"):
                for pid in file.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not self._reap() and all(gone(top / self.cgroup / name) for top in hierarchies()), f"the cgroups of {name} to go")
        shutil.rmtree(self.path / who / name, ignore_errors=True)

    def _reap(self) -> None:
        """Wait for orphans that have ended; of ours only the keeper lives."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _said(self, who: str, *words: str) -> str:
        """Return what WHO has against the command of these WORDS, "" if it works."""
        log = self.path / "log"
        log.unlink(missing_ok=True)
        argv = [*APART, self.programs[who], "--root", str(self.path / who), "--log", str(log), *words]
        try:
            status = subprocess.run(argv, stdin=-3, stdout=-3, stderr=-3, check=False, timeout=SECONDS).returncode
        except subprocess.TimeoutExpired:
            status = -1
        said = log.read_text(errors="replace") if log.exists() else ""
        errors = re.findall(r'level=(?:error|fatal) msg="((?:[^"\\]|\\.)*)"', said)
        return "" if status == 0 else (errors[-1] if errors else f"status {status}: {said[-200:]}")


def gone(path: Path) -> bool:
    """Remove the cgroup at PATH, and those below; return whether it is gone."""
    for each in (*sorted(path.rglob("*/"), reverse=True), path):
        with contextlib.suppress(OSError):
            each.rmdir()
    return not path.exists()


def changed(base: Any, chance: random.Random) -> Mutant:
    """Return BASE with something changed: at one or two places, or as integration/checked does."""
    if chance.random() < BORDERS:
        made = make(chance, base, chance.choice(KINDS))
        made.document["root"] = base["root"]
        made.document.setdefault("linux", {})["cgroupsPath"] = base["linux"]["cgroupsPath"]
        return made
    document, told = base, []
    for _ in range(chance.choice((1, 1, 1, 2))):
        places = [place for place in nodes(document) if place and place[0] not in KEPT and place[:2] != ("linux", "cgroupsPath")]
        place = chance.choice(places)
        how = chance.choice(changes(reduce(getitem, place, document)))
        document = change(document, place, how)
        told.append(f"/{'/'.join(map(str, place))} := {how!r}"[:120])
    return Mutant("any place", tuple(told), document, None)


def compare(runc: str, pyrunc: str, count: int, seed: int) -> int:
    """Compare COUNT documents; print what is not explained, and how many of each kind; return 1 if something is not."""
    chance, verdicts = random.Random(seed), Verdicts(runc, pyrunc)
    counts: Counter[str] = Counter()
    try:
        bases = verdicts.bases()
        print(f"{len(bases)} configurations of engines that both start", flush=True)
        for number in range(count):
            if number % 500 == 0:
                print(f"after {number} documents: {dict(counts)}", flush=True)
            name, base = chance.choice(bases)
            mutant = changed(base, chance)
            found = {who: verdicts.verdict(who, mutant) for who in verdicts.programs}
            kind = _kind(found, mutant.document)
            counts[kind] += 1
            if kind.startswith("not explained"):
                print(f"{kind}: {name}: {'; '.join(mutant.changes)}\n       pyrunc: {found['pyrunc'][:300] or 'starts it'}\n       runc:   {found['runc'][:300] or 'starts it'}", flush=True)
    finally:
        verdicts.close()
    for kind, number in counts.most_common():
        print(f"{number:6d}  {kind}")
    return 1 if any(kind.startswith("not explained") for kind in counts) else 0


def _kind(found: dict[str, str], document: Any) -> str:
    """Return of what kind what was FOUND of DOCUMENT is: the same verdict, or why it is not."""
    refusing = [who for who, text in found.items() if text]
    if len(refusing) != 1:
        return "both refuse" if refusing else "both start it"
    (who,) = refusing
    why = _by_the_schema(found[who], document) if who == "pyrunc" else _by_a_filter(found[who], document)
    why = why or next((words for pattern, words in EXPLAINED[who] if re.search(pattern, found[who])), "")
    return f"{who} refuses: {why}" if why else f"not explained, {who} refuses"


def _by_a_filter(said: str, document: Any) -> str:
    """Return why runc, which SAID so, refuses DOCUMENT, if that is because its init has met the filter there and has died."""
    has_filter = isinstance(document.get("linux"), dict) and document["linux"].get("seccomp")
    return FILTERED if has_filter and "cannot start a container that has stopped" in said else ""


def _by_the_schema(said: str, document: Any) -> str:
    """Return why pyrunc, which SAID so, refuses DOCUMENT, if that is because of the specification's schema or of ours."""
    found = AT.search(said)
    if found is None:
        return ""
    at = found.group(1)
    if at in pointers(theirs(PARTS["config"][0]).iter_errors(document)):
        return BY_THEIRS
    return next((name for name, kind, where in DIFFERENCES if kind == STRICTER and re.fullmatch(where, at)), "")


if __name__ == "__main__":
    sys.exit(compare(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])))
