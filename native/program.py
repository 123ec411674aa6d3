"""What the program that is dumped runs: every module of the commands, executed once, in order.

Not imported: native/build.py compiles it, and native/start.c runs it with the modules, as pyrunc.image makes
them, among PARTS in the dictionary; it takes `command` and the other names at the end from there.
"""

import _io
import _signal
import builtins
import gc
import posix
import sys
import time

_, items, warm, _, _ = globals()["PARTS"]  # items: name, path below the package, is a package, code
gc.disable()  # a command ends before garbage matters
kind = type(sys)


class Handover:
    """The last finder: a module that is not here is the interpreted program's to import."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Start the whole command again as a script, unless it has begun to change anything."""
        from pyrunc import handover

        handover.to_script(name)


builtins.open = _io.open  # which the rest of the interpreter's start would have done
sys.set_int_max_str_digits(sys.int_info.default_max_str_digits)  # as well
sys.path, sys.path_hooks, sys.path_importer_cache = [], [], {}
sys.argv = ["pyrunc"]
sys.modules["encodings"] = kind("encodings")  # what looks error handlers up asks that it is there
for name, path, package, _ in items:
    module = sys.modules[name] = kind(name)
    module.__file__ = f"pyrunc/{path}"
    module.__package__ = name if package else name.rpartition(".")[0]
    if package:
        module.__path__ = [module.__file__.rpartition("/")[0]]
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
for name, _, _, code in items:
    try:
        exec(code, sys.modules[name].__dict__)
    except ImportError:  # it wants a library, or one that does: it is the script's
        posix.write(1, f"{name}\n".encode())
        del sys.modules[name]
        parent, _, last = name.rpartition(".")
        delattr(sys.modules[parent], last)
del code, module, name, path, package, parent, last, _
sys.meta_path.append(Handover)
exec(warm, {})
items.clear()
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # a traceback is no answer to ^C: main() takes it in hand
for name in ("tzname", "timezone", "altzone", "daylight"):  # of where the dump is made; nobody asks for them
    delattr(time, name)

def command(argv: list[str]) -> int:
    """Do what ARGV says; the helper of the library has a command line that is none (pyrunc.helper.message)."""
    if argv[:1] == ["-Xtask=helper"]:
        modules["pyrunc.helper.serve"].main()
    return int(main(argv))


main, modules = sys.modules["pyrunc.cli.main"].main, sys.modules
b"".decode("ascii", "backslashreplace")
posix.environ.clear()
gc.collect()
gc.freeze()

environment = posix.environ
set_handler = _signal.signal
