#!python
"""Run pyrunc by the interpreter in the first line, which the installer writes; bin/pyrunc reads it there."""

from pyrunc.boot import main

main()
