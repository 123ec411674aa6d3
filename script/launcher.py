"""Start pyrunc.  setup.py makes bin/pyrunc of it; it is compiled at every start, so it is short."""

import _signal
import sys

if _signal.getsignal(2) is _signal.default_int_handler:
    _signal.signal(2, _signal.SIG_DFL)  # ^C ends us without a traceback, until there is something to undo (cli/main.py)
if "held" in sys._xoptions:
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (2,))  # which was blocked as Python answers it with a traceback until here

from _frozen_importlib_external import SourceFileLoader
from posix import R_OK, access, getcwd, readlink

here = __file__ if __file__[0] == "/" else getcwd() + "/" + __file__
try:
    while link := readlink(here):
        here = link if link[0] == "/" else here[: here.rfind("/") + 1] + link
except OSError:  # no link, so the script itself
    pass
here = here[: here.rfind("/") + 1]
version = "3.%d" % sys.version_info[1]
for package in "@PACKAGE@".replace("{version}", version).split(":"):
    package = here + package + "/pyrunc"
    if access(package + "/boot.py", R_OK):
        break
else:
    sys.exit("pyrunc: " + here + "pyrunc has been moved away from its package: install it again")
library = "@LIBRARY@".replace("{version}", version).replace("{prefix}", sys.prefix)
sys.path.append(package[:-7])  # "/pyrunc"; for what the slow paths need
sys.path += [place if place[0] == "/" else here + place for place in library.split(":")]
# From there and nowhere else: the path is not searched, which takes 0.2 ms besides.
for name, file in (("pyrunc", "/__init__.py"), ("pyrunc.boot", "/boot.py")):
    module = sys.modules[name] = type(sys)(name)
    module.__file__ = package + file
    exec(SourceFileLoader(name, module.__file__).get_code(name), module.__dict__)  # type: ignore[arg-type]  # it has a file
sys.modules["pyrunc"].__path__ = [package]
module.main()
