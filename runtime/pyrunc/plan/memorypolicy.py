"""/linux/memoryPolicy: from which NUMA nodes memory is taken (config-linux.md, "Memory policy")."""

from __future__ import annotations

from pyrunc.errors import ConfigError
from pyrunc.linux import sched
from pyrunc.oci.linux import MEMORY_FLAGS, MEMORY_MODES
from pyrunc.oci.lists import mask
from pyrunc.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.linux import MemoryPolicy

AT = "/linux/memoryPolicy"
MODE: dict[str, int] = {name: getattr(sched, name) for name in MEMORY_MODES}
FLAG: dict[str, int] = {name: getattr(sched, name) for name in MEMORY_FLAGS}
WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
MAY_BE_EMPTY = ("MPOL_PREFERRED",)  # then as MPOL_LOCAL
BALANCING = "MPOL_F_NUMA_BALANCING"
MAY_BALANCE = ("MPOL_BIND", "MPOL_PREFERRED_MANY")
EXCLUSIVE = ("MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES")


def child(policy: MemoryPolicy) -> Iterator[Op]:
    """Yield the op that sets the policy, which execve(2) keeps.  Every process of the container gets it."""
    _check(policy)
    mode = MODE[policy.mode]
    for name in policy.flags:
        mode |= FLAG[name]
    yield Op("set_mempolicy", (mode, mask(policy.nodes)), AT, doing="error setting memory policy")


def _check(policy: MemoryPolicy) -> None:
    """Refuse what set_mempolicy(2) would, with the place."""
    if policy.mode in WITHOUT_NODES:
        if policy.nodes:
            count = bin(int.from_bytes(mask(policy.nodes), "little")).count("1")
            text = f"memory policy mode requires 0 nodes but got {count}: they mean nothing with {policy.mode}"
            raise ConfigError(text, pointer=f"{AT}/nodes", hint="remove them")
    elif not policy.nodes and policy.mode not in MAY_BE_EMPTY:
        text = f"memory policy mode requires at least one node but got 0: {policy.mode} needs some"
        raise ConfigError(text, pointer=f"{AT}/nodes", hint='such as "0-1"')
    for index, name in enumerate(policy.flags):
        at = f"{AT}/flags/{index}"
        if not policy.nodes:
            raise ConfigError(f"{name} means nothing without nodes", pointer=at, hint="remove it")
        if name == BALANCING and policy.mode not in MAY_BALANCE:
            raise ConfigError(f"{name} means nothing with {policy.mode}", pointer=at, hint="use MPOL_BIND, or remove it")
        if name in EXCLUSIVE and set(EXCLUSIVE) <= set(policy.flags):
            raise ConfigError(" and ".join(EXCLUSIVE) + " exclude each other", pointer=at, hint="remove one")
