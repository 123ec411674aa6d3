# The C module below `signal`: the same names, with plain integers.
from signal import *
