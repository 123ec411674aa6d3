"""Engines that read a directory of configuration files: Podman and CRI-O.  pyrunc gets a file of its own there.

A later file wins, table by table and key by key, so the file needs nothing but its own lines; but for the same reason
another file may say something else about the same name.  That is looked for first.
"""

from __future__ import annotations

import glob

from pyrunc.errors import StateError
from pyrunc.install import toml
from pyrunc.install.edit import Edit, Wanted, read
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = "# Made by `pyrunc install {engine}`; `pyrunc install {engine} --remove` takes it back.\n"


class Directory(Record):
    """Where an engine reads what: `directory` holds the files, `files` are read before them, and `vendor`'s before those.

    Of TOML's tables, `runtimes` has the entries by name, and `default` is the key of the default runtime's name.
    `body` returns what our file says.
    """

    engine: str
    directory: str
    files: tuple[str, ...]
    vendor: tuple[str, ...]
    runtimes: tuple[str, ...]
    default: tuple[str, ...]
    body: Callable[[Wanted], str]


# containers.conf(5), runtime_supports_json: from which Podman takes the reason of a failure, to repeat it.
PODMANS_OWN = ("crun", "runc", "kata", "runsc", "krun")
# The same, runtime_supports_nocgroup: those that are asked for --cgroups=disabled.
WITHOUT_CGROUPS = ("crun", "krun")


def _podman(wanted: Wanted) -> str:
    """Return what containers.conf(5) calls a runtime: its name, and where the program may be."""
    default = f"runtime = {toml.quoted(wanted.name)}\n" if wanted.default else ""
    json = ", ".join(toml.quoted(name) for name in (*PODMANS_OWN, wanted.name))
    none = ", ".join(toml.quoted(name) for name in (*WITHOUT_CGROUPS, wanted.name))
    engine = f"[engine]\n{default}runtime_supports_json = [{json}]\nruntime_supports_nocgroup = [{none}]\n"
    return f"{engine}\n[engine.runtimes]\n{wanted.name} = [{toml.quoted(wanted.path)}]\n"


def _crio(wanted: Wanted) -> str:
    """Return what crio.conf(5) calls a runtime handler."""
    default = f"[crio.runtime]\ndefault_runtime = {toml.quoted(wanted.name)}\n\n" if wanted.default else ""
    lines = {"runtime_path": wanted.path, "runtime_type": "oci", "runtime_root": f"/run/{wanted.name}"}
    text = "".join(f"{key} = {toml.quoted(value)}\n" for key, value in lines.items())
    return f"{default}[crio.runtime.runtimes.{wanted.name}]\n{text}"


PODMAN = Directory(
    "podman",
    "/etc/containers/containers.conf.d",
    ("/etc/containers/containers.conf",),
    ("/usr/share/containers/containers.conf",),
    ("engine", "runtimes"),
    ("engine", "runtime"),
    _podman,
)
CRIO = Directory(
    "cri-o",
    "/etc/crio/crio.conf.d",
    ("/etc/crio/crio.conf",),
    (),
    ("crio", "runtime", "runtimes"),
    ("crio", "runtime", "default_runtime"),
    _crio,
)


def add(where: Directory, wanted: Wanted) -> Edit:
    """Return the change that registers WANTED.  Raises StateError if something else is known by that name."""
    edit = _own(where, wanted)
    if edit.before == _text(where, wanted.replace(default=True)):
        return edit
    text = _text(where, wanted)
    mine = toml.parse(text, edit.path)
    for path in _others(where, wanted):
        document = toml.parse(read(wanted, path) or "", path)
        for keys in ((*where.runtimes, wanted.name), *([where.default] if wanted.default and path not in where.vendor else [])):
            found = toml.look(document, *keys)
            if found is not None and found != toml.look(mine, *keys):
                hint = "choose another --name, or change that file" if keys != where.default else "change that file"
                raise StateError(f"{path} says {'.'.join(keys)} = {found!r} already", hint=hint)
    return edit.replace(after=text)


def remove(where: Directory, wanted: Wanted) -> Edit:
    """Return the change that takes it back.  Raises StateError if the file is not as `add` has written it."""
    return _own(where, wanted).replace(after=None)


def _text(where: Directory, wanted: Wanted) -> str:
    """Return our file."""
    return HEADER.format(engine=where.engine) + where.body(wanted)


def _own(where: Directory, wanted: Wanted) -> Edit:
    """Return our file as it is, which is as we have written it.  Raises StateError if it is not."""
    path = f"{where.directory}/{wanted.name}.conf"
    text = read(wanted, path)
    if text is not None and text not in [_text(where, wanted.replace(default=default)) for default in (False, True)]:
        there = toml.look(toml.parse(text, path), *where.runtimes, wanted.name)
        hint = f"it says {there!r}: remove it by hand, or name the program that it is about by --path"
        raise StateError(f'{path} is there already, and is not what `pyrunc install` writes for "{wanted.path}"', hint=hint)
    return Edit(path, text, text)


def _others(where: Directory, wanted: Wanted) -> list[str]:
    """Return the other files that the engine reads, and that are there."""
    found = glob.glob(f"{glob.escape(wanted.destdir + where.directory)}/*.conf")
    inside = sorted(path.removeprefix(wanted.destdir) for path in found)
    named = [*where.vendor, *where.files, *inside]
    return [path for path in named if path != f"{where.directory}/{wanted.name}.conf" and read(wanted, path) is not None]
