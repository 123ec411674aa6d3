"""`state`: the document of runtime.md ("State"), with the fields that runc adds."""

from __future__ import annotations

from pyrunc.container import store
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import STOPPED, status_of
from pyrunc.oci import OCI_VERSION


def document(directory: str, saved: SavedState) -> dict[str, object]:
    """Return the state of the container that SAVED, from DIRECTORY, remembers."""
    status = status_of(directory, saved)
    return {
        "ociVersion": OCI_VERSION,
        "id": saved.id,
        "pid": 0 if status == STOPPED else saved.pid,
        "status": status.name,
        "bundle": saved.bundle,
        "rootfs": saved.rootfs,
        "created": saved.created,
        **({"annotations": saved.annotations} if saved.annotations else {}),
        "owner": "",
    }


def state(root: str, container: str) -> dict[str, object]:
    """Return the state of CONTAINER.  Raises StateError if there is none."""
    directory = store.directory(root, container)
    return document(directory, load(directory))
