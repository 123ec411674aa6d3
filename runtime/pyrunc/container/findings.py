"""What --debug says of what a command has found, and of what it has chosen by that.  Loaded with --debug alone."""

from __future__ import annotations

import posix

from pyrunc.container import store
from pyrunc.container.statefile import load
from pyrunc.container.status import status_of
from pyrunc.errors import PyruncError
from pyrunc.plan.op import barriers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.statefile import SavedState
    from pyrunc.host.facts import HostFacts
    from pyrunc.log import Log
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Plan


def container(log: Log, root: str, name: str) -> None:
    """Say in LOG what ROOT remembers of container NAME, if it remembers one."""
    try:
        directory = store.directory(root, name)
        saved = load(directory)
        status = status_of(directory, saved).name
    except (PyruncError, OSError) as error:
        log.debug(f"found no container {name} below {root}: {error}")
        return
    log.debug(f"found container {name}: {status}, init {saved.pid or 'unknown'}, made {saved.created}, bundle {saved.bundle}")
    _places(log, saved)


def machine(log: Log, known: HostFacts) -> None:
    """Say in LOG what is KNOWN of this machine."""
    system = posix.uname()
    kinds = ["version 2" if known.cgroups.unified else "version 1"] if known.cgroups.v1 or known.cgroups.v2 else ["none"]
    if known.cgroups.v2 is not None and not known.cgroups.unified:
        kinds.append("version 2 beside it")
    labels = [name for name, there in (("AppArmor", known.apparmor), ("SELinux", known.selinux)) if there]
    text = f"found Linux {system.release} on {system.machine}; cgroups: {', '.join(kinds)}; user {known.uid}"
    text += " of a user namespace" if known.nested else ""
    text += f"; capabilities {known.capabilities:#x}; labels: {', '.join(labels) or 'none'}"
    log.debug(f"{text}; resctrl: {known.resctrl or 'no'}")


def made(log: Log, config: Config, saved: SavedState, plan: Plan) -> None:
    """Say in LOG what has been chosen for the container that is about to be made of CONFIG."""
    own = [f"{each.type}={each.path}" if each.path else each.type for each in config.linux.namespaces]
    log.debug(f"chose bundle {saved.bundle}, rootfs {saved.rootfs}; namespaces: {', '.join(own) or 'none'}")
    _places(log, saved)
    planned(log, plan)


def planned(log: Log, plan: Plan) -> None:
    """Say in LOG how long PLAN is."""
    names = ", ".join(barriers(plan.host))
    log.debug(f"planned {len(plan.host)} ops here and {len(plan.child)} in the new process, which meet at {names}")


def _places(log: Log, saved: SavedState) -> None:
    """Say in LOG where the cgroups of SAVED are, and who makes them."""
    where = ", ".join(place.directory for place in saved.places) or "none"
    unit = f"; unit {saved.unit} of {'the user' if saved.user_unit else 'the system'}" if saved.unit else ""
    log.debug(f"cgroups: {where}{unit}")
