"""Where, when and on what memory a process runs: affinity, scheduling, I/O priority, NUMA policy (sched(7), numa(7))."""

from __future__ import annotations

from _struct import pack

from pyrunc.linux.abi import NR, syscall

# sched_setattr(2), include/uapi/linux/sched.h
SCHED_OTHER = 0
SCHED_FIFO = 1
SCHED_RR = 2
SCHED_BATCH = 3
SCHED_ISO = 4
SCHED_IDLE = 5
SCHED_DEADLINE = 6
SCHED_FLAG_RESET_ON_FORK = 0x01
SCHED_FLAG_RECLAIM = 0x02
SCHED_FLAG_DL_OVERRUN = 0x04
SCHED_FLAG_KEEP_POLICY = 0x08
SCHED_FLAG_KEEP_PARAMS = 0x10
SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
SCHED_FLAG_UTIL_CLAMP_MAX = 0x40

# ioprio_set(2), include/uapi/linux/ioprio.h
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_RT = 1
IOPRIO_CLASS_BE = 2
IOPRIO_CLASS_IDLE = 3
IOPRIO_CLASS_SHIFT = 13

# set_mempolicy(2), include/uapi/linux/mempolicy.h
MPOL_DEFAULT = 0
MPOL_PREFERRED = 1
MPOL_BIND = 2
MPOL_INTERLEAVE = 3
MPOL_LOCAL = 4
MPOL_PREFERRED_MANY = 5
MPOL_WEIGHTED_INTERLEAVE = 6
MPOL_F_NUMA_BALANCING = 1 << 13
MPOL_F_RELATIVE_NODES = 1 << 14
MPOL_F_STATIC_NODES = 1 << 15


def sched_setaffinity(pid: int, mask: bytes) -> None:
    """sched_setaffinity(2); bit n of MASK is processor n."""
    syscall(NR["sched_setaffinity"], pid, len(mask), mask)


def sched_setattr(
    pid: int, policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    """sched_setattr(2) with a struct sched_attr of version 1, whose utilization clamps are 0; times in nanoseconds."""
    attr = pack("=IIQiIQQQII", 56, policy, flags, nice, priority, runtime, deadline, period, 0, 0)
    syscall(NR["sched_setattr"], pid, attr, 0)


def ioprio_set(which: int, who: int, ioprio: int) -> None:
    """ioprio_set(2)."""
    syscall(NR["ioprio_set"], which, who, ioprio)


def set_mempolicy(mode: int, nodes: bytes) -> None:
    """set_mempolicy(2); MODE includes flags, bit n of NODES is node n.

    NODES must be a whole number of longs.  The kernel takes one bit less than it is told.
    """
    syscall(NR["set_mempolicy"], mode, nodes or None, len(nodes) * 8 + 1 if nodes else 0)
