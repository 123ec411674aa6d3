"""Faults put into pyrunc on purpose, one at a time, and what must be true after each: script/faults runs them.

switch.py puts them into our own code, scarce.py into the surroundings of the installed program; cases.py says where,
scene.py what has to be true afterwards, worker.py is the process that they happen in.  Nothing here needs pytest.
"""
