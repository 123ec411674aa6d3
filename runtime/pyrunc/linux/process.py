"""Processes: clone3(2), namespaces, prctl(2), limits, execveat(2)."""

from __future__ import annotations

from _struct import pack, unpack

from pyrunc.linux.abi import NR, Buffer, fork_syscall, path_bytes, syscall

# clone3(2), setns(2), unshare(2): include/uapi/linux/sched.h
CLONE_NEWTIME = 0x80
CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL_SETPERM = 5

SFD_CLOEXEC = 0o2000000
SIGACTION_DEFAULT, SIGSET_SIZE = bytes(32), 8  # struct sigaction with SIG_DFL, sizeof(sigset_t) in the kernel
FUTEX_WAIT, FUTEX_WAKE = 0, 1
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
SIGCHLD = 17


def clone3(flags: int, cgroup: int = 0) -> int:
    """clone3(2), as fork: returns 0 in the child and its pid in the parent.

    CGROUP is a descriptor, for CLONE_INTO_CGROUP.
    """
    exit_signal = 0 if flags & CLONE_PARENT else SIGCHLD
    args = pack("=11Q", flags, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, cgroup)
    return fork_syscall(NR["clone3"], args, len(args))


def setns(fd: int, nstype: int) -> None:
    """setns(2)."""
    syscall(NR["setns"], fd, nstype)


def unshare(flags: int) -> None:
    """unshare(2)."""
    syscall(NR["unshare"], flags)


def sethostname(name: str) -> None:
    """sethostname(2)."""
    data = name.encode()
    syscall(NR["sethostname"], data, len(data))


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    data = name.encode()
    syscall(NR["setdomainname"], data, len(data))


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """prctl(2)."""
    return syscall(NR["prctl"], option, arg2, arg3, 0, 0)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for this thread; each set is a mask of 64 bits (version 3 of the interface)."""
    low = 0xFFFFFFFF
    header = pack("=Ii", 0x20080522, 0)
    sets = (effective, permitted, inheritable)
    data = pack("=6I", *(s & low for s in sets), *(s >> 32 for s in sets))
    syscall(NR["capset"], header, data)


def capget() -> int:
    """capget(2): return this thread's permitted set as a mask of 64 bits."""
    header = pack("=Ii", 0x20080522, 0)
    data = Buffer(24)
    syscall(NR["capget"], header, data.address)
    words = unpack("=6I", bytes(data))
    return int(words[1] | words[4] << 32)


def default_action(number: int) -> None:
    """rt_sigaction(2): give signal NUMBER its default action; also 32 and 33, which the C library keeps for itself."""
    syscall(NR["rt_sigaction"], number, SIGACTION_DEFAULT, None, SIGSET_SIZE)


def get_prlimit(pid: int, resource: int) -> tuple[int, int]:
    """prlimit(2), asking: the soft and the hard limit."""
    limits = Buffer(16)
    syscall(NR["prlimit64"], pid, resource, None, limits.address)
    soft, hard = unpack("=QQ", bytes(limits))
    return soft, hard


def prlimit(pid: int, resource: int, soft: int, hard: int) -> None:
    """prlimit(2), setting; limits are unsigned 64-bit numbers."""
    syscall(NR["prlimit64"], pid, resource, pack("=QQ", soft, hard), None)


def keyctl_join_session_keyring(name: str) -> int:
    """keyctl(2): join or make session keyring NAME and return its serial number."""
    return syscall(NR["keyctl"], KEYCTL_JOIN_SESSION_KEYRING, name.encode())


def keyctl_setperm(serial: int, permissions: int) -> None:
    """keyctl(2): set the permissions of key SERIAL."""
    syscall(NR["keyctl"], KEYCTL_SETPERM, serial, permissions)


def personality(persona: int) -> None:
    """personality(2)."""
    syscall(NR["personality"], persona)


def signalfd(mask: int) -> int:
    """signalfd4(2) for the signals of MASK (bit n-1 is signal n); returns a descriptor."""
    return syscall(NR["signalfd4"], -1, pack("=Q", mask), 8, SFD_CLOEXEC)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """pidfd_getfd(2); returns a copy of descriptor FD of the process behind PIDFD."""
    return syscall(NR["pidfd_getfd"], pidfd, fd, 0)


def seccomp_set_mode_filter(address: int, flags: int) -> int:
    """seccomp(2) with SECCOMP_SET_MODE_FILTER; ADDRESS is that of a struct sock_fprog.

    Returns a descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER.
    """
    return syscall(NR["seccomp"], 1, flags, address)


def futex_wait(address: int, value: int, extra: int) -> None:
    """futex(2), FUTEX_WAIT: sleep until somebody wakes who waits for ADDRESS, if that holds VALUE.

    EXTRA is the last argument, which this operation does not use.  Raises
    OSError: EAGAIN if it holds another value, EINTR after a signal.
    """
    syscall(NR["futex"], address, FUTEX_WAIT, value, None, None, extra)


def futex_wake(address: int) -> None:
    """futex(2), FUTEX_WAKE: wake all that wait for ADDRESS."""
    syscall(NR["futex"], address, FUTEX_WAKE, 0x7FFFFFFF, None, None, 0)


class Image:
    """The arguments of an execve(2), laid out before any filter or limit applies."""

    def __init__(self, argv: tuple[str, ...], env: tuple[str, ...]) -> None:
        """Lay out ARGV and ENV as arrays of pointers."""
        encoded = [text.encode("utf-8", "surrogateescape") + b"\0" for text in (*argv, *env)]
        self._strings = Buffer(b"".join(encoded))
        addresses, place = [], self._strings.address
        for string in encoded:
            addresses.append(place)
            place += len(string)
        count = len(argv)
        self.argv = Buffer(pack(f"={count + 1}Q", *addresses[:count], 0))
        self.env = Buffer(pack(f"={len(env) + 1}Q", *addresses[count:], 0))


def execveat(dirfd: int, path: str, image: Image, flags: int) -> None:
    """execveat(2); returns only by raising OSError."""
    syscall(NR["execveat"], dirfd, path_bytes(path), image.argv.address, image.env.address, flags)


def execve(path: str, image: Image) -> None:
    """execve(2); returns only by raising OSError."""
    syscall(NR["execve"], path_bytes(path), image.argv.address, image.env.address)
