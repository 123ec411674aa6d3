"""What a configuration asks for by a name that nobody knows, and so gets not: legal, and worth a warning."""

from __future__ import annotations

from pyrunc.errors import PyruncError
from pyrunc.linux import caps
from pyrunc.words import suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.oci.config import Config

CALLS_MAX = 512  # numbers that are looked at; a kernel of today has fewer calls
SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def calls(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield pointer, message and hint for each system call in CONFIG's filter that neither libseccomp nor this runtime knows."""
    filters = config.linux.seccomp
    if filters is None:
        return
    from pyrunc.seccomp.compile import compile_filter

    try:
        unknown = frozenset(compile_filter(filters).unknown)
    except (PyruncError, ImportError):
        return  # which is no warning: `create` will refuse it
    for index, rule in enumerate(filters.syscalls):
        for place, name in enumerate(rule.names):
            if name in unknown:
                at = f"/linux/seccomp/syscalls/{index}/names/{place}"
                hint = "it is ignored: " + suggestion(name, _known(), "correct the name, or remove it")
                yield at, f"no such system call is known: {name}", hint


def _known() -> set[str]:
    """Return the names of the system calls of this machine, as libseccomp has them, and of those that it is too old for."""
    from pyrunc.seccomp import library
    from pyrunc.seccomp.added import NUMBERS

    seccomp = library.load()
    found: set[str] = set(NUMBERS)
    for number in range(CALLS_MAX):
        try:
            name = seccomp.resolve_syscall(seccomp.Arch.NATIVE, number)
        except ValueError:
            continue  # nothing has this number
        found.add(str(name, "utf-8"))
    return found


def capabilities(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield the same for each capability that no kernel knows."""
    sets = config.process.capabilities if config.process else None
    for kind in SETS if sets else ():
        for index, name in enumerate(getattr(sets, kind)):
            if name not in caps.NUMBER:
                hint = "it is ignored: " + suggestion(name, caps.NUMBER, "remove it")
                yield f"/process/capabilities/{kind}/{index}", f"no such capability is known: {name}", hint
