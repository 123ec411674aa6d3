"""The mount namespace in which CRIU brings a container back: made for it, and gone with it.

CRIU wants the root to be a mount of its own; it stands on a tmpfs over the
container's state directory, which only CRIU sees.  CRIU mounts some more while it
works.  Nothing of all that can stay on the host, whatever ends when.
"""

from __future__ import annotations

import errno
import posix

from pyrunc.errors import ConfigError
from pyrunc.linux import mount as m
from pyrunc.plan import mountopts
from pyrunc.record import Record
from pyrunc.run.steps import rootpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.criu.externals import External
    from pyrunc.oci.mounts import Mount

CLONE = m.OPEN_TREE_CLONE | m.OPEN_TREE_CLOEXEC
ON_ROOT = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
SAFE = m.MS_NOSUID | m.MS_NODEV | m.MS_NOEXEC
ROOT, SHAPE = "root", "shape"


class RestoreMounts(Record):
    """What is to be mounted below DIRECTORY."""

    directory: str
    rootfs: str
    externals: tuple[External, ...]
    mounts: tuple[Mount, ...]

    @property
    def root(self) -> str:
        """Return the path of the root."""
        return f"{self.directory}/{ROOT}"

    def build(self) -> None:
        """Mount all of it, in a mount namespace that was just made.  Raises OSError, ConfigError."""
        # Slaves, not private: from these mounts CRIU takes what the mounts of the container are slaves of.
        m.mount(None, "/", None, m.MS_REC | m.MS_SLAVE, None)
        m.mount("tmpfs", self.directory, "tmpfs", SAFE, "mode=711")
        posix.chdir("/")
        for name in (ROOT, SHAPE):
            posix.mkdir(f"{self.directory}/{name}", 0o755)
            _attach(m.open_tree(m.AT_FDCWD, self.rootfs, CLONE | m.AT_RECURSIVE), f"{self.directory}/{name}")
        self._make_points(f"{self.directory}/{SHAPE}")
        m.umount2(f"{self.directory}/{SHAPE}", m.MNT_DETACH)

    def _make_points(self, path: str) -> None:
        """Make the mount points that a new copy of the root lacks, as `create` would.

        Each is mounted on, in this second view of the root, so that a later one inside it is made in what will be there.
        """
        root = posix.open(path, rootpath.O_DIRECTORY | posix.O_CLOEXEC)
        for index, mount in enumerate(self.mounts):
            options = mountopts.of(mount)
            if "remount" in options.ours:
                continue
            if options.bind:
                external = next(each for each in self.externals if each.at == f"/mounts/{index}")
                tree = _open(external.source, external.at, m.AT_RECURSIVE if external.deep else 0)
            else:
                tree = _empty()
            point = rootpath.mount_point(root, mount.destination, tree, set())
            m.move_mount(tree, "", point, "", ON_ROOT)
            posix.close(point)
            posix.close(tree)
        posix.close(root)


def _empty() -> int:
    """Return a descriptor of a new, detached tmpfs."""
    context = m.fsopen("tmpfs", m.FSOPEN_CLOEXEC)
    m.fsconfig(context, m.FSCONFIG_CMD_CREATE, None, None, 0)
    tree = m.fsmount(context, m.FSMOUNT_CLOEXEC, 0)
    posix.close(context)
    return tree


def _open(source: str, at: str, flags: int) -> int:
    """Return a detached copy of the mount at SOURCE, which AT asks for."""
    try:
        return m.open_tree(m.AT_FDCWD, source, CLONE | flags)
    except OSError as error:
        hint = "the source does not exist on the host" if error.errno == errno.ENOENT else ""
        raise ConfigError(f"{source}: {(error.strerror or '').lower()}", pointer=at, hint=hint) from None


def _attach(tree: int, path: str) -> None:
    """Mount TREE on PATH."""
    m.move_mount(tree, "", m.AT_FDCWD, path, m.MOVE_MOUNT_F_EMPTY_PATH)
    posix.close(tree)
