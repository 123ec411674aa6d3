"""Start a command from one precompiled image instead of eighty files.

Importing a small module costs 0.1 ms, and a `create` needs eighty.  So the
code of all that a command imports is kept in one marshal file in __pycache__,
in the order in which it has to run: loading that takes a third of the time.
Like a .pyc it is only a cache.  It is made by the first run that may write it,
and thrown away when a source file's size or time of change is another one.
"""

from __future__ import annotations

import gc
import marshal
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import NoReturn

    # name, path below HERE, time of change (ns), size, is a package, code
    Item = tuple[str, str, int, int, bool, CodeType]

HERE = __file__.rpartition("/")[0]  # so that an installation that is moved or copied never runs another's code
HOT = ("create", "start", "run", "state", "kill", "delete", "exec", "update")
IMAGE_MAX = 1 << 24
WRITABLE_BY_OTHERS = 0o022


def main() -> NoReturn:
    """Run the command line in sys.argv and leave, without the interpreter's tidying up."""
    gc.disable()  # a command ends before garbage matters, and a collection would copy pages after the fork
    argv = sys.argv[1:]
    name = next((word for word in argv if word in HOT), "")
    if name and not _load(_path(name)):
        _import_and_keep(name)
    from pyrunc.cli.main import main as command

    posix._exit(command(argv))


def _path(name: str) -> str:
    """Return where the image of command NAME is kept."""
    return f"{HERE}/__pycache__/{name}.{sys.implementation.cache_tag}.image"


def _load(path: str) -> bool:
    """Run all that the image at PATH holds; return whether there is one, whole and current."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return False
    try:
        found = posix.fstat(fd)
        if found.st_uid not in (0, posix.geteuid()) or found.st_mode & WRITABLE_BY_OTHERS:
            return False
        data = posix.read(fd, IMAGE_MAX)
    finally:
        posix.close(fd)
    if data[:4] != MAGIC_NUMBER or int.from_bytes(data[4:8], "little") != len(data):
        return False
    items: list[Item] = marshal.loads(memoryview(data)[8:])
    return _current(items) and _run(items)


def _current(items: list[Item]) -> bool:
    """Return whether every source file is still the one that was compiled."""
    stat = posix.stat
    try:
        for _, path, time, size, _, _ in items:
            found = stat(HERE + path)
            if found.st_mtime_ns != time or found.st_size != size:
                return False
    except OSError:
        return False
    return True


def _run(items: list[Item]) -> bool:
    """Make every module, then run their code in order, so that each finds what it imports."""
    modules = sys.modules
    kind = type(sys)
    fresh = []
    for name, path, _, _, package, code in items:
        if name in modules:
            continue
        module = modules[name] = kind(name)
        path = HERE + path
        module.__file__ = path
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [path.rpartition("/")[0]]
        fresh.append((module, code))
    for module, _ in fresh:
        parent, _, last = module.__name__.rpartition(".")
        setattr(modules[parent], last, module)
    for module, code in fresh:
        exec(code, module.__dict__)
    return True


def _import_and_keep(name: str) -> None:
    """Import command NAME from its files, note the order, and write the image if we may."""
    order: list[ModuleType] = []
    usual = SourceFileLoader.exec_module

    def noting(loader: SourceFileLoader, module: ModuleType) -> None:
        """Run MODULE as usual, then note that it is done."""
        usual(loader, module)
        order.append(module)

    SourceFileLoader.exec_module = noting  # type: ignore[method-assign, assignment]
    try:
        __import__(f"pyrunc.cli.commands.{name}")
    finally:
        SourceFileLoader.exec_module = usual  # type: ignore[method-assign]
    try:
        _keep(_path(name), [module for module in order if module.__name__.startswith("pyrunc.")])
    except OSError:
        return  # a read-only or foreign installation: it only stays slower


def _keep(path: str, modules: list[ModuleType]) -> None:
    """Write the image of MODULES to PATH, atomically."""
    if posix.access(path.rpartition("/")[0], posix.W_OK) is False:
        return
    items: list[Item] = []
    for module in modules:
        source = str(module.__file__)
        found = posix.stat(source)
        with open(source, "rb") as file:
            code = compile(file.read(), source, "exec", dont_inherit=True, optimize=2)
        place = source.removeprefix(HERE)
        items.append((module.__name__, place, found.st_mtime_ns, found.st_size, hasattr(module, "__path__"), code))
    body = marshal.dumps(items)
    data = MAGIC_NUMBER + (len(body) + 8).to_bytes(4, "little") + body
    draft = f"{path}.{posix.getpid()}"
    fd = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(data)
    posix.rename(draft, path)
