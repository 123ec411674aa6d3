# Starts pyrunc.  setup.py makes bin/pyrunc of it; it is compiled at every start, so it is short.
import sys
from posix import _exit, getcwd, readlink

here = __file__ if __file__[0] == "/" else getcwd() + "/" + __file__
try:
    while link := readlink(here):
        here = link if link[0] == "/" else here[: here.rfind("/") + 1] + link
except OSError:  # no link, so the script itself
    pass
library = here[: here.rfind("/") + 1] + "@LIBRARY@"
standard = sys.path[:]
sys.path.insert(0, library)
import pyrunc  # noqa: E402, F401 - our package comes from nowhere else; what the slow paths need comes from there last

sys.path[:] = [*standard, library]
from pyrunc.cli.main import main  # noqa: E402

_exit(main(sys.argv[1:]))
