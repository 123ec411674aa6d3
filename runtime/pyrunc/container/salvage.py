"""What can still be said of a container whose state is damaged: by its id, and by the configuration that `create` kept.

Loaded by `delete --force` alone, which ends and removes by it.
"""

from __future__ import annotations

import posix

from pyrunc.container import store
from pyrunc.container.statefile import SavedState
from pyrunc.errors import ConfigError, PyruncError
from pyrunc.host import facts
from pyrunc.oci import parsing
from pyrunc.plan import cgroups, ondemand
from pyrunc.plan.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrunc.log import Log
    from pyrunc.oci.config import Config


def saved(directory: str, damage: ConfigError, log: Log) -> SavedState:
    """Return what the container in DIRECTORY must have been, without its pid; DAMAGE is why its state is not known.

    Its processes are those in its cgroup.  Where there is none, that is a
    warning: nobody knows of processes then.  Raises DAMAGE, with what to do,
    where the configuration cannot be read either.
    """
    container = directory.rpartition("/")[2]
    try:
        with open(f"{directory}/{store.CONFIG}", "rb") as file:
            config = parsing.parse(file.read())
    except (OSError, PyruncError) as error:
        damage.hint = f"so is its configuration ({error}): end its processes, then remove {directory} by hand"
        raise damage from None
    log.warning("the container's state is damaged: going by its configuration and its cgroup")
    known = facts.probe()
    joins, owns = ondemand.resctrl_groups(config, known, container)
    made = SavedState(
        id=container,
        bundle="/",  # it is not known, and hooks must be told one
        rootfs="",
        created="",
        owner=posix.geteuid(),
        annotations=config.annotations,
        own_pid_namespace=False,  # so that all that is in its cgroup is ended
        hooks=("poststop",) if config.hooks.poststop else (),
        resctrl_joins=joins,
        resctrl_owns=owns,
    )
    found = next(_present(made, config, known.rootless), None)
    if found is None:
        log.warning(f"no cgroup of container {container} is to be found: if one of its processes lives, it stays")
    return found or made


def _present(made: SavedState, config: Config, rootless: bool) -> Iterator[SavedState]:
    """Yield MADE with its cgroups, made by ourselves or by systemd, as far as CONFIG allows both, and they are there."""
    known = facts.probe()
    for systemd in (False, True):
        asked = Request(id=made.id, systemd=systemd)
        try:
            places = tuple(place for place in cgroups.places(config, known, asked) if posix.access(place.directory, posix.F_OK))
            unit = cgroups.unit(config, known, asked).name if systemd else ""
        except PyruncError:
            continue  # the path is not of this form
        if places:
            yield made.replace(places=places, unit=unit, user_unit=systemd and rootless)
