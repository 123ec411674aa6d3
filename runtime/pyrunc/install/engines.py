"""The engines that pyrunc can be registered with: one row each."""

from __future__ import annotations

import shutil
from functools import partial

from pyrunc.errors import UsageError
from pyrunc.install import containerd, docker, dropin
from pyrunc.install.edit import Edit, Wanted
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
TAKEN = ("runc", "crun")  # what engines mean by these is no business of ours


class Engine(Record):
    """How to register with an engine and how to make it read that, or that it is gone (`forget`, if that is another way).

    `attempt` is how to try it, where {name} is filled in.
    """

    title: str
    program: str
    add: Callable[[Wanted], Edit]
    remove: Callable[[Wanted], Edit]
    restart: str
    attempt: str
    forget: str = ""
    notes: Callable[[Wanted], list[str]] = lambda _: []


def _containerd_notes(wanted: Wanted) -> list[str]:
    """Return what a user of containerd may not expect."""
    notes = [f"ctr needs no registration: ctr run --runc-binary {wanted.path} ..."]
    if containerd.disabled(wanted):
        notes.append("the CRI plugin is in disabled_plugins: take it out there, or Kubernetes and crictl find nothing")
    return notes


ENGINES = {
    "containerd": Engine(
        "containerd",
        "containerd",
        containerd.add,
        containerd.remove,
        "systemctl restart containerd",
        "crictl runp --runtime {name} pod.json; or in Kubernetes a RuntimeClass whose handler is {name}",
        notes=_containerd_notes,
    ),
    "docker": Engine(
        "Docker",
        "dockerd",
        docker.add,
        docker.remove,
        "systemctl reload docker",
        "docker run --rm --runtime {name} hello-world",
        "systemctl restart docker (a reload alone keeps what it has known)",
    ),
    "podman": Engine(
        "Podman",
        "podman",
        partial(dropin.add, dropin.PODMAN),
        partial(dropin.remove, dropin.PODMAN),
        "nothing: Podman reads it each time",
        "podman --runtime {name} run --rm hello-world",
    ),
    "cri-o": Engine(
        "CRI-O",
        "crio",
        partial(dropin.add, dropin.CRIO),
        partial(dropin.remove, dropin.CRIO),
        "systemctl restart crio",
        "crictl runp --runtime {name} pod.json; or in Kubernetes a RuntimeClass whose handler is {name}",
    ),
}


def engine(name: str) -> Engine:
    """Return the engine NAME.  Raises UsageError."""
    if name not in ENGINES:
        raise UsageError(f'unknown engine "{name}"', hint="one of " + ", ".join(ENGINES))
    return ENGINES[name]


def installed(found: Engine) -> bool:
    """Return whether the program of the engine FOUND is on $PATH."""
    return shutil.which(found.program) is not None


def check(wanted: Wanted) -> None:
    """Raise UsageError if WANTED cannot be registered with any engine."""
    if not wanted.name or not set(wanted.name) <= NAME_LETTERS or wanted.name[0] in "-_":
        raise UsageError(f'invalid runtime name "{wanted.name}"', hint="letters, digits, - and _")
    if wanted.name in TAKEN:
        raise UsageError(f'engines have a runtime "{wanted.name}" of their own', hint="choose another --name")
    if wanted.path[:1] != "/" or not wanted.path.isprintable():
        raise UsageError(f'--path "{wanted.path}": expected the absolute path of a program', hint='let it begin with "/"')
    if wanted.destdir and wanted.destdir[0] != "/":
        raise UsageError(f'--destdir "{wanted.destdir}": expected an absolute path', hint='let it begin with "/"')
