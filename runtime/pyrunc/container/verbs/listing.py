"""`list`: every container below the root directory."""

from __future__ import annotations

from pyrunc.container import store
from pyrunc.container.statefile import load
from pyrunc.container.verbs.state import document
from pyrunc.errors import PyruncError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.log import Log


def listing(root: str, log: Log, *, must_exist: bool = True) -> list[dict[str, object]]:
    """Return the state of each container, sorted by id, with its owner's name.

    One that cannot be read is warned of and left out.  Raises StateError if
    ROOT does not exist and MUST_EXIST; it is not made.
    """
    try:
        names = store.ids(root)
    except FileNotFoundError:
        if not must_exist:
            return []  # nothing has been made yet
        raise StateError(f"stat {root}: no such file or directory", hint="no container was created there yet") from None
    if names:
        store.refuse_foreign(root, parent=True)
    rows: list[dict[str, object]] = []
    owners: dict[int, str] = {}  # one look into the host's files for each
    for name in names:
        try:
            directory = store.directory_in(root, name)
            saved = load(directory)
            if saved.owner not in owners:
                owners[saved.owner] = _owner(saved.owner)
            rows.append({**document(directory, saved), "owner": owners[saved.owner]})
        except (PyruncError, OSError, KeyError, TypeError) as error:
            log.warning(f"cannot read container {name}, which is left out: {error}")
    return rows


def _owner(uid: int) -> str:
    """Return the name of the host's user UID, or its number.

    Most are in the host's file, which the C library reads first, and which costs a fraction of asking that.
    """
    from pyrunc.run.steps import users

    try:
        with open("/etc/passwd", "rb") as file:
            found = users.name_of(file.read(), uid)
    except OSError:
        found = ""
    if found:
        return found
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
