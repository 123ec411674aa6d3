"""Start a command from one precompiled image instead of eighty files.

Importing a small module costs 0.1 ms, and a `create` needs eighty.  So the
code of all that a command imports is kept in one marshal file in __pycache__,
in the order in which it has to run: loading that takes a third of the time.
Like a .pyc it is only a cache.  It is made by the first run that may write it,
and thrown away when it is damaged, or when a source file's size or time of
change is another one.

This file is loaded on every start, so image.py makes the images, and not even
__future__ is imported: the annotations are strings.
"""

import _imp
import gc
import marshal
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pyrunc.image import Item

HERE = __file__.rpartition("/")[0]  # so that an installation that is moved or copied never runs another's code
HOT = ("create", "start", "run", "state", "kill", "delete", "exec", "update")
IMAGE_MAX = 1 << 24
HEAD = 16  # bytes of what `head` returns
INTERRUPTED = 130
WRITABLE_BY_OTHERS = 0o022


def main() -> "NoReturn":
    """Run the command line in sys.argv and leave, without the interpreter's tidying up."""
    gc.disable()  # a command ends before garbage matters, and a collection would copy pages after the fork
    argv = sys.argv[1:]
    if task := sys._xoptions.get("task"):  # by handover.task
        _do(str(task))
    name = next((word for word in argv if word in HOT), "")
    if name and not _load(_path(name)):
        from pyrunc import image

        image.make(name, _path(name), head)
    from pyrunc.cli.main import main as command

    try:
        status = command(argv)
    except KeyboardInterrupt:  # another one, while the first was told
        status = INTERRUPTED
    posix._exit(status)


def _do(task: str) -> "NoReturn":
    """Do TASK, and leave."""
    if task == "seccomp":
        from pyrunc.seccomp.apart import serve

        serve()
    else:  # "call", and the numbers of the descriptors that it has
        from pyrunc.helper import worker

        worker.resume([int(number) for number in task.split("-")[1:]])
    posix._exit(0)


def _path(name: str) -> str:
    """Return where the image of command NAME is kept."""
    return f"{HERE}/__pycache__/{name}.{sys.implementation.cache_tag}.image"


def _load(path: str) -> bool:
    """Run all that the image at PATH holds; return whether there is one, whole and current."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            found = posix.fstat(fd)
            if found.st_uid not in (0, posix.geteuid()) or found.st_mode & WRITABLE_BY_OTHERS:
                return False
            data = posix.read(fd, min(found.st_size + 1, IMAGE_MAX))
        finally:
            posix.close(fd)
    except OSError:
        return False
    body = memoryview(data)[HEAD:]
    if data[:HEAD] != head(body):  # marshal would obey anything, or crash
        return False
    items: list[Item] = marshal.loads(body)
    del data, body  # before the modules need room
    return _current(items) and _run(items)


def head(body: "bytes | memoryview") -> bytes:
    """Return what an image begins with: the version of the code in its BODY, the length of that, and a checksum.

    It is SipHash, which is there already and takes 0.2 ms for what `create` needs.
    """
    return MAGIC_NUMBER + len(body).to_bytes(4, "little") + _imp.source_hash(0, body)


def _current(items: "list[Item]") -> bool:
    """Return whether every source file is still the one that was compiled."""
    stat = posix.stat
    try:
        here = posix.open(HERE, posix.O_PATH | posix.O_CLOEXEC)  # so that no look goes all the way from the root
        try:
            for _, path, time, size, _, _ in items:
                found = stat(path, dir_fd=here)
                if found.st_mtime_ns != time or found.st_size != size:
                    return False
        finally:
            posix.close(here)
    except OSError:
        return False
    return True


def _run(items: "list[Item]") -> bool:
    """Make every module, then run their code in order, so that each finds what it imports."""
    modules = sys.modules
    kind = type(sys)
    fresh = []
    for name, path, _, _, package, code in items:
        if name in modules:
            continue
        module = modules[name] = kind(name)
        path = f"{HERE}/{path}"
        module.__file__ = path
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [path.rpartition("/")[0]]
        fresh.append((module, code))
    items.clear()
    for module, _ in fresh:
        parent, _, last = module.__name__.rpartition(".")
        setattr(modules[parent], last, module)
    fresh.reverse()
    while fresh:  # what has run makes room for the next
        module, code = fresh.pop()
        exec(code, module.__dict__)
    return True
