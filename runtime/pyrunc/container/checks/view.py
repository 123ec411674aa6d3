"""A container's root as far as it can be known before the container is: the image, without what is mounted over it."""

from __future__ import annotations

import errno
import posix

from pyrunc.linux.fs import RESOLVE_NO_SYMLINKS
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

O_NOFOLLOW = posix.O_NOFOLLOW


def is_directory(path: str) -> bool:
    """Return whether PATH of the host is a directory, as far as we may see."""
    try:
        return posix.stat(path).st_mode & rootpath.S_IFMT == rootpath.S_IFDIR
    except OSError:
        return False


class Hidden(Exception):
    """A path leads where something will be mounted, or where we may not look: what is there cannot be known."""


class View:
    """The image below descriptor `root`, in which `covered` are the places where something will be mounted.

    What will be seen there may be known: a directory of the host's, or none ("").  Mount points, devices and the current
    directory are made there all the same: so only who looks for a program looks `through`.
    """

    def __init__(self, rootfs: str) -> None:
        """Open ROOTFS.  Raises OSError."""
        self.root = posix.open(rootfs, rootpath.O_DIRECTORY | rootpath.O_CLOEXEC)
        self.covered: dict[str, str | None] = {}
        self.through = False

    def close(self) -> None:
        """Be done."""
        posix.close(self.root)

    def cover(self, paths: Iterable[str], content: str | None = None, *, again: bool = True) -> None:
        """Note that something with CONTENT will be mounted at each of PATHS, which may lead over links of the image.

        What is noted already stays if that is not AGAIN.
        """
        for path in paths:
            try:
                place = self.walk(path, 0)[0]
            except (Hidden, OSError):
                continue  # below what is covered already, or refused
            if place != "/" and (again or place not in self.covered):  # nothing can be put over the root
                self.covered[place] = content

    def place(self, path: str) -> str:
        """Return the place of PATH without links, as far as that can be known."""
        try:
            return self.walk(path, 0)[0]
        except (Hidden, OSError):
            return path

    def find(self, path: str) -> int:
        """Return the mode of what is at PATH, 0 for nothing.  Raises Hidden, and OSError as openat2(2) does."""
        try:
            place, mode = self.walk(path, 0)
        except PermissionError:
            raise Hidden from None  # not for us to see
        if place in self.covered:
            content = self.covered[place] if self.through else None
            if content and is_directory(content):
                return rootpath.S_IFDIR
            raise Hidden
        return mode

    def walk(self, path: str, links: int) -> tuple[str, int]:
        """Return the place of PATH without links, and the mode of what is there (0: nothing).  Raises Hidden for a place below
        what is covered, and OSError.
        """
        done: list[str] = []
        parts = [part for part in path.split("/") if part not in ("", ".")]
        mode = rootpath.S_IFDIR
        while parts:
            part = parts.pop(0)
            here = "/" + "/".join(done)
            if here in self.covered:
                return self._beyond(here, [part, *parts])
            if part == "..":
                done, mode = done[:-1], rootpath.S_IFDIR
                continue
            if mode and mode & rootpath.S_IFMT != rootpath.S_IFDIR:
                raise NotADirectoryError(errno.ENOTDIR, posix.strerror(errno.ENOTDIR))
            place = "/" + "/".join((*done, part))
            mode = self._mode(place)
            if mode & rootpath.S_IFMT == rootpath.S_IFLNK and place not in self.covered:
                links += 1
                if links > rootpath.LINKS_MAX:
                    raise OSError(errno.ELOOP, posix.strerror(errno.ELOOP))
                target = self._target(place)
                done = [] if target.startswith("/") else done
                parts = [each for each in target.split("/") if each not in ("", ".")] + parts
                mode = rootpath.S_IFDIR
            else:
                done.append(part)
        return "/" + "/".join(done), mode

    def _beyond(self, place: str, rest: list[str]) -> tuple[str, int]:
        """Return the same for REST below PLACE, which is covered: only what is surely missing there is known."""
        content = self.covered[place] if self.through else None
        path = f"{place}/{'/'.join(rest)}"
        if content is None or ".." in rest or any(path.startswith(f"{each}/") for each in self.covered if each != place):
            raise Hidden
        if not content:
            return path, 0
        for part in rest:
            content = f"{content}/{part}"
            try:
                mode = posix.lstat(content).st_mode
            except FileNotFoundError:
                return path, 0
            if mode & rootpath.S_IFMT == rootpath.S_IFLNK:
                raise Hidden
        raise Hidden

    def _mode(self, place: str) -> int:
        """Return the mode of what is at PLACE, which leads over no link but the last part; 0 if nothing is."""
        try:
            fd = rootpath.open_path(self.root, place, O_NOFOLLOW)
        except FileNotFoundError:
            return 0
        try:
            return posix.fstat(fd).st_mode
        finally:
            posix.close(fd)

    def _target(self, place: str) -> str:
        """Return where the link at PLACE leads."""
        above, name = rootpath.split(place)
        fd = rootpath.open_path(self.root, above, rootpath.O_DIRECTORY, RESOLVE_NO_SYMLINKS)
        try:
            return posix.readlink(name, dir_fd=fd)
        finally:
            posix.close(fd)
