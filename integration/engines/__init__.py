"""Real engines, from Debian's packages, with the runtime under test in runc's place.

One module for each engine.  Each starts the engine by itself (place.py: own mount and network namespaces, root, state
and sockets), loads one image that is made here (image.py), and does what users do.  None needs a registry.

    pytest integration/engines --runtime runc       proves the tests
    pytest integration/engines --runtime pyrunc
"""
