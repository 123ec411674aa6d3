"""The calls of the helper, for both faces of the library: what each says, and what is made of the answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pyrunc.errors import UsageError
from pyrunc.library import channel
from pyrunc.library.bundle import Bundle
from pyrunc.library.channel import Answer, Call
from pyrunc.library.ends import Ended
from pyrunc.library.streams import Stream, Streams


class Made:
    """A process that has come into being, or that was there: how it ends, when its container was created, its terminal or -1."""

    def __init__(self, answer: Answer) -> None:
        """Take what ANSWER brings."""
        value = answer.head["value"]
        pidfd, tether = (answer.take(), answer.take()) if value["pid"] else (-1, -1)
        self.ended = Ended(value["pid"], pidfd, tether)
        self.created = str(value.get("created", ""))
        self.master = answer.take() if answer.fds else -1


def _nothing(_: Answer) -> None:
    """Make nothing of an answer."""


def new_id() -> str:
    """Return an id that no container has."""
    return f"pyrunc-{os.urandom(8).hex()}"


def create(
    bundle: Bundle,
    container: str,
    root: str,
    streams: Streams,
    given: Sequence[Stream],
    *,
    start: bool,
    options: Mapping[str, Any],
) -> Call[Made]:
    """Return the call that makes CONTAINER of BUNDLE below ROOT, and starts it if START; GIVEN are the streams asked for."""
    head = {"id": container, "root": root, "bundle": bundle.path, "start": start, "given": _given(given), **options}
    return Call("create", head, Made, document=bundle.document(), fds=streams.theirs, makes=True)


def _given(streams: Sequence[Stream]) -> bool:
    """Return whether one of STREAMS was asked for: where there is a terminal, none may be."""
    return any(each is not None for each in streams)


def exec_(
    container: str,
    root: str,
    args: Sequence[str] | None,
    streams: Streams,
    given: Sequence[Stream],
    *,
    process: Mapping[str, Any] | None,
    env: Mapping[str, str] | None,
    options: Mapping[str, Any],
) -> Call[Made]:
    """Return the call that runs ARGS, or the PROCESS of a document, in CONTAINER."""
    if isinstance(args, str):
        raise UsageError(f"args is a string: {args!r}", hint='give a list, as ["sh", "-c", "..."]')
    if (args is None) is (process is None):
        raise UsageError("exec needs either args or process", hint="give the one or the other")
    document = b"" if process is None else channel.to_json(dict(process))
    head = {"id": container, "root": root, "args": list(args or ()), "given": _given(given), **options}
    head["env"] = [f"{name}={value}" for name, value in (env or {}).items()]
    return Call("exec", head, Made, document=document, fds=streams.theirs, makes=True)


def attach(container: str, root: str) -> Call[Made]:
    """Return the call that holds the init of CONTAINER."""
    return Call("attach", {"id": container, "root": root}, Made)


def plain(name: str, container: str, root: str, **more: Any) -> Call[None]:
    """Return call NAME of CONTAINER, with MORE, which answers nothing."""
    return Call(name, {"id": container, "root": root, **more}, _nothing)


def update(container: str, root: str, resources: Mapping[str, Any]) -> Call[None]:
    """Return the call that changes the limits of CONTAINER to RESOURCES."""
    return Call("update", {"id": container, "root": root}, _nothing, document=channel.to_json(dict(resources)))
