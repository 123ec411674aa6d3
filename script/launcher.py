"""Start pyrunc.  setup.py makes bin/pyrunc of it; it is compiled at every start, so it is short."""

import sys
from posix import getcwd, readlink

here = __file__ if __file__[0] == "/" else getcwd() + "/" + __file__
try:
    while link := readlink(here):
        here = link if link[0] == "/" else here[: here.rfind("/") + 1] + link
except OSError:  # no link, so the script itself
    pass
here = here[: here.rfind("/") + 1]
standard = sys.path[:]
sys.path.insert(0, here + "@PACKAGE@")
import pyrunc  # noqa: E402, F401 - from there and nowhere else

sys.path[:] = [*standard, here + "@LIBRARY@"]  # for what the slow paths need
from pyrunc.boot import main  # noqa: E402

main()
