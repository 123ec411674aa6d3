"""A file system that nobody answers for: FUSE, whose server mounts it at argv[1] and then only waits for its input to end."""

from __future__ import annotations

SERVER = """
import ctypes, os, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None).mount(b"silent", os.fsencode(sys.argv[1]), b"fuse", 0, options):
    sys.exit("cannot mount")
print("mounted", flush=True)
sys.stdin.read()
"""
