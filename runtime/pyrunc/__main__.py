"""`python -m pyrunc`: the same commands, by the interpreter that was started, with its options and its search path.

bin/pyrunc is what engines should call: it starts faster, and no variable of the environment has a say in what it imports.
"""

from pyrunc.boot import main

if __name__ == "__main__":
    main()
