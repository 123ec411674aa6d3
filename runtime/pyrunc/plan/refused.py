"""Fields of the specification that this version refuses, so that none is silently ignored.

spec/conformance.toml lists the same; each row leaves when its feature comes.
"""

from __future__ import annotations

from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.oci.config import Config
    from pyrunc.oci.process import Process

HINT = "remove it; this version of pyrunc does not have it"


def check(config: Config) -> None:
    """Raise UnsupportedError for the first field of CONFIG that cannot be honoured."""
    linux = config.linux
    fields: tuple[tuple[str, object], ...] = (
        ("/linux/mountLabel", linux.mountLabel),
    )
    _refuse(fields)
    if config.process is not None:
        check_process(config.process, "/process")


def check_process(process: Process, at: str) -> None:
    """Raise UnsupportedError for the first field of PROCESS, at pointer AT, that cannot be honoured."""
    _refuse(
        (
            (f"{at}/selinuxLabel", process.selinuxLabel),
        )
    )


def _refuse(fields: tuple[tuple[str, object], ...]) -> None:
    """Raise for the first of FIELDS that is set."""
    for pointer, value in fields:
        if value:
            name = pointer.rpartition("/")[2]
            raise UnsupportedError(f"{name} is not supported", pointer=pointer, hint=HINT)
