"""`create`: from a bundle to a process that waits for `start`."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals
from time import gmtime, time_ns

from pyrunc.cgroup import claim, freezer
from pyrunc.container import callerio, hooks, store
from pyrunc.container.bundle import check_rootfs, read_bundle
from pyrunc.container.hooks import for_hooks
from pyrunc.container.options import common_request
from pyrunc.container.progress import Progress
from pyrunc.container.statefile import SavedState, save, write_file
from pyrunc.errors import ConfigError
from pyrunc.host import facts
from pyrunc.linux.populate import populate
from pyrunc.oci import config as oci
from pyrunc.oci import crun, parsing
from pyrunc.plan import build, cgroups, mountopts, ondemand, process, seccomp
from pyrunc.plan.namespaces import is_new
from pyrunc.record import Record
from pyrunc.run import executor, newprocess
from pyrunc.run.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.notify import Listener
    from pyrunc.container.options import CreateOptions
    from pyrunc.container.work import Work
    from pyrunc.host.facts import HostFacts
    from pyrunc.oci.config import Config
    from pyrunc.plan.op import Plan
    from pyrunc.plan.request import Request


class Made(Record):
    """What came of a create, for `run` to go on with."""

    directory: str
    saved: SavedState
    plan: Plan
    context: Context
    listener: Listener | None = None


def request(options: CreateOptions, bundle: str, config: Config, *, wait: bool) -> Request:
    """Return the planner's request for CONFIG, found in BUNDLE."""
    root = oci.need_root(config).path
    return common_request(options, bundle).replace(
        rootfs=root if root.startswith("/") else f"{bundle}/{root}",
        wait=wait,
        no_pivot=options.no_pivot,
        no_new_keyring=options.no_new_keyring,
        systemd=options.systemd_cgroup,
        cgroups=options.cgroups,
        rootless=options.rootless,
        links=links(config, bundle),
        own_mounts=any(n.type == "mount" and n.path and _is_own_mounts(n.path) for n in config.linux.namespaces),
    )


def links(config: Config, bundle: str) -> tuple[tuple[int, str], ...]:
    """Return what the sources of CONFIG's mounts say that are to be copied if they are links (option copy-symlink)."""
    found = []
    for index, mount in enumerate(config.mounts):
        if any("copy-symlink" in option for option in mount.options) and "copy-symlink" in mountopts.of(mount).ours:
            try:
                path = mount.source if mount.source.startswith("/") else f"{bundle}/{mount.source}"
                found.append((index, posix.readlink(path)))
            except OSError:
                continue  # no link: it is mounted, or that says what is wrong
    return tuple(found)


def _is_own_mounts(path: str) -> bool:
    """Return whether PATH leads to the mount namespace that we are in."""
    try:
        found, own = posix.stat(path), posix.stat("/proc/self/ns/mnt")
    except OSError:
        return False  # joining it will say why
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


def create(options: CreateOptions) -> None:
    """Create container options.id and leave its init waiting for `start`.

    Raises PyruncError; then nothing of the container stays.  Otherwise all signals are blocked afterwards: they come too late.
    """
    before = pthread_sigmask(SIG_BLOCK, ())
    try:
        made, working = prepare(options, wait=True, console="socket")
        newprocess.let_go(made.context)
        leave_rootfs(made.context)
        working.close()
    except BaseException:
        pthread_sigmask(SIG_SETMASK, before)
        raise


def leave_rootfs(context: Context) -> None:
    """Leave a rootfs that is mounted in the caller's mount namespace to him: what was made with CONTEXT is there to stay."""
    if context.rootfs is not None:
        context.rootfs.close()
        context.rootfs = None


def prepare(options: CreateOptions, *, wait: bool, console: str) -> tuple[Made, Work]:
    """Create the container; return what was made, and our work on it, which is to go on or to be closed.

    CONSOLE says who takes the terminal: "socket", "caller" (who finds it in
    the context's slot `master`).  All signals are blocked afterwards, and where it fails later than by a wrong
    configuration: they belong to the container, or to what undoes it.
    """
    store.check_id(options.id)
    populate()
    bundle, text = read_bundle(options.bundle, options.config)
    config = parsing.parse(text)
    user = config.process
    if user is None:
        raise ConfigError("process is missing", pointer="/process", hint="say what is to run")
    if options.notify_socket:
        from pyrunc.container import notify

        config = notify.with_socket(config, store.directory(options.root, options.id))
    asked = request(options, bundle, config, wait=wait)
    check_rootfs(asked.rootfs)
    if options.console is None:
        callerio.check_console(terminal=user.terminal, socket=options.console_socket, detached=console == "socket")
    callerio.check_preserved(options.listen_fds, options.preserve_fds)
    known = options.facts or facts.probe()
    if asked.systemd and cgroups.rootless(known, asked):
        known = _with_manager(known)
    saved = initial_state(config, known, asked)
    for warning in process.warnings(user, process.grantable(known, saved.joins), "/process"):
        options.log.warning(warning)
    for warning in cgroups.warnings(config, known, saved.places, systemd=asked.systemd):
        options.log.warning(warning)
    for at, message, hint in crun.left_out(config.annotations):
        options.log.warning(f"{message} (at {at}; {hint})")
    plan = build.build(config, known, asked)
    if options.log.debugging:
        from pyrunc.container import findings

        findings.machine(options.log, known)
        findings.made(options.log, config, saved, plan)
    store.refuse_taken(options.root, options.id)
    saved = saved.replace(found=there(saved))
    # From here on signals wait, unless the executor heeds them: what is begun is to be finished, or to be undone.
    pthread_sigmask(SIG_BLOCK, valid_signals())
    working = store.reserve(options.root, options.id, "create" if wait else "run")
    progress = Progress(working, saved, options)
    context = listener = None
    try:
        write_file(f"{working.directory}/{store.CONFIG}", text)
        save(working.directory, saved)  # last: where there is a state, a delete finds the hooks too
        if options.notify_socket:
            notify.make_directory(working.directory)
            listener = None if wait else notify.Listener(working.directory, options.notify_socket)  # before its process begins
        context = _context(progress, wait=wait)
        executor.run(plan, context)
    except BaseException:
        undo(options, config, progress, context)
        raise
    return Made(working.directory, progress.saved, plan, context, listener), working


def there(saved: SavedState) -> tuple[str, ...]:
    """Return the directories of SAVED that are there before it.

    Before anything is written down.  Raises StateError if processes are in or below its cgroups, or if one is frozen.
    """
    groups = (path for path in saved.resctrl_owns if posix.access(path, posix.F_OK))
    found = (*claim.refuse_used(saved.places), *groups)
    freezer.refuse_frozen(saved.places)
    return found


def _with_manager(known: HostFacts) -> HostFacts:
    """Return KNOWN with the cgroup in which the user's own systemd makes its units."""
    from pyrunc.cgroup import systemd

    return known.replace(manager=systemd.user_cgroup()) if known.cgroups.unified else known


def initial_state(config: Config, known: HostFacts, asked: Request) -> SavedState:
    """Return what is to be remembered before anything is made, so that whatever happens can be undone."""
    filters = config.linux.seccomp
    joins, owns = ondemand.resctrl_groups(config, known, asked.id)
    later = [kind for kind in ("poststart", "poststop") if getattr(config.hooks, kind)]
    return SavedState(
        id=asked.id,
        bundle=asked.bundle,
        rootfs=asked.rootfs,
        created=_now(),
        owner=posix.geteuid(),
        annotations=config.annotations,
        places=cgroups.places(config, known, asked),
        unit=cgroups.unit(config, known, asked).name if asked.systemd else "",
        user_unit=asked.systemd and cgroups.rootless(known, asked),
        joins=tuple(n.type for n in config.linux.namespaces if n.type != "mount" or not asked.own_mounts),
        own_pid_namespace=is_new(config.linux, "pid"),
        hooks=tuple(later),
        resctrl_joins=joins,
        resctrl_owns=owns,
        listener=(filters.listenerPath, filters.listenerMetadata) if filters and seccomp.notifies(filters) else (),
    )


def _now() -> str:
    """Return the time as RFC 3339 wants it, with nanoseconds."""
    seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (*gmtime(seconds)[:6], nanoseconds)


def _context(progress: Progress, *, wait: bool) -> Context:
    """Return the context of the run: its fifos, who takes the terminal, how readiness is written down."""
    working, saved = progress.working, progress.saved
    slots = store.make_fifos(working.directory) if wait else {}
    if saved.listener:
        slots[seccomp.LISTENER] = store.make_listener(working.directory if wait else "")
    log = progress.options.log
    say = log.debug if log.debugging else None
    terminal = progress.options.console or callerio.console_sender(progress.options.console_socket)
    return Context(
        slots,
        for_hooks(saved),
        progress.commit,
        terminal,
        private=(working.fd,),
        debug=say,
        warn=log.warning,
        note=progress.note,
        waits_for=working.waits_for,
    )


def undo(options: CreateOptions, config: Config, progress: Progress, context: Context | None) -> None:
    """End a create that has failed and taken back what it made: run poststop hooks, as runc does once anything was made."""
    for text in context.left if context is not None else ():
        options.log.warning(f"cannot clean up after the failure: {text}")
    if not progress.working.gone():
        store.discard(progress.working.directory)
    progress.working.close()
    if context is not None and context.tokens:
        hooks.poststop(config.hooks, progress.saved, options.log)
