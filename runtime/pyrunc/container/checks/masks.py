"""Paths that cannot be hidden or protected (config-linux.md, "Masked Paths", "Readonly Paths")."""

from __future__ import annotations

import errno
import posix

from pyrunc.container.checks.view import Hidden
from pyrunc.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.container.checks.view import View
    from pyrunc.plan.op import Plan


def errors(plan: Plan, view: View) -> Iterator[UnsupportedError]:
    """Yield an error for each path of PLAN that the image in VIEW makes impossible to hide or to protect."""
    for op in plan.child:
        if op.call not in ("mask", "make_readonly"):
            continue
        path = str(op.args[1])
        try:
            at_root = bool(view.find(path)) and view.place(path) == "/"
        except Hidden:
            continue
        except OSError as error:
            if error.errno == errno.ELOOP:
                text = f"{op.call}: {path}: {posix.strerror(errno.ELOOP).lower()}"
                yield UnsupportedError(text, pointer=op.at, hint="remove it, or mend the link in the image")
            continue
        if at_root and op.call == "mask":
            text = f'cannot mask "{path}": it leads to the root, which holds the program'
            yield UnsupportedError(text, pointer=op.at, hint="name what is in it")
