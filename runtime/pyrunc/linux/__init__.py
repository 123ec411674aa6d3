"""The kernel port: one function is one system call, with no policy and no fallback.

Every function raises OSError with the kernel's errno.  Constants have the
kernel's own names (include/uapi/linux).  What `posix` already offers is used
from there.
"""
