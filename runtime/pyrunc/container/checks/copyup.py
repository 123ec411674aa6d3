"""tmpcopyup: whether what the image has in a directory fits into the tmpfs that is to cover it (tmpfs(5), size and nr_inodes)."""

from __future__ import annotations

import posix

from pyrunc.linux.fs import RESOLVE_NO_SYMLINKS
from pyrunc.run.steps.rootpath import S_IFDIR, S_IFMT, S_IFREG, open_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.checks.view import View

DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC | posix.O_NOFOLLOW
PAGE, BLOCK = 4096, 512
SUFFIXES = {"k": 10, "m": 20, "g": 30, "t": 40}
ENTRIES_MAX, DEPTH_MAX = 20_000, 64  # of what is looked at: more is not known


def is_too_small(options: tuple[str, ...], view: View, place: str) -> bool:
    """Return whether a tmpfs with OPTIONS is surely too small for what the image in VIEW has in the directory at PLACE."""
    pages = _limit(options, "size")
    entries = _limit(options, "nr_inodes")
    if not pages and not entries:
        return False
    try:
        found = open_path(view.root, place, posix.O_DIRECTORY, RESOLVE_NO_SYMLINKS)
    except OSError:
        return False  # there is none, or it is not for us to see
    fd = -1
    try:
        fd = posix.open(".", DIRECTORY, dir_fd=found)
        room = _Room(-(-pages // PAGE) if pages else -1, entries - 1 if entries else -1)  # its top takes one of them
        return not room.takes(fd, posix.fstat(fd).st_dev, 0)
    except OSError:
        return False
    finally:
        for each in (found, fd):
            if each >= 0:
                posix.close(each)


def _limit(options: tuple[str, ...], name: str) -> int:
    """Return the number that OPTIONS have for NAME; 0 for none, which is how the kernel calls no limit, or for a share."""
    found = 0
    for option in options:
        key, _, value = option.partition("=")
        if key == name:
            digits, shift = (value[:-1], SUFFIXES[value[-1].lower()]) if value[-1:].lower() in SUFFIXES else (value, 0)
            found = int(digits) << shift if digits.isascii() and digits.isdigit() else 0
    return found


class _Room:
    """What is left of a tmpfs: pages and entries, -1 for no limit."""

    def __init__(self, pages: int, entries: int) -> None:
        """Begin with an empty one."""
        self.pages, self.entries = pages, entries
        self.limited = pages >= 0, entries >= 0
        self.seen: set[int] = set()
        self.looked_at = 0

    def takes(self, directory: int, device: int, depth: int) -> bool:
        """Return whether what is in DIRECTORY, of file system DEVICE, fits, as far as it is looked at."""
        with posix.scandir(directory) as found:
            names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
        for name, each in names:
            self.looked_at += 1
            if each.st_dev != device or self.looked_at > ENTRIES_MAX or depth > DEPTH_MAX:
                continue
            self.entries -= 1
            kind = each.st_mode & S_IFMT
            if kind == S_IFREG and each.st_ino not in self.seen:
                self.seen.add(each.st_ino)
                self.pages -= -(-min(each.st_size, each.st_blocks * BLOCK) // PAGE)
            if (self.limited[0] and self.pages < 0) or (self.limited[1] and self.entries < 0):
                return False
            if kind == S_IFDIR and not self._below(directory, name, device, depth):
                return False
        return True

    def _below(self, directory: int, name: str, device: int, depth: int) -> bool:
        """Return whether what is in directory NAME of DIRECTORY fits, too."""
        fd = posix.open(name, DIRECTORY, dir_fd=directory)
        try:
            return self.takes(fd, device, depth + 1)
        finally:
            posix.close(fd)
