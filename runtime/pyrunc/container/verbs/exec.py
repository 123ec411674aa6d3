"""`exec`: one more process in a running container, and which of its cgroups it joins."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGCHLD, pthread_sigmask, signal, valid_signals

from pyrunc import handover
from pyrunc.container import callerio, initroot, store, tracers
from pyrunc.container.bundle import read_document
from pyrunc.container.hooks import for_hooks
from pyrunc.container.options import common_request
from pyrunc.container.statefile import SavedState, load
from pyrunc.container.status import PAUSED, alive, guard, refuse_frozen, runs_still, status_of
from pyrunc.errors import ConfigError, OpError, StateError, UsageError
from pyrunc.host import facts
from pyrunc.host.files import read
from pyrunc.linux import process
from pyrunc.linux.populate import populate
from pyrunc.oci import check, crun, parsing
from pyrunc.oci.process import Capabilities, Process
from pyrunc.plan import build, cgroups, ondemand, seccomp
from pyrunc.plan.op import INIT_ROOT
from pyrunc.plan.process import grantable, warnings
from pyrunc.run import executor
from pyrunc.run.context import Context
from pyrunc.run.steps import users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.cgroup.paths import Place
    from pyrunc.container.options import ExecOptions
    from pyrunc.plan.op import Plan


STOPPED = "cannot exec in a stopped container: container not running"


def exec_(options: ExecOptions) -> int:
    """Run a process in container options.id; return its exit status, or 0 if it is detached.

    Raises StateError unless the container is running (or created), and what
    create raises for its process.  Otherwise all signals are blocked afterwards.
    """
    directory = store.directory(options.root, options.id)
    saved = load(directory)
    status = status_of(directory, saved)
    if not (status == PAUSED and options.ignore_paused):
        guard("exec", saved, status)
    slots = {"init": posix.pidfd_open(saved.pid), INIT_ROOT: initroot.open_root(saved.pid)}
    if not alive(saved) or (slots[INIT_ROOT] == initroot.UNSEEN and "mount" not in saved.joins):
        raise StateError(STOPPED)
    populate()
    config = parsing.parse(_read(f"{directory}/{store.CONFIG}"))
    if saved.user_unit:
        handover.need_script()  # its library talks to systemd
    added = _process(options, config.process, slots[INIT_ROOT])
    known = facts.probe()
    for warning in warnings(added, grantable(known, saved.joins), ""):
        options.log.warning(warning)
    if options.console is None:
        callerio.check_console(terminal=added.terminal, socket=options.console_socket, detached=options.detach)
    callerio.check_preserved(options.listen_fds, options.preserve_fds)
    asked = common_request(options, saved.bundle).replace(
        traced=tracers.may_trace(directory, config, added),
        keep_groups=crun.truth(config.annotations, crun.KEEP_GROUPS),
    )
    if ondemand.traced(saved.joins, known, asked):
        tracers.seal_program()
    if seccomp.notifies(config.linux.seccomp):
        slots[seccomp.LISTENER] = store.make_listener("")
    try:
        places, groups = _places(saved, options.cgroup), saved.resctrl_joins
    except OSError:
        if alive(saved):
            raise
        raise StateError(STOPPED) from None  # its cgroups have been removed since we looked
    if not options.ignore_paused:
        refuse_frozen("exec", places)
    unit = saved.unit if saved.user_unit and not options.cgroup else ""
    plan = build.build_exec(added, saved.joins, places, config.linux, known, asked, groups, unit)
    if options.log.debugging:
        from pyrunc.container import findings

        findings.machine(options.log, known)
        findings.planned(options.log, plan)
    tracers.note(directory, config, added)
    return _carry_out(options, saved, plan, slots)


def _carry_out(options: ExecOptions, saved: SavedState, plan: Plan, slots: dict[str, int]) -> int:
    """Run PLAN in the container whose init is behind pidfd SLOTS["init"]."""
    enters = any(op.call == "setns" for op in plan.host)
    if not options.detach:
        signal(SIGCHLD, SIG_DFL)
    # Signals wait, unless the executor heeds them: they belong to the process once it runs.
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    own = posix.pidfd_open(posix.getpid())
    try:
        return _stay(options, saved, plan, slots)
    except BaseException:
        pthread_sigmask(SIG_SETMASK, before)
        raise
    finally:
        if enters:  # the plan has aimed our children at the container's pid namespace
            process.setns(own, process.CLONE_NEWPID)  # never refused: it is our own
        posix.close(own)
        posix.close(slots["init"])


def _stay(options: ExecOptions, saved: SavedState, plan: Plan, slots: dict[str, int]) -> int:
    """Carry PLAN out, and stay until its process ends, unless that is to be detached; return its status."""
    state = {**for_hooks(saved), "status": "running", "pid": saved.pid}
    sender = options.console or callerio.console_sender(options.console_socket)
    say = options.log.debug if options.log.debugging else None
    context = Context(slots, state, _committer(options), sender, debug=say, warn=options.log.warning, root_mount=saved.root_mount)
    try:
        executor.run(plan, context)
        executor.await_exec(plan, context)
    except OpError as error:
        if not runs_still(saved, slots["init"], error.errno):
            raise StateError(STOPPED) from error
        if options.cgroup and error.pointer == cgroups.AT:
            error.pointer, error.hint = "--cgroup", error.hint or "make the cgroup first"
        raise
    if options.detach:
        return 0
    from pyrunc.run import supervise

    return supervise.supervise(context.slots["child"], context.slots.get("master", -1))


def _committer(options: ExecOptions) -> Callable[[int], None]:
    """Return what to do once the process is ready: write its pid, send its pidfd."""

    def commit(pid: int) -> None:
        """Tell the caller about process PID."""
        if options.pid_file:
            callerio.write_pid_file(options.pid_file, pid)
        if options.pidfd_socket:
            callerio.send_pidfd(options.pidfd_socket, pid, b"setns")
        if options.told is not None:
            options.told(pid)

    return commit


def _read(path: str) -> bytes:
    """Return the contents of PATH.  Raises ConfigError if it cannot be read."""
    try:
        return read_document(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read the process: open {path}: {(error.strerror or '').lower()}",
            hint="name a file with a process document, as /process of config.json is one",
        ) from None


def _process(options: ExecOptions, base: Process | None, root: int) -> Process:
    """Return the process to add: the given document, or the container's own, whose root is behind ROOT, with changes."""
    if options.document is not None:
        return parsing.parse_process(options.document, "the process")
    if options.process:
        return parsing.parse_process(_read(options.process), options.process)
    if base is None:
        raise ConfigError("the container's config has no process", pointer="/process", hint="use --process")
    if not options.args:
        raise UsageError("no command to run", hint="name it after the container's id, or use --process")
    user = base.user
    if options.user is not None:
        uid, gid = _user(options.user, base, root)
        user = user.replace(uid=uid, gid=gid)
    if options.additional_gids:
        user = user.replace(additionalGids=(*user.additionalGids, *options.additional_gids))
    changed = base.replace(
        args=options.args,
        env=(*base.env, *options.env),
        terminal=options.tty,
        consoleSize=None,
        user=user,
        capabilities=_capabilities(base.capabilities, options.caps),
        cwd=options.cwd or base.cwd,
        noNewPrivileges=base.noNewPrivileges or options.no_new_privs,
        apparmorProfile=options.apparmor or base.apparmorProfile,
        selinuxLabel=options.process_label or base.selinuxLabel,
    )
    if changed.cwd[:1] != "/":
        raise UsageError(f"--cwd {changed.cwd}: not an absolute path", hint="it is a path inside the container")
    check.process(changed, "")
    return changed


def _capabilities(base: Capabilities | None, added: tuple[str, ...]) -> Capabilities | None:
    """Return BASE with the capabilities ADDED, other than to the inheritable set (CVE-2022-29162).

    What is inheritable already becomes ambient too: so who is not root has it after the execve.
    """
    if not added:
        return base
    sets = base or Capabilities()
    return sets.replace(
        bounding=(*sets.bounding, *added),
        effective=(*sets.effective, *added),
        permitted=(*sets.permitted, *added),
        ambient=(*sets.ambient, *(name for name in added if name in sets.inheritable)),
    )


def _user(text: str, base: Process, root: int) -> tuple[int, int]:
    """Return the ids of --user TEXT; names are those of the files below ROOT."""
    passwd, group = (users.read_table(root, f"etc/{name}") for name in ("passwd", "group"))
    return users.resolve(text, base.user.uid, base.user.gid, passwd, group)


def _present(place: Place, init: int) -> Place:
    """Return PLACE, or, where that has handed its controllers down or is gone, the cgroup that process INIT has gone to.

    A cgroup of version 2 cannot have both controllers below and processes (cgroups(7), "no internal processes"):
    a systemd inside moves itself below at once.  One that is gone has been removed by whoever has moved the init away.
    """
    if not place.is_v2:
        return place
    gone = False
    try:
        if not read(f"{place.directory}/cgroup.subtree_control").strip():
            return place
    except FileNotFoundError:
        gone = True
    for line in read(f"/proc/{init}/cgroup").splitlines():
        number, _, path = line.split(":", 2)
        directory = f"{place.mount}{path}"
        if number == "0" and ".." not in path and (gone or directory.startswith(f"{place.directory}/")):
            return place.replace(directory=directory)
    return place


def _places(saved: SavedState, asked: tuple[str, ...]) -> tuple[Place, ...]:
    """Return the container's cgroups, or for what is ASKED (`[CONTROLLERS:]PATH`) cgroups below them."""
    if not asked:
        return tuple(_present(place, saved.pid) for place in saved.places)
    wanted = _wanted(asked)
    known = {controller for place in saved.places for controller in place.controllers}
    for controller in wanted:
        if controller and controller not in known:
            hint = "a path alone, on version 2" if known == {""} else f"one of {', '.join(sorted(filter(None, known)))}"
            raise UsageError(f"unknown controller {controller} in --cgroup", hint=hint)
    found = tuple(_below(place, wanted) for place in saved.places)
    if tuple(wanted) != ("",) or len(found) == 1:
        return found
    # A path alone, where each controller has a tree of its own: the others stay where the container is, and not where we are.
    there = {place.directory for place in found if posix.access(place.directory, posix.F_OK)}
    return tuple(low if low.directory in there or not there else top for low, top in zip(found, saved.places, strict=True))


def _wanted(asked: tuple[str, ...]) -> dict[str, str]:
    """Return the paths ASKED for by controller; "" stands for all of them."""
    wanted: dict[str, str] = {}
    for word in asked:
        names, colon, path = word.rpartition(":")
        if not colon and len(asked) > 1:
            raise UsageError(
                f"invalid --cgroup argument: {word} (missing <controller>: prefix)", hint="such as cpu:group, or :group for all"
            )
        for name in names.split(","):
            if colon and not name:
                raise UsageError(
                    f"invalid --cgroup argument: {word} (empty <controller> prefix)",
                    hint="such as cpu:group, or group alone for all",
                )
            if name in wanted:
                raise UsageError(
                    f"invalid --cgroup argument(s): controller {name} specified multiple times", hint="name each controller once"
                )
            wanted[name] = path
        if {"..", "."} & set(path.split("/")):
            raise UsageError(f"bad sub cgroup path: {path}", hint="--cgroup names a cgroup below the container's own")
    return wanted


def _below(place: Place, wanted: dict[str, str]) -> Place:
    """Return PLACE, or the cgroup below it that is WANTED for one of its controllers."""
    path = next((wanted[name] for name in ("", *place.controllers) if name in wanted), "")
    return place.replace(directory="/".join((place.directory, *filter(None, path.split("/")))))
