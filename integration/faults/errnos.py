"""Which errors each system call may return: the section ERRORS of its page in section 2 of the manual.

Left out: EFAULT, which only a wrong address gives, and EINTR of calls that the interpreter makes again by itself (PEP 475).
"""

from __future__ import annotations

PATH = "EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR"
CHANGE = f"{PATH} EDQUOT EEXIST ENOSPC EPERM EROFS"
MOUNT = f"{PATH} EBUSY EINVAL EPERM ENODEV ENOSPC"
NAMESPACE = "EINVAL ENOMEM ENOSPC EPERM EUSERS"
SOCKET = "EACCES EAFNOSUPPORT EMFILE ENFILE ENOBUFS ENOMEM"

# As Python's posix and fcntl call it.
INTERPRETER = {
    "access": f"{PATH} EINVAL EIO EROFS",
    "chdir": f"{PATH} EIO",
    "chmod": f"{PATH} EIO EPERM EROFS",
    "chown": f"{PATH} EIO EPERM EROFS",
    "chroot": f"{PATH} EIO EPERM",
    "close": "EIO ENOSPC EDQUOT",
    "dup": "EBADF EMFILE",
    "dup2": "EBADF EBUSY EMFILE",
    "eventfd": "EINVAL EMFILE ENFILE ENODEV ENOMEM",
    "fchdir": "EACCES EBADF ENOTDIR EIO",
    "fchown": "EBADF EIO EPERM EROFS",
    "fcntl": "EACCES EAGAIN EBADF EINVAL EMFILE EPERM",
    "flock": "EBADF EINVAL ENOLCK",
    "fstat": "EBADF ENOMEM EOVERFLOW",
    "fstatvfs": "EBADF EIO ENOMEM ENOSYS EOVERFLOW",
    "ftruncate": "EBADF EFBIG EINVAL EIO EPERM",
    "getcwd": "EACCES ENOENT ENOMEM",
    "ioctl": "EBADF EINVAL ENOTTY EPERM",
    "kill": "EINVAL EPERM ESRCH",
    "link": f"{CHANGE} EMLINK EXDEV EIO",
    "listdir": f"{PATH} EMFILE ENFILE",
    "lseek": "EBADF EINVAL EOVERFLOW ESPIPE",
    "memfd_create": "EINVAL EMFILE ENFILE ENOMEM EPERM",
    "mkdir": f"{CHANGE} EMLINK EINVAL",
    "mkfifo": CHANGE,
    "mknod": f"{CHANGE} EINVAL",
    "open": f"{CHANGE} EBUSY EINVAL EISDIR EMFILE ENFILE ENODEV ENXIO EOPNOTSUPP EOVERFLOW ETXTBSY EWOULDBLOCK EIO",
    "pidfd_open": "EINVAL EMFILE ENFILE ENODEV ENOMEM ESRCH",
    "pipe": "EMFILE ENFILE",
    "pipe2": "EINVAL EMFILE ENFILE",
    "pread": "EBADF EINVAL EIO EISDIR ENXIO EOVERFLOW ESPIPE",
    "pwrite": "EBADF EDQUOT EFBIG EINVAL EIO ENOSPC EPERM ESPIPE",
    "read": "EAGAIN EBADF EINVAL EIO EISDIR",
    "readlink": f"{PATH} EINVAL EIO",
    "rename": f"{CHANGE} EBUSY EINVAL EISDIR EMLINK ENOTEMPTY EXDEV",
    "rmdir": f"{PATH} EBUSY EINVAL ENOTEMPTY EPERM EROFS",
    "scandir": f"{PATH} EMFILE ENFILE",
    "sendfile": "EAGAIN EBADF EINVAL EIO ENOMEM EOVERFLOW ESPIPE",
    "setgroups": "EINVAL ENOMEM EPERM",
    "setpgid": "EACCES EINVAL EPERM ESRCH",
    "setresgid": "EAGAIN EINVAL EPERM",
    "setresuid": "EAGAIN EINVAL EPERM",
    "setsid": "EPERM",
    "setxattr": "EDQUOT EEXIST ENODATA ENOTSUP EPERM ERANGE",
    "stat": f"{PATH} EOVERFLOW",
    "statvfs": f"{PATH} EIO ENOSYS EOVERFLOW",
    "symlink": f"{CHANGE} EIO",
    "unlink": f"{PATH} EBUSY EIO EISDIR EPERM EROFS",
    "utime": f"{PATH} EPERM EROFS",
    "waitpid": "ECHILD EINVAL",
    "write": "EAGAIN EBADF EDQUOT EFBIG EINVAL EIO ENOSPC EPERM EPIPE",
}
# As the kernel calls it: what linux/abi.py makes.
PORT = {
    "bpf": "E2BIG EACCES EBADF EINVAL ENOENT ENOMEM EPERM",
    "capget": "EINVAL EPERM ESRCH",
    "capset": "EINVAL EPERM ESRCH",
    "clone3": f"{NAMESPACE} EACCES EAGAIN EBUSY EEXIST EOPNOTSUPP",
    "close_range": "EINVAL EMFILE ENOMEM",
    "execve": f"{PATH} E2BIG EAGAIN EINVAL EIO EISDIR ELIBBAD EMFILE ENFILE ENOEXEC EPERM ETXTBSY",
    "execveat": f"{PATH} E2BIG EAGAIN EBADF EINVAL EIO EISDIR ELIBBAD EMFILE ENFILE ENOEXEC EPERM ETXTBSY",
    "faccessat2": f"{PATH} EBADF EINVAL EIO EPERM EROFS ETXTBSY",
    "fsconfig": "EACCES EBUSY EINVAL ENODEV ENOMEM ENOTBLK EOPNOTSUPP EPERM EROFS",
    "fsmount": "EBUSY EINVAL EMFILE ENFILE ENOMEM ENOSPC EPERM",
    "fsopen": "EINVAL EMFILE ENFILE ENODEV ENOMEM EPERM",
    "fspick": f"{PATH} EINVAL EMFILE ENFILE EPERM",
    "futex": "EACCES EAGAIN EINTR EINVAL ENOSYS ETIMEDOUT",
    "ioprio_set": "EINVAL EPERM ESRCH",
    "keyctl": "EACCES EDQUOT EINVAL EKEYEXPIRED EKEYREJECTED EKEYREVOKED ENOKEY ENOMEM EOPNOTSUPP EPERM",
    "mount": f"{MOUNT} EMFILE ENOTBLK ENXIO EROFS",
    "mount_setattr": f"{PATH} EBADF EBUSY EINVAL EPERM",
    "move_mount": f"{MOUNT} EBADF",
    "open_tree": f"{PATH} EBADF EINVAL EMFILE ENFILE ENOSPC EPERM",
    "openat2": f"{CHANGE} E2BIG EAGAIN EBADF EINTR EINVAL EISDIR EMFILE ENFILE ENODEV ENXIO EXDEV",
    "personality": "EINVAL",
    "pidfd_getfd": "EBADF EINVAL EMFILE ENFILE EPERM ESRCH",
    "pivot_root": "EBUSY EINVAL ENOTDIR EPERM",
    "prctl": "EACCES EBADF EBUSY EINVAL ENXIO EOPNOTSUPP EPERM ERANGE",
    "prlimit64": "EINVAL EPERM ESRCH",
    "recvmsg": "EBADF ECONNREFUSED EINTR EINVAL ENOMEM ENOTCONN",
    "rt_sigaction": "EINVAL",
    "sched_setaffinity": "EINVAL EPERM ESRCH",
    "sched_setattr": "E2BIG EBUSY EINVAL EPERM ESRCH",
    "seccomp": "EACCES EBUSY EINVAL ENOMEM EOPNOTSUPP ESRCH",
    "sendmsg": "EACCES EBADF ECONNRESET EINTR EINVAL EMSGSIZE ENOBUFS ENOMEM ENOTCONN EPIPE",
    "set_mempolicy": "EINVAL ENOMEM",
    "setdomainname": "EINVAL EPERM",
    "sethostname": "EINVAL EPERM",
    "setns": "EBADF EINVAL ENOMEM EPERM ESRCH",
    "signalfd4": "EBADF EINVAL EMFILE ENFILE ENODEV ENOMEM",
    "socket": SOCKET,
    "socketpair": f"{SOCKET} EOPNOTSUPP",
    "umount2": f"{PATH} EAGAIN EBUSY EINVAL EPERM",
    "unshare": NAMESPACE,
}
ALL = {**INTERPRETER, **PORT}


def of(call: str) -> list[str]:
    """Return the names of the errors of CALL, sorted."""
    return sorted(set(ALL.get(call, "").split()))
