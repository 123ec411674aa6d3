"""`delete`: remove what is left of a stopped container, or one that was never started; by force, any."""

from __future__ import annotations

from pyrunc import handover
from pyrunc.cgroup import fs
from pyrunc.container import store, work
from pyrunc.container.statefile import SavedState, load, noted
from pyrunc.container.status import alive, guard, status_of
from pyrunc.container.verbs import kill
from pyrunc.errors import ConfigError, OpError, StateError
from pyrunc.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Token

SIGKILL = 9
END_SECONDS = 10.0


def delete(root: str, container: str, *, force: bool, log: Log) -> None:
    """Delete CONTAINER: its cgroups, its directory, then its poststop hooks.

    One that is created is ended before, as by runc.  FORCE kills what still runs, cleans up after a create that was cut off, and
    is content if there is no such container.  Raises StateError otherwise.
    """
    directory = store.directory(root, container)
    if force:
        by_force(directory, log)
        return
    working = work.begin(directory, "delete")
    try:
        saved = load(directory)
        _need_systemd(saved)
        guard("delete", saved, status_of(directory, saved))
        destroy(directory, saved, log)
    finally:
        working.close()


def by_force(directory: str, log: Log, only: SavedState | None = None) -> None:
    """Remove whatever is in DIRECTORY, if it is there; or just container ONLY, if its name is not another's by now."""
    try:
        saved = _remembered(directory, log)
        _need_systemd(saved)
        if not _is(saved, only):
            return
        _stop(saved, _tokens(directory, saved))  # before we wait for anybody: this is also what makes a hanging create give up
    except StateError:
        pass  # nothing was remembered
    working = work.begin_by_force(directory, "delete")
    if working is None:
        return
    try:
        try:
            saved = _remembered(directory, Log())
        except StateError:
            if only is None:
                store.discard(directory)  # reserved, and cut off before anything was remembered
        else:
            if _is(saved, only):
                destroy(directory, saved, log)
    finally:
        working.close()


def _is(saved: SavedState, only: SavedState | None) -> bool:
    """Return whether SAVED is of container ONLY, and of no later one of its id; of any, without ONLY."""
    return only is None or (saved.id, saved.created) == (only.id, only.created)


def _tokens(directory: str, saved: SavedState) -> tuple[Token, ...]:
    """Return what proves which things container SAVED, in DIRECTORY, has made; its create may have been cut off."""
    return saved.made if saved.pid else noted(directory)


def _need_systemd(saved: SavedState) -> None:
    """Go over to the script, which has the library that talks to systemd, if SAVED has a unit of it."""
    if saved.unit:
        handover.need_script()
def _remembered(directory: str, log: Log) -> SavedState:
    """Return what DIRECTORY remembers; if that is damaged, what can be said even so, with a warning in LOG."""
    try:
        return load(directory)
    except ConfigError as error:
        from pyrunc.container import salvage

        return salvage.saved(directory, error, log)


def destroy(directory: str, saved: SavedState, log: Log) -> None:
    """Remove everything that the container that SAVED remembers has made, whatever state it is in."""
    handover.begin()
    tokens = _tokens(directory, saved)
    _stop(saved, tokens)
    later = None
    if "poststop" in saved.hooks:
        from pyrunc.container import hooks

        later = hooks.kept(directory)
    release(saved, tokens, log)
    store.discard(directory)
    if later is not None:
        hooks.poststop(later, saved, log)


def release(saved: SavedState, tokens: tuple[Token, ...], log: Log) -> None:
    """Take back what TOKENS of SAVED prove: its cgroups, which hold no process any more, its unit, its groups of resctrl.

    Raises OpError for what stays; that something of others' has not its old limits again is a warning.
    """
    from pyrunc.run import undo

    left = undo.backwards(tokens)
    for call, text in left:
        if call in undo.OF_OTHERS:
            log.warning(text)
    stays = [text for call, text in left if call not in undo.OF_OTHERS]
    if stays:
        raise OpError(stays[0], hint="delete --force removes the rest")
    known = {each.words[0] for each in tokens if each.words}
    if saved.pid == 0:
        undo.leftover(tuple(each for each in saved.places if each.directory not in known and each.directory not in saved.found))
    for path in saved.resctrl_owns:
        if path not in known and path not in saved.found:
            from pyrunc.cgroup import resctrl

            resctrl.remove_unused(path)


def _stop(saved: SavedState, tokens: tuple[Token, ...]) -> None:
    """Kill every process of the container and wait until its init is gone; TOKENS say what is its own.

    Raises OpError if it does not go within ten seconds.
    """
    if alive(saved):
        try:
            kill.send(saved, SIGKILL, everything=False)
        except StateError:
            return  # it ended by itself between the two lines
    if saved.pid == 0:  # what a cut-off create never wrote down
        from pyrunc.run import undo

        undo.kill(tokens)
    elif not saved.own_pid_namespace:  # what init left behind
        fs.signal_all(kill.own_places(saved), SIGKILL)
    if alive(saved) and not kill.await_end(saved, END_SECONDS):
        text = f"init (pid {saved.pid}) has not ended {END_SECONDS:g} s after SIGKILL"
        raise OpError(text, hint="it may hang in the kernel: see /proc/PID/stack")
