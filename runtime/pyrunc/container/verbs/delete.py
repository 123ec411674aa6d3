"""`delete`: remove what is left of a stopped container, or one that was never started; by force, any."""

from __future__ import annotations

import posix
from time import monotonic, sleep

from pyrunc import handover
from pyrunc.cgroup import fs
from pyrunc.container import store
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import alive, guard, status_of
from pyrunc.container.verbs import kill
from pyrunc.errors import ConfigError, OpError, StateError
from pyrunc.log import Log

SIGKILL = 9
END_SECONDS, THAW_SECONDS = 10.0, 0.02


def delete(root: str, container: str, *, force: bool, log: Log) -> None:
    """Delete CONTAINER: its cgroups, its directory, then its poststop hooks.

    One that is created is ended before, as by runc.  FORCE kills what still runs, cleans up after a create that was cut off, and
    is content if there is no such container.  Raises StateError otherwise.
    """
    directory = store.directory(root, container)
    if force:
        _by_force(directory, log)
        return
    lock = store.lock(directory)
    try:
        saved = load(directory)
        _need_systemd(saved)
        guard("delete", saved, status_of(directory, saved))
        destroy(directory, saved, log)
    finally:
        posix.close(lock)


def _by_force(directory: str, log: Log) -> None:
    """Remove whatever is in DIRECTORY, if it is there."""
    try:
        saved = _remembered(directory, log)
        _need_systemd(saved)
        _stop(saved)  # not locked: this is also what makes a hanging create give up
    except StateError:
        pass  # nothing was remembered
    lock = store.lock_remains(directory)
    if lock < 0:
        return
    try:
        try:
            saved = _remembered(directory, Log())
        except StateError:
            store.discard(directory)  # reserved, and cut off before anything was remembered
        else:
            destroy(directory, saved, log)
    finally:
        posix.close(lock)


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
    """Remove everything of the container that SAVED remembers, whatever state it is in."""
    handover.begin()
    _stop(saved)
    later = None
    if "poststop" in saved.hooks:
        from pyrunc.container import hooks

        later = hooks.kept(directory)
    release(saved)
    store.discard(directory)
    if later is not None:
        hooks.poststop(later, saved, log)


def release(saved: SavedState) -> None:
    """Remove the cgroups of SAVED, which hold no process any more, systemd's unit, and its groups of resctrl."""
    if saved.unit:
        from pyrunc.cgroup import systemd

        systemd.stop(saved.unit, user=saved.user_unit)
    fs.remove(saved.places)
    if saved.resctrl_owns:
        from pyrunc.cgroup import resctrl

        resctrl.remove(saved.resctrl_owns)


def _stop(saved: SavedState) -> None:
    """Kill every process of the container and wait until its init is gone.

    Raises OpError if it does not go within ten seconds.
    """
    if alive(saved):
        try:
            kill.send(saved, SIGKILL, everything=False)
        except StateError:
            return  # it ended by itself between the two lines
    # What init left behind without a pid namespace, and what a cut-off create never wrote down.
    if saved.pid == 0 or not saved.own_pid_namespace:
        fs.signal_all(saved.places, SIGKILL)
    began = monotonic()
    thaw = began + THAW_SECONDS
    while alive(saved):
        now = monotonic()
        if now > thaw:
            kill.thaw(saved)  # a pause came in between, and on version 1 nobody frozen can die
            thaw = now + THAW_SECONDS
        if now > began + END_SECONDS:
            text = f"init (pid {saved.pid}) has not ended {END_SECONDS:g} s after SIGKILL"
            raise OpError(text, hint="it may hang in the kernel: see /proc/PID/stack")
        sleep(0.0005)
