"""How each op is taken back, beside its name: the plan backwards, by what it has recorded and by nothing else.

A token proves what we made: a cgroup by its inode, what a file said before.  What is not there any more,
or is another's by now, is left alone.  What is not in the table leaves nothing of its own: descriptors are
closed, and mounts and namespaces end with the new process.
"""

from __future__ import annotations

import posix
from time import monotonic

from pyrunc.cgroup import claim, fs, limits
from pyrunc.errors import PyruncError, StateError
from pyrunc.host import tasks
from pyrunc.plan.op import Token
from pyrunc.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyrunc.cgroup.paths import Place
    from pyrunc.plan.op import Op, Plan
    from pyrunc.run.context import Context


class Undo(Record):
    """What is done to take an op back, in words, and the function that does it.

    It gets the words of a token, the Context, and until when processes in a cgroup are waited for.
    """

    says: str
    does: Callable[[tuple[str, ...], Context | None, float], None]


def _same(directory: str, inode: str) -> bool:
    """Return whether DIRECTORY is there, and has the INODE that it had."""
    return claim.inode(directory) == int(inode) != 0


def _cgroup(words: tuple[str, ...], _: Context | None, until: float) -> None:
    """Remove the cgroup of WORDS, and what its container made below it; or only its parents, if a killed delete got that far."""
    directory, inode, mount = words
    found = claim.inode(directory)
    if found == int(inode) != 0:
        fs.remove(directory, mount, until)
    elif not found:
        fs.remove_parents(directory.rpartition("/")[0], mount)


def _found_cgroup(words: tuple[str, ...], _: Context | None, until: float) -> None:
    """Leave the cgroup of WORDS, and remove what its container made below it."""
    directory, inode, *known = words
    if _same(directory, inode):
        for entry in posix.scandir(directory):
            if entry.is_dir(follow_symlinks=False) and entry.name not in known:
                fs.remove_tree(entry.path, until)


def _limit(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Write back what the file of WORDS said."""
    path, inode, text = words
    if _same(path.rpartition("/")[0], inode):
        limits.restore(path, text)


def _program(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Detach the device program from the cgroup of WORDS; those that were there stay."""
    from pyrunc.cgroup import bpf

    directory, inode, *kept = words
    if _same(directory, inode):
        bpf.detach(directory, tuple(map(int, kept)))


def _owner(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Give the cgroup of WORDS back to who had it."""
    from pyrunc.cgroup import owner

    directory, inode, uid = words
    if _same(directory, inode):
        owner.give(directory, int(uid), owner.files())


def _scope(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Stop the unit of WORDS, unless it has ended and its name is another's by now."""
    from pyrunc.cgroup import systemd

    name, user, directory, inode = words
    if claim.inode(directory) in (0, int(inode)):
        systemd.stop(name, user=bool(user))


def _group(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Remove the group of resctrl of WORDS."""
    from pyrunc.cgroup import resctrl

    directory, inode = words
    if _same(directory, inode):
        resctrl.remove((directory,))


def _shared_class(words: tuple[str, ...], _: Context | None, __: float) -> None:
    """Remove the class of WORDS, unless others use it by now."""
    from pyrunc.cgroup import resctrl

    directory, inode = words
    if _same(directory, inode):
        resctrl.remove_unused(directory)


def _process(_: tuple[str, ...], context: Context | None, __: float) -> None:
    """End the new process, which is our child."""
    if context is not None:
        from pyrunc.run import newprocess

        newprocess.end(context)


def _devices(words: tuple[str, ...], context: Context | None, _: float) -> None:
    """Move the device of WORDS back, with its name and addresses."""
    if context is not None and context.devices is not None:
        context.devices.give_back(words[0])


def _rootfs(_: tuple[str, ...], context: Context | None, __: float) -> None:
    """Unmount the rootfs, which was mounted over itself."""
    if context is not None and context.rootfs is not None:
        rootfs, context.rootfs = context.rootfs, None
        rootfs.unmount()


def _hook(_: tuple[str, ...], __: Context | None, ___: float) -> None:
    """Do nothing here: the container's own verbs run poststop hooks, once all the rest is gone."""


# In the order of docs/architecture.md; what `pyrunc plan --undo` shows.
UNDO: dict[str, Undo] = {
    "make_cgroup": Undo("kill what is in the cgroups that it made, and remove them; what was there stays", _cgroup),
    "use_cgroup": Undo("remove what the container made below it", _found_cgroup),
    "fill_cgroup": Undo("remove the cgroups that it made", _cgroup),
    "limit_cgroup": Undo("in a cgroup that was there, write back what the files said", _limit),
    "attach_device_program": Undo("from a cgroup that was there, detach it", _program),
    "own_cgroup": Undo("give a cgroup that was there back", _owner),
    "start_scope": Undo("stop the unit, once its job was done", _scope),
    "make_resctrl_class": Undo("remove the class", _group),
    "use_resctrl_class": Undo("if it made the class, and nobody is in it or on his way, remove it", _shared_class),
    "make_resctrl_group": Undo("remove the group", _group),
    "clone3": Undo("kill the process, and wait for its end", _process),
    "bind_rootfs": Undo("unmount it, with all that is mounted below", _rootfs),
    "move_device": Undo("move the device back, with its name and addresses", _devices),
    "run_hook": Undo("at the end of all, run the poststop hooks", _hook),
}


# What the undoing of these gives back is not the container's own: it takes no room if it fails.
OF_OTHERS = ("limit_cgroup", "attach_device_program", "own_cgroup")


def backwards(tokens: Iterable[Token], context: Context | None = None) -> list[tuple[str, str]]:
    """Take back what TOKENS prove, the last one first; return what could not be: the op's name, and why, in words.

    CONTEXT is that of the plan that has just failed, None for a later command.
    """
    left = []
    until = monotonic() + fs.REMOVE_SECONDS  # for all of its cgroups together: who stays in one, stays in each
    # What a container has made below a cgroup that was there came after all that we have done.
    backward = tuple(tokens)[::-1]
    for token in sorted(backward, key=lambda each: each.call != "use_cgroup"):
        if token.call not in UNDO:
            continue  # of a damaged file: it proves nothing
        try:
            UNDO[token.call].does(token.words, context, until)
        except (OSError, PyruncError, ValueError) as error:
            left.append((token.call, f"{UNDO[token.call].says}: {error}"))
    return left


def leftover(places: tuple[Place, ...]) -> None:
    """Remove those of the cgroups at PLACES that are empty: a create was killed between making them and recording that.

    Not if another is about to use them.
    """
    if not places:
        return
    try:
        held = claim.take(places[0].directory)
    except StateError:
        return
    except FileNotFoundError:
        held = -1
    try:
        for place in places:
            fs.remove_empty(place.directory, place.mount)
    finally:
        if held >= 0:
            posix.close(held)


def kill(tokens: Iterable[Token]) -> None:
    """Kill the process that TOKENS name, if it is still that one, and what is in the cgroups that they prove to be ours."""
    from pyrunc.cgroup import paths

    found = []
    for token in tokens:
        if token.call == "clone3" and len(token.words) == 2 and all(map(str.isdecimal, token.words)):
            tasks.end(int(token.words[0]), int(token.words[1]))
        if token.call in ("make_cgroup", "fill_cgroup") and len(token.words) == 3 and token.words[1].isdecimal():
            directory, number, mount = token.words
            if not _same(directory, number):
                continue
            controllers = ("",) if posix.access(f"{directory}/cgroup.controllers", posix.F_OK) else ("freezer",)
            found.append(paths.Place(directory, mount, controllers))
    for place in found:
        fs.signal_all((place,), fs.SIGKILL)


def shown(plan: Plan) -> list[tuple[Op, str]]:
    """Return the host's ops of PLAN that are taken back if a later one fails, in that order, each with what is done."""
    hooks = [(op, UNDO[op.call].says) for op in plan.host if op.call == "run_hook"]
    return [(op, UNDO[op.call].says) for op in reversed(plan.host) if op.call in UNDO and op.call != "run_hook"] + hooks[:1]
