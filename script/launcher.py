import sys

# sys.executable is BIN/python; the libraries of the slow paths come last, after the standard ones.
place = sys.executable.rpartition("/")[0] + "/../lib/python%d.%d/site-packages" % sys.version_info[:2]
sys.path.append(place)
from pyrunc.boot import main

main()
