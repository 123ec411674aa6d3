"""Program: the record that program.py fills in and that the execve uses."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.errors import OpError
    from pyrunc.linux import process as p
    from pyrunc.run.steps.trampoline import Trampoline


class Program:
    """A program that PATH leads to, ready to be executed once its user is known to be allowed to.

    `fd` is what execveat(2) gets, `path` its name from the root, `checked` all
    files that the user must be allowed to execute: scripts, then the program,
    which begins with `head`; `seen` is what tells whether these, and what they name
    as ELF interpreters, are still the same.  A program that cannot work has the
    `error` to raise when it is chosen; one for which the kernel may have an
    interpreter has a `trampoline`.
    """

    def __init__(self, path: str) -> None:
        """Know no more than a PATH from the root."""
        self.fd = -1
        self.path = path
        self.checked = [path]
        self.seen: list[tuple[str, tuple[int, int, int]]] = []
        self.head = b""
        self.image: p.Image | None = None
        self.error: OpError | None = None
        self.trampoline: Trampoline | None = None
