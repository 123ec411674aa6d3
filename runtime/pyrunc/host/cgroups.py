"""Where this machine's cgroup hierarchies are mounted, and where this process sits in them (cgroups(7))."""

from __future__ import annotations

import posix

from pyrunc.record import Record


class Hierarchy(Record):
    """One mounted hierarchy: its mount point, this process's own path below that, and whether it may make cgroups there."""

    mount: str
    own: str
    controllers: tuple[str, ...] = ()
    writable: bool = True

    @property
    def beside(self) -> str:
        """Return the path of the cgroup that our own one is in."""
        return self.own.rpartition("/")[0] or "/"

    def directory(self, path: str) -> str:
        """Return the directory of cgroup PATH, which is absolute, or relative to our own cgroup."""
        parts = path if path.startswith("/") else f"{self.own}/{path}"
        return f"{self.mount}/{parts.strip('/')}".rstrip("/")


class Cgroups(Record):
    """All hierarchies.

    `v1` by controller ("name=systemd" for a named one; controllers mounted
    together share a Hierarchy), `v2` the unified one.  `unified` says that the
    limits live in v2; on a hybrid machine v2 exists beside v1, without them.
    """

    v1: dict[str, Hierarchy] = {}  # noqa: RUF012 - records do not change
    v2: Hierarchy | None = None

    @property
    def unified(self) -> bool:
        """Return whether resources are limited through version 2."""
        return not self.v1 and self.v2 is not None


def _own_paths(text: str) -> dict[str, str]:
    """Return own cgroup by controller from /proc/PID/cgroup; "" stands for version 2."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def parse(mountinfo: str, own: str) -> Cgroups:
    """Return the hierarchies in MOUNTINFO (/proc/self/mountinfo), placed by OWN (/proc/self/cgroup)."""
    paths = _own_paths(own)
    v1: dict[str, Hierarchy] = {}
    v2 = None
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:
            continue
        fields, _, rest = line.partition(" - ")
        root, mount = fields.split(" ")[3:5]
        fstype, _, options = rest.split(" ")[:3]
        if fstype == "cgroup2":
            v2 = v2 or Hierarchy(mount, _below(paths.get("", "/"), root))
            continue
        controllers = tuple(option for option in options.split(",") if option in paths)
        for controller in controllers:
            v1.setdefault(controller, Hierarchy(mount, _below(paths[controller], root), controllers))
    return Cgroups(v1, v2)


def marked(found: Cgroups) -> Cgroups:
    """Return FOUND, those hierarchies marked in which we may make no cgroup below our own (in version 2: beside it)."""
    v1 = {controller: _marked(hierarchy, hierarchy.own) for controller, hierarchy in found.v1.items()}
    v2 = found.v2
    return Cgroups(v1, v2 and _marked(v2, v2.beside if found.unified else v2.own, "/cgroup.procs"))


def _marked(found: Hierarchy, path: str, file: str = "") -> Hierarchy:
    """Return FOUND, marked unless this process may write to the directory at PATH, and to FILE there.

    Version 2 looks at the latter when a process is moved below.
    """
    directory = found.directory(path)
    may = posix.access(directory, posix.W_OK) and (not file or posix.access(directory + file, posix.W_OK))
    return found if may else found.replace(writable=False)


def all_writable(found: Cgroups) -> Cgroups:
    """Return FOUND as a process has it that may make cgroups everywhere."""
    v1 = {controller: hierarchy.replace(writable=True) for controller, hierarchy in found.v1.items()}
    return Cgroups(v1, found.v2 and found.v2.replace(writable=True))


def _below(path: str, root: str) -> str:
    """Return own PATH as seen through a mount of subtree ROOT, as in a container."""
    if root != "/" and (path + "/").startswith(root + "/"):
        return path[len(root) :] or "/"
    return path
