"""containerd's CRI plugin, which Kubernetes and crictl talk to, finds runtimes by name in config.toml.

Why there is no file of our own in an imported directory: up to 2.0 an import replaces what other files say about a
plugin as a whole.  A drop-in about one runtime would take the CNI directories, the registries and the sandbox image
of its neighbours away, and lose against the next such file.  So the lines go to the end of the file that has
the last word about the plugin, between two comments.

And a file that names any runtime replaces the built-in entry of runc.  If it names none, runc's has to come with ours.
"""

from __future__ import annotations

import glob
import os
from itertools import product

from pyrunc.errors import ConfigError, StateError, UnsupportedError
from pyrunc.install import toml
from pyrunc.install.edit import Edit, Wanted, read
from pyrunc.record import Record

CONFIG = "/etc/containerd/config.toml"
VERSION = 2  # of a file that we begin: 1.3 and later read it
PLUGINS = {1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime", 4: "io.containerd.cri.v1.runtime"}
SHIM = "io.containerd.runc.v2"
BEGIN = "# pyrunc install containerd: begin {name} (`pyrunc install containerd --remove` takes it back)\n"
END = "# pyrunc install containerd: end {name}\n"


class Block(Record):
    """What our lines depend on: the `version` of the file (`begins` it, if it had none), and what else has to be said."""

    version: int
    begins: bool = False
    systemd: bool = False
    runc: bool = False
    default: bool = False


class Place(Record):
    """Where our lines are, or will be: file `path`, and what stands before and behind them; no `block`: they are not there."""

    path: str
    text: str | None
    head: str
    tail: str = ""
    block: Block | None = None


def add(wanted: Wanted) -> Edit:
    """Return the change that registers WANTED.

    Raises ConfigError if a file is no TOML, StateError if the name means
    something else, UnsupportedError if the lines cannot be put there.
    """
    place = _place(wanted)
    there = place.block
    if there is not None and (there.default or not wanted.default):
        return Edit(place.path, place.text, place.text)
    document = toml.parse(place.head + place.tail, place.path)
    begins = not place.head.strip() and there is None
    block = there or Block(VERSION if begins else _version(document, _main_version(wanted)), begins)
    section = toml.look(document, "plugins", _plugin(block.version, place.path), "containerd") or {}
    runtimes = toml.look(section, "runtimes") or {}
    if _known(place.path, section, runtimes, wanted):
        return Edit(place.path, place.text, place.text)
    if there is None:
        serving = runtimes.get(section.get("default_runtime_name", "runc"), {})
        systemd = toml.look(serving, "options", "SystemdCgroup") is True
        block = block.replace(systemd=systemd, runc=not runtimes)
    block = block.replace(default=wanted.default)
    lines = _lines(wanted, block)
    after = (place.head + lines + place.tail)[:-1] if there else _appended(place.head, lines)
    _prove(place.path, after, toml.merged(document, toml.parse(lines, place.path)))
    return Edit(place.path, place.text, after)


def remove(wanted: Wanted) -> Edit:
    """Return the change that takes it back: to the byte, but for what others have come to need.  Raises as `add` does."""
    place = _place(wanted)
    if place.block is None:
        return Edit(place.path, place.text, place.text)
    after = place.head[:-1] + place.tail[:-1]
    if not after.strip():
        return Edit(place.path, place.text, None)
    left = toml.parse(after, place.path)
    others = toml.look(left, "plugins", PLUGINS[place.block.version], "containerd", "runtimes") or {}
    kept = f"version = {place.block.version}\n" if place.block.begins else ""
    kept += _runc(place.block) if place.block.runc and others else ""
    return Edit(place.path, place.text, place.head + kept + place.tail[:-1] if kept else after)


def _about_cri(document: toml.Document) -> bool:
    """Return whether DOCUMENT says anything about the CRI plugin, under any of its names."""
    return any(toml.look(document, "plugins", plugin) is not None for plugin in PLUGINS.values())


def disabled(wanted: Wanted) -> bool:
    """Return whether the plugin is switched off, as in the package containerd.io of Docker."""
    for path in _files(wanted):
        listed = toml.parse(read(wanted, path) or "", path).get("disabled_plugins", [])
        if isinstance(listed, list) and set(PLUGINS.values()).intersection(map(str, listed)):
            return True
    return False


def _place(wanted: Wanted) -> Place:
    """Return where our lines are, or belong.  Raises StateError if they are not as `add` has written them."""
    chosen = CONFIG
    for path in _files(wanted):
        text = read(wanted, path) or ""
        if BEGIN.format(name=wanted.name) in text:
            return _found(path, text, wanted)
        if _about_cri(toml.parse(text, path)):
            chosen = path
    found = read(wanted, chosen)
    return Place(chosen, found, found or "")


def _found(path: str, text: str, wanted: Wanted) -> Place:
    """Return where our lines stand in TEXT.  What is behind them ends in a line feed more than it does."""
    begin, end = BEGIN.format(name=wanted.name), END.format(name=wanted.name)
    head, _, rest = text.partition(begin)
    body, _, tail = f"{rest}\n".partition(end)
    for version, given in product(PLUGINS, product((False, True), repeat=4)):
        block = Block(version, *given)
        if begin + body + end == _lines(wanted, block):
            return Place(path, text, head, tail, block)
    hint = "remove them by hand, or name the program that they are about by --path"
    raise StateError(f'{path}: the lines between the comments of `pyrunc install` are not those for "{wanted.path}"', hint=hint)


def _files(wanted: Wanted) -> list[str]:
    """Return the files that containerd reads, in its order: config.toml, then what is imported, breadth first."""
    found: list[str] = []
    pending = [CONFIG]
    while pending:
        path = pending.pop(0)
        text = read(wanted, path) if path not in found else None
        if text is None:
            continue
        found.append(path)
        for pattern in toml.parse(text, path).get("imports", []):
            full = os.path.join(os.path.dirname(path), str(pattern))
            matched = sorted(glob.glob(glob.escape(wanted.destdir) + full)) if "*" in full else [wanted.destdir + full]
            pending += [each.removeprefix(wanted.destdir) for each in matched]
    return found


def _main_version(wanted: Wanted) -> int:
    """Return the version of config.toml, which files that it imports take over."""
    return _version(toml.parse(read(wanted, CONFIG) or "", CONFIG), 1)


def _version(document: toml.Document, otherwise: int) -> int:
    """Return the version that DOCUMENT says it has."""
    found = document.get("version", otherwise)
    return found if isinstance(found, int) else otherwise


def _plugin(version: int, path: str) -> str:
    """Return the name of the CRI plugin in a file of VERSION."""
    if version not in PLUGINS:
        raise UnsupportedError(f"{path} is of version {version}", hint=f"this pyrunc knows the versions up to {max(PLUGINS)}")
    return PLUGINS[version]


def _known(path: str, section: toml.Document, runtimes: toml.Document, wanted: Wanted) -> bool:
    """Return whether somebody else has registered WANTED already.

    Raises StateError if the name is taken, or another default was chosen.
    """
    there = runtimes.get(wanted.name)
    if there is not None and toml.look(there, "options", "BinaryName") != wanted.path:
        hint = "choose another --name, or change that file"
        raise StateError(f'{path} has another runtime "{wanted.name}" already', hint=hint)
    chosen = section.get("default_runtime_name")
    if wanted.default and chosen not in (None, wanted.name):
        raise StateError(f'{path} says default_runtime_name = "{chosen}" already', hint="change that line")
    if wanted.default and there is not None and chosen is None:
        raise StateError(f'{path} has runtime "{wanted.name}" already', hint="add default_runtime_name there")
    return there is not None


def _appended(text: str, lines: str) -> str:
    """Return LINES behind TEXT and a line feed; if it ended without one, LINES do so too: thus the way back is known."""
    if not text:
        return lines
    return f"{text}\n{lines}" if text.endswith("\n") else f"{text}\n{lines[:-1]}"


def _table(block: Block) -> str:
    """Return the name of the table that has the runtimes."""
    return f"plugins.{toml.quoted(PLUGINS[block.version])}.containerd"


def _runc(block: Block) -> str:
    """Return the built-in entry of runc."""
    return f"[{_table(block)}.runtimes.runc]\n  runtime_type = {toml.quoted(SHIM)}\n"


def _lines(wanted: Wanted, block: Block) -> str:
    """Return our lines."""
    table = _table(block)
    text = f"version = {block.version}\n" if block.begins else ""
    if block.default:
        text += f"[{table}]\n  default_runtime_name = {toml.quoted(wanted.name)}\n"
    text += _runc(block) if block.runc else ""
    text += f"[{table}.runtimes.{wanted.name}]\n  runtime_type = {toml.quoted(SHIM)}\n"
    text += f"[{table}.runtimes.{wanted.name}.options]\n  BinaryName = {toml.quoted(wanted.path)}\n"
    text += "  SystemdCgroup = true\n" if block.systemd else ""
    return BEGIN.format(name=wanted.name) + text + END.format(name=wanted.name)


def _prove(path: str, after: str, expected: toml.Document) -> None:
    """Raise UnsupportedError unless AFTER means what is EXPECTED: tables may be written so that nothing can follow."""
    why = "it means something else then"
    try:
        if toml.parse(after, path) == expected:
            return
    except ConfigError as error:
        why = error.message.partition(": invalid TOML: ")[2]
    hint = "write the lines there by hand: docs/engines.md has them"
    raise UnsupportedError(f"{path} is written so that nothing can be added at its end: {why}", hint=hint)
