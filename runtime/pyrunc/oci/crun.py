"""run.oci.*: annotations by which configurations ask crun for what the specification has no field for (crun(1)).

They are honoured here as there, but for what docs/crun.md says.  Whoever writes one decides what it does to the host: those
that could harm it are listed by `features` (features.md, "Unsafe annotations in config.json").
"""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.oci.convert import escape
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "run.oci."
KEEP_GROUPS = "run.oci.keep_original_groups"
HOOKS_STDOUT, HOOKS_STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"
MOUNT_CONTEXT = "run.oci.mount_context_type"
PIDFD_RECEIVER = "run.oci.pidfd_receiver"
UNKNOWN_CALLS = "run.oci.seccomp_fail_unknown_syscall"
SUBGROUP, DELEGATE = "run.oci.systemd.subgroup", "run.oci.delegate-cgroup"

TRUE, FALSE = ("1", "true"), ("0", "false", "")
CONTEXTS = ("context", "fscontext", "defcontext", "rootcontext")


class Annotation(Record):
    """One annotation: what its value is, and why who writes it must be trusted ("" if that is no matter)."""

    kind: str
    unsafe: str = ""


TRUTH, PATH, CONTEXT = "1 or 0", "an absolute path", "one of " + ", ".join(CONTEXTS)
NAME = "the name of one cgroup"
NAME_MAX = 255
HONOURED = {
    KEEP_GROUPS: Annotation(TRUTH, "the container gets the groups of whoever calls the runtime"),
    HOOKS_STDOUT: Annotation(PATH, "a file of the host's is made, or written to"),
    HOOKS_STDERR: Annotation(PATH, "a file of the host's is made, or written to"),
    MOUNT_CONTEXT: Annotation(CONTEXT, "it decides which files get the label of the container's mounts"),
    PIDFD_RECEIVER: Annotation(PATH, "a socket of the host's is connected to"),
    UNKNOWN_CALLS: Annotation(TRUTH),
    SUBGROUP: Annotation(NAME, "it decides in which cgroup of the scope the container is"),
    DELEGATE: Annotation(NAME, "the container is given a cgroup to manage"),
}
# What crun has and this runtime has not, and what is there instead.
LEFT_OUT = {
    "run.oci.handler": "no other handler runs containers here: use crun for krun and wasm",
    "run.oci.seccomp.plugins": "use linux.seccomp.listenerPath, the specification's own",
    "run.oci.seccomp.receiver": "use linux.seccomp.listenerPath, the specification's own",
    "run.oci.seccomp_bpf_data": "the filter is made of linux.seccomp alone",
    "run.oci.systemd.force_cgroup_v1": "mount the hierarchy by an entry of mounts",
    "run.oci.timens_offset": "use linux.timeOffsets, the specification's own",
}


def pointer(name: str) -> str:
    """Return the JSON pointer to annotation NAME."""
    return f"/annotations/{escape(name)}"


def asked(annotations: dict[str, str]) -> bool:
    """Return whether ANNOTATIONS have any of crun's."""
    return any(name.startswith(PREFIX) for name in annotations)


def check(annotations: dict[str, str]) -> None:
    """Raise ConfigError for a value of ANNOTATIONS that means nothing."""
    for name, text in annotations.items():
        known = HONOURED.get(name)
        if known is None:
            continue
        right = {
            TRUTH: text in TRUE + FALSE,
            PATH: text.startswith("/") and "\0" not in text,
            CONTEXT: text in CONTEXTS,
            NAME: _is_name(text),
        }
        if not right[known.kind]:
            raise ConfigError(f'"{text}" is not {known.kind}', pointer=pointer(name), hint="correct it, or remove it")


def _is_name(text: str) -> bool:
    """Return whether TEXT may be the name of a cgroup; or is empty, for none."""
    return not set("/\0\n") & set(text) and text not in (".", "..") and len(text.encode()) <= NAME_MAX


def truth(annotations: dict[str, str], name: str) -> bool:
    """Return whether ANNOTATIONS switch on what is called NAME."""
    return annotations.get(name, "") in TRUE


def unsafe() -> list[str]:
    """Return the names of those that can harm the host."""
    return [name for name, each in HONOURED.items() if each.unsafe]


def left_out(annotations: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield pointer, message and hint for each of ANNOTATIONS that crun would heed, and this runtime does not."""
    for name in annotations:
        if name in LEFT_OUT:
            yield pointer(name), f"{name} is crun's, and ignored here", LEFT_OUT[name]


def unknown(annotations: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the same for each that nobody knows."""
    from pyrunc.words import suggestion

    for name in annotations:
        if name.startswith(PREFIX) and name not in HONOURED and name not in LEFT_OUT:
            hint = "it is ignored: " + suggestion(name, HONOURED, "correct the name, or remove it")
            yield pointer(name), f"no such annotation is known: {name}", hint
