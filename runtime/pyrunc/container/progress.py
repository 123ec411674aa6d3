"""What is written down of a container while it is made: so that whatever happens can be undone."""

from __future__ import annotations

from pyrunc.container import callerio
from pyrunc.container.initroot import mount_of
from pyrunc.container.statefile import PASSING, SavedState, note, save
from pyrunc.errors import OpError, StateError
from pyrunc.host.tasks import start_time
from pyrunc.oci.crun import PIDFD_RECEIVER
from pyrunc.plan.op import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.options import CreateOptions
    from pyrunc.container.work import Work


def _not_written(error: OSError) -> OpError:
    """Return the error for a file of ours that could not be written: the disk is full, say."""
    return OpError(
        f"cannot write {error.filename}: {(error.strerror or '').lower()}",
        errno=error.errno or 0,
        hint="see whether the file system of --root is full, or read-only",
    )


def _dated(token: Token) -> Token:
    """Return TOKEN, of a process, with its start time."""
    return Token(token.call, (*token.words, str(start_time(int(token.words[0])))))


class Progress:
    """What is written down of a container while it is made: by `working` on its directory, `saved` in the end."""

    def __init__(self, working: Work, saved: SavedState, options: CreateOptions) -> None:
        """Begin with SAVED, which says what is to be made."""
        self.working, self.saved, self.options = working, saved, options
        self.tokens: list[Token] = []

    def note(self, tokens: tuple[Token, ...]) -> None:
        """Write TOKENS down at once; a process is told from later ones of its pid by its start time."""
        found = tuple(_dated(each) if each.call == "clone3" else each for each in tokens)
        self.tokens += found
        try:
            note(self.working.directory, found)
        except OSError as error:
            raise _not_written(error) from None

    def keep(self, pid: int, **changes: object) -> None:
        """Remember the init, and CHANGES; from here on the container is `created`, or runs.  Raises StateError, OSError."""
        if self.working.gone():
            raise StateError("container was deleted while it was being created", hint="create it again")
        made = tuple(each for each in self.tokens if each.call not in PASSING)
        self.saved = self.saved.replace(pid=pid, start=start_time(pid), root_mount=mount_of(pid), made=made, **changes)
        save(self.working.directory, self.saved)

    def commit(self, pid: int) -> None:
        """Remember the init, and tell who wants to know."""
        try:
            self.keep(pid)
        except OSError as error:
            raise _not_written(error) from None
        if self.options.pid_file:
            callerio.write_pid_file(self.options.pid_file, pid)
        if self.options.pidfd_socket:
            callerio.send_pidfd(self.options.pidfd_socket, pid, b"standard")
        if receiver := self.saved.annotations.get(PIDFD_RECEIVER):
            callerio.send_pidfd(receiver, pid, b" ")  # crun's word
        if self.options.told is not None:
            self.options.told(pid)
