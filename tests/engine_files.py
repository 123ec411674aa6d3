"""A directory with files of engines in it, for the tests of `pyrunc install`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.errors import PyruncError
from pyrunc.install.edit import Edit, Wanted, apply
from pyrunc.install.engines import ENGINES

PROGRAM = "/usr/local/bin/pyrunc"
FILES = {
    "containerd": "/etc/containerd/config.toml",
    "docker": "/etc/docker/daemon.json",
    "podman": "/etc/containers/containers.conf.d/pyrunc.conf",
    "cri-o": "/etc/crio/crio.conf.d/pyrunc.conf",
}


class Machine:
    """A directory with files of engines in it, for `pyrunc install --destdir`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, text: str) -> Path:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        return file

    def text(self, path: str) -> str:
        return (self.root / path[1:]).read_bytes().decode()

    def wanted(self, **options: object) -> Wanted:
        return Wanted(**{"name": "pyrunc", "path": PROGRAM, "destdir": str(self.root), **options})

    def add(self, engine: str, **options: object) -> Edit:
        wanted = self.wanted(**options)
        edit = ENGINES[engine].add(wanted)
        if edit.changes:
            apply(edit, wanted.destdir)
        return edit

    def remove(self, engine: str, **options: object) -> Edit:
        wanted = self.wanted(**options)
        edit = ENGINES[engine].remove(wanted)
        if edit.changes:
            apply(edit, wanted.destdir)
        return edit

    def refuses(self, engine: str, **options: object) -> PyruncError:
        before = self.files()
        with pytest.raises(PyruncError) as caught:
            self.add(engine, **options)
        assert self.files() == before
        return caught.value

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
