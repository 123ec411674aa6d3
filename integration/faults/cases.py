"""The cases of faults in our own code: at each op, on both sides and at each barrier, and in each system call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from integration.faults import errnos
from integration.faults.scene import Wrong, wait_for
from integration.faults.switch import LAST_LINE, Fault, Place
from integration.faults.verbs import BY_NAME, VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.faults.scene import Said, Scene
    from integration.faults.verbs import Verb

# The new process has no number for the runtime; what happens to that while it works happens at the host's ops and barriers.
SIGNALS = {"host": ("die", "kill-child", "term"), "child": ("die",)}
ENDED_BY_SIGNAL, INTERRUPTED = -9, 130
# What create's child does once `start` lets it go: the faults of that are armed by create, and happen at start.
WAITS = "wait_for_start"
KILLED_EVERY = 3  # of the calls that no plan has
# Errors that are an answer: the kernel says so of what is not there, and then all is well, or another error.
ANSWERS = ("ENOENT", "ENOTDIR", "ESRCH", "ECHILD", "ENXIO", "EEXIST", "EPIPE", "ENODEV", "EISDIR")
# By op: a node that may not be made is bound instead.
TAKEN_OTHERWISE = (("make_node", "EPERM"), ("make_node", "EACCES"))
# Here a create has worked already: its init dies, and `state` says so.
LAST_WORDS = (("barrier ready", "recvmsg"), ("wait_for_start", "read"))
# Errors that are told in other words: what a helper of ours has met, and what is not said of CRIU's own failure.
OTHER_WORDS = ("EXDEV", "ELOOP")
# What the kernel does not say as long as the other side lives.
PARTED = ("EPIPE", "ECONNRESET", "ENOTCONN", "ECONNREFUSED")
BROKEN_PIPE = 141


class Case(NamedTuple):
    """One fault in one command on one kind of container."""

    kind: str
    verb: str
    fault: Fault

    def __str__(self) -> str:
        """Return it in words."""
        place = self.fault.place
        where = f"{place.side} {place.op or 'outside of the plan'} {place.call}#{place.number}" if place.call else f"{place.side} {place.op}"
        return f"{self.kind} {self.verb}: {self.fault.kind} at {where}"


def _number(place: Place) -> int:
    """Return where in its column the op of PLACE is, -1 if there is none."""
    word = place.op.partition(" ")[0]
    return int(word) if word.isdigit() else -1


def _waits(places: list[Place]) -> int:
    """Return where in the child's column it waits for `start`."""
    return next(_number(place) for place in places if place.side == "child" and place.op.endswith(WAITS))


class Cases:
    """All cases of one scene."""

    def __init__(self, scene: Scene) -> None:
        """Take SCENE, whose switch is installed."""
        self.scene, self.kept = scene, False

    def all(self, verbs: tuple[str, ...] = (), *, every: bool = False) -> Iterator[Case]:
        """Return the cases of VERBS (of all, if none are named); runs each command once.

        With EVERY error in every call they are some 50,000; without, each error of a call where a sort of op first makes it.
        """
        for verb in VERBS:
            if self.scene.kind in verb.kinds and (not verbs or verb.name in verbs):
                yield from self._of(verb.name, every=every)

    def remember(self) -> None:
        """Run what others are compared with, undisturbed."""
        scene = self.scene
        for name in ("create", "exec"):
            verb = BY_NAME[name]
            verb.before(scene)
            verb.worked(scene, scene.injected(None, *verb.words(scene)))
            scene.goes()

    def _of(self, name: str, *, every: bool) -> Iterator[Case]:
        """Return every case of the command called NAME."""
        verb, scene = BY_NAME[name], self.scene
        verb.before(scene)
        said = scene.injected(None, *verb.words(scene), recording=True)
        assert scene.switch is not None
        if said.status == 0:
            verb.worked(scene, said)  # it is what others are compared with
        elif name != "checkpoint":
            raise Wrong(f"{name}, undisturbed: {said}")
        places = scene.switch.places()
        scene.goes()
        if name == "create":  # its child goes on at `start`, which is of that
            waits = _waits(places)
            places = [place for place in places if place.side == "host" or _number(place) <= waits]
        if name == "start":
            places += self._after_the_wait()
        seen: set[tuple[str, ...]] = set()
        for turn, place in enumerate(dict.fromkeys(places)):
            kinds = self._kinds(place, turn, seen, every=every)
            yield from (Case(scene.kind, name, Fault(place, kind)) for kind in kinds)

    def _kinds(self, place: Place, turn: int, seen: set[tuple[str, ...]], *, every: bool) -> list[str]:
        """Return what is to happen at PLACE: all that can, or, where the like was SEEN before, one in TURN of it."""
        like = (place.side, place.op.partition(" ")[2], place.call)
        kinds = errnos.of(place.call)
        if place.call in ("write", "sendmsg", "recvmsg"):
            kinds = [kind for kind in kinds if kind not in PARTED or not place.op]
        if place.call == "setns" and not place.op[:1].isdigit():
            kinds = []  # back into our own namespace, which nobody is refused
        if not every and like in seen:
            kinds = [kinds[turn % len(kinds)]] if kinds else []
        if not place.call or (not place.op and (every or turn % KILLED_EVERY == 0)):
            kinds += SIGNALS[place.side] if place.op else ("die", "term")
        seen.add(like)
        return kinds

    def _after_the_wait(self) -> list[Place]:
        """Return what the init does once it is started, by create's plan."""
        scene = self.scene
        assert scene.switch is not None
        scene.injected(None, *scene.create, recording=True)
        scene("start", scene.id)
        places = scene.switch.places()
        scene.goes()
        waits = _waits(places)
        return [place for place in places if place.side == "child" and _number(place) > waits]

    def run(self, case: Case) -> bool:
        """Let CASE happen; return whether it has. Raises Wrong."""
        scene, verb, fault = self.scene, BY_NAME[case.verb], case.fault
        assert scene.switch is not None
        if case.verb == "start" and fault.place.side == "child":
            self._away()
            made = scene.injected(fault, *scene.create)
            if made.status != 0:
                raise Wrong(f"create: {made}")
            said = scene(*verb.words(scene))
        else:
            self._before(verb)
            said = scene.injected(fault, *verb.words(scene))
        hit = scene.switch.hit
        if hit:
            self._after(case, said)
        elif said.status == 0 and not self._last_word(case):
            verb.worked(scene, said)
        if not verb.keeps:
            scene.goes()
        else:
            self.kept = True
            self._goes_on(case)
        scene.untouched()
        return hit

    def _before(self, verb: Verb) -> None:
        """Begin with what VERB begins with."""
        if not verb.keeps:
            self._away()
        verb.before(self.scene)

    def _away(self) -> None:
        """Take away what an earlier case has kept."""
        if self.kept:
            self.scene.goes()
            self.kept = False

    def _after(self, case: Case, said: Said) -> None:
        """Check what is true right after CASE, in which the command SAID something."""
        scene, verb, fault = self.scene, BY_NAME[case.verb], case.fault
        killed = said.status == ENDED_BY_SIGNAL
        if said.status is None:
            raise Wrong("it hangs")
        if killed:
            if (fault.kind, fault.place.side) != ("die", "host"):
                raise Wrong(f"the runtime was killed: {said}")
            scene.truth()
        elif fault.place.op == LAST_LINE:
            if said.status == 0:
                raise Wrong(f"it could not say what is wrong, and says that all is well: {said}")
            scene.truth()
        elif fault.kind in ANSWERS or (fault.place.op.partition(" ")[2], fault.kind) in TAKEN_OTHERWISE:
            if said.status not in (0, BROKEN_PIPE):
                scene.clear(said, "")
            scene.recover()  # it was told a lie, and may have believed it
        elif said.status == 0 and self._last_word(case):
            scene.truth()
        elif said.status == 0:
            verb.worked(scene, said)
        elif said.status == INTERRUPTED and fault.kind == "term":
            if scene.truth() not in verb.refused:
                raise Wrong(f"ended, it leaves a container that is {scene.truth()!r}")
        elif said.status in (-15,) and fault.kind == "term" and scene.said_nothing(said):
            scene.truth()
        else:
            scene.clear(said, "" if case.verb == "checkpoint" or fault.kind in OTHER_WORDS else fault.kind)
            status = scene.truth()
            if status not in verb.refused:
                raise Wrong(f"it says that it has not worked, and the container is {status!r}: {said}")
            if not status and not case.verb.startswith("delete"):
                scene.nothing()

    def _last_word(self, case: Case) -> bool:
        """Return whether CASE strikes an init that `create` has let go."""
        place = case.fault.place
        op = place.op.partition(" ")[2] if place.op[:1].isdigit() else place.op
        return case.verb == "create" and place.side == "child" and (op, place.call) in LAST_WORDS

    def _goes_on(self, case: Case) -> None:
        """Check that the container of CASE, whatever became of the command, runs as before."""
        scene = self.scene
        if case.fault.kind in ANSWERS:
            return
        pids = {scene.state().get("pid", 0)}
        if case.fault.kind == "die":
            # What an exec that was killed has begun may live on in the container, and ends with it.
            file = scene.path / "exec.pid"
            wait_for(lambda: scene.left() <= pids or (file.exists() and file.read_text()), "processes to end", found=scene.shown)
            for pid in scene.left() - pids:
                os.kill(pid, 9)
        wait_for(lambda: scene.left() <= pids, "processes of it to end", found=scene.shown)
        if case.fault.kind not in ANSWERS and scene.truth() != "running":
            raise Wrong(f"the container has become {scene.truth()!r}")
