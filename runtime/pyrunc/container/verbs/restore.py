"""`restore`: bring a container back from what checkpoint has written, by CRIU, as our child."""

from __future__ import annotations

import posix
from _signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGCHLD, SIGKILL, pthread_sigmask, signal, valid_signals

from pyrunc.cgroup import fs
from pyrunc.container import callerio, store
from pyrunc.container.bundle import check_rootfs, read_bundle
from pyrunc.container.hooks import for_hooks
from pyrunc.container.options import RunOptions
from pyrunc.container.progress import Progress
from pyrunc.container.statefile import save, write_file
from pyrunc.container.verbs import create, delete
from pyrunc.criu import externals, messages, options, procfs, report, streams, verify
from pyrunc.criu.inherited import Inherited
from pyrunc.criu.options import CriuOptions
from pyrunc.criu.protect import protect
from pyrunc.criu.restoremounts import RestoreMounts
from pyrunc.criu.worker import Worker
from pyrunc.errors import ConfigError, OpError
from pyrunc.host import facts, mounted
from pyrunc.linux import loopback, process
from pyrunc.oci import parsing
from pyrunc.plan import cgroups, hooks, masks, ondemand
from pyrunc.plan.namespaces import is_new
from pyrunc.plan.op import Plan
from pyrunc.plan.paths import cleaned
from pyrunc.run import executor, newprocess
from pyrunc.run.calls import load, perform
from pyrunc.run.context import Context
from pyrunc.run.interrupt import Heeding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyrunc.criu.externals import External
    from pyrunc.plan.op import Op

LOG = "restore.log"
UNMINDED = ("network-unlock", "pre-resume", "post-resume")  # the steps at which CRIU goes on whatever it is answered


class RestoreOptions(RunOptions):
    """How to bring container `id` back; `criu` says what CRIU is told, the rest is as for run."""

    criu: CriuOptions = CriuOptions()
    lsm_profile: str = ""
    lsm_mount_context: str = ""


def restore(asked: RestoreOptions) -> int:
    """Restore container asked.id and return its exit status, or 0 if it is detached.

    Raises PyruncError if that fails; then nothing of it stays.  Otherwise all signals are blocked afterwards.
    """
    if not asked.detach:
        signal(SIGCHLD, SIG_DFL)
        if not asked.no_subreaper:
            process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    restoring = _Restoring(asked)
    # From here on signals wait, unless it is CRIU that we wait for: they belong to the container once it runs.
    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        pid, master = restoring.run()
        if asked.detach:
            return 0
        from pyrunc.run import supervise

        status = supervise.supervise(pid, master)
        if not asked.keep:
            delete.by_force(restoring.directory, asked.log, restoring.progress.saved)  # and no later one of its id
        return status
    except BaseException:
        pthread_sigmask(SIG_SETMASK, before)
        raise


class _Restoring:
    """One restore, with all that its steps need of each other."""

    def __init__(self, asked: RestoreOptions) -> None:
        """Read and check whatever can be checked before anything is made."""
        self.asked = asked
        store.check_id(asked.id)
        bundle, self.text = read_bundle(asked.bundle)
        self.config = parsing.parse(self.text)
        user = self.config.process
        if user is None:
            raise ConfigError("process is missing", pointer="/process", hint="say what it was that ran")
        callerio.check_console(terminal=user.terminal, socket=asked.console_socket, detached=asked.detach)
        externals.refuse(self.config)
        self.request = create.request(asked, bundle, self.config, wait=False)
        self.config = cleaned(self.config, self.request.rootfs)
        check_rootfs(self.request.rootfs)
        self.facts = asked.facts or facts.probe()
        self.saved = create.initial_state(self.config, self.facts, self.request)
        self.told = options.common(asked.criu, self.config.annotations)
        self.directory = ""
        self.host = {row.device for row in mounted.rows()}
        self.context = Context({}, for_hooks(self.saved), terminal=callerio.console_sender(asked.console_socket))
        self.progress: Progress
        self.shown: tuple[verify.Shown, ...] = ()
        self.inherited = Inherited()

    def run(self) -> tuple[int, int]:
        """Do it; return the pid of the init and the master of its terminal (-1: none, or handed over)."""
        opened: list[int] = []
        try:
            opened.append(options.open_directory(options.images(self.asked.criu), "--image-path", make=False))
            names = streams.read(opened[0], options.images(self.asked.criu))
            if self.asked.criu.work:
                opened.append(options.open_directory(options.logs(self.asked.criu), "--work-path", make=True))
            self.inherited.streams(streams.inherited(names))
            store.refuse_taken(self.asked.root, self.asked.id)
            self.saved = self.saved.replace(found=create.there(self.saved))
            self.inherited.namespaces(self.config.linux.namespaces)
            working = store.reserve(self.asked.root, self.asked.id, "restore")
            self.directory = working.directory
            self.progress = Progress(working, self.saved, self.asked)
            self.context.note, self.context.waits_for = self.progress.note, working.waits_for
            try:
                write_file(f"{self.directory}/{store.CONFIG}", self.text)
                save(self.directory, self.saved)
                with Heeding():
                    self._work(tuple(opened))
            except BaseException:
                _end_children()
                executor.undo_all(self.context)
                self._close()
                create.undo(self.asked, self.config, self.progress, self.context)
                raise
            self._close()
            working.close()
        finally:
            self.inherited.close()
            for fd in opened:
                posix.close(fd)
        return self.context.slots["child"], self.context.slots.get("master", -1)

    def _close(self) -> None:
        """Let go of what kept others from our groups, and of the init."""
        while self.context.claims:
            posix.close(self.context.claims.pop())
        newprocess.let_go(self.context)

    def _work(self, directories: tuple[int, ...]) -> None:
        """Let CRIU bring the processes back from DIRECTORIES (of the image, and maybe of logs)."""
        found = [*externals.mounts(self.config, self.facts, self.request.bundle, self.saved.places)]
        found.append(externals.NULL_MASK)
        root_mounts = RestoreMounts(self.directory, self.request.rootfs, tuple(found), self.config.mounts)
        worker = Worker(
            self.asked.criu.program, tuple(self.inherited.fds), process.CLONE_NEWNS, self._place, self._prepared(root_mounts)
        )
        try:
            self.progress.working.waits_for(worker.pid)
            worker.version()
            self._look(found)
            inside = [procfs.open_as_seen_by(worker.pid, fd) for fd in directories]
            request = {
                **self.told,
                **self.inherited.told,
                "images_dir_fd": inside[0],
                "work_dir_fd": inside[-1],
                "log_file": LOG,
                "root": root_mounts.root,
                "rst_sibling": True,
                "evasive_devices": True,
                "cg_root": procfs.cgroup_roots(worker.pid),
                "ext_mnt": [{"key": each.key, "val": _real(each)} for each in found],
                "lsm_profile": self.asked.lsm_profile or None,
                "lsm_mount_context": self.asked.lsm_mount_context or None,
            }
            answer = worker.ask(messages.RESTORE, request, notify=lambda *told: self._notified(worker.pid, *told))
        except BaseException:
            worker.end(at_once=True)
            raise
        for fd in inside:
            posix.close(fd)
        if worker.end() or not answer.get("success") or not self.saved.pid:
            raise report.failed("restore the container", f"{options.logs(self.asked.criu)}/{LOG}", answer)
        if self.asked.pid_file:
            write_file(self.asked.pid_file, str(self.context.slots["child"]).encode())

    def _prepared(self, root_mounts: RestoreMounts) -> Callable[[], None]:
        """Return what the process that is to be CRIU does first: set the STAGE up.

        no_new_privs is inherited: CRIU before 3.19 does not bring it back, and an image could say otherwise.
        """
        user = self.config.process

        def prepare() -> None:
            """Do it."""
            root_mounts.build()
            if user is not None and user.noNewPrivileges:
                process.prctl(process.PR_SET_NO_NEW_PRIVS, 1)

        return prepare

    def _place(self, pid: int) -> None:
        """Move process PID, which is to be CRIU, and so all that it brings back, into the container's own groups."""
        self.context.slots["child"] = pid
        known, request = self.facts, self.request
        self._perform(cgroups.adopt(self.config, known, request))
        made = ondemand.make_resctrl(self.config.linux, known, request.id)
        self._perform([*made, *ondemand.join_resctrl(self.saved.resctrl_joins)])

    def _notified(self, criu: int, step: str, pid: int, fd: int) -> None:
        """Do our part of STEP, of process CRIU, for init PID, with the descriptor FD that came along."""
        try:
            self._take_part(criu, step, pid, fd)
        except BaseException:
            if step in UNMINDED:  # it would let them run, unchecked.  It is among them itself.
                fs.signal_all(self.saved.places, SIGKILL)
            raise

    def _take_part(self, criu: int, step: str, pid: int, fd: int) -> None:
        """Do what `_notified` says."""
        if step == "orphan-pts-master" and fd >= 0:
            self.context.slots["master"] = fd
            self.context.terminal(fd)
            if self.asked.console_socket:
                del self.context.slots["master"]  # handed over, and closed
        elif fd >= 0:
            posix.close(fd)
        elif step == "setup-namespaces":
            newprocess.follow(self.context, pid)
            if is_new(self.config.linux, "network"):
                _bring_loopback_up(pid)
            self._perform([*hooks.outputs(self.config), *hooks.runtime(self.config.hooks, self.saved.bundle)])
        elif step == "pre-resume":
            self._commit(criu, self.context.slots["child"])

    def _commit(self, criu: int, pid: int) -> None:
        """Check what process CRIU has brought back as PID, and remember it; from here on the container is `running`."""
        pids = [each for each in fs.pids(fs.main_directory(self.saved.places)) if not procfs.descends(each, criu)]
        for each, lacking in verify.check(self.config, pid, pids, self.shown, self.host):
            protect(each, lacking)
        self.context.slots["child"] = pid
        joins = self.saved.joins
        if "time" not in joins and posix.readlink(f"/proc/{pid}/ns/time") != posix.readlink("/proc/self/ns/time"):
            joins = (*joins, "time")  # CRIU makes one, so that clocks go on where they were
        self.progress.keep(pid, joins=joins)
        self.saved = self.progress.saved

    def _look(self, found: list[External]) -> None:
        """Note what of the host's files the container may see: its root, and the external mounts FOUND."""
        root = self.config.root
        readonly = (root is not None and root.readonly) or masks.protects_root(self.config)
        paths = {self.request.rootfs: verify.ATTRIBUTES["ro"] if readonly else 0}
        paths |= {f"{self.request.rootfs.rstrip('/')}{path}": 0 for path in mounted.below(self.request.rootfs)}
        self.shown = tuple(
            verify.Shown(*mounted.shown(path), attributes)
            for path, attributes in (*paths.items(), *((each.source, each.attributes) for each in found))
        )

    def _perform(self, ops: list[Op]) -> None:
        """Do OPS of the host's, and tell the whole story of one that fails."""
        plan = Plan(host=tuple(ops), child=())
        load(plan)
        for op in ops:
            try:
                perform(op, self.context)
            except (OSError, OpError) as error:
                if isinstance(error, OpError) and error.pointer:
                    raise
                from pyrunc.run.failure import describe

                text = str(error) if isinstance(error, OpError) else ""
                raise describe(plan, op, error.errno or 0, text, child=False) from error


def _real(external: External) -> str:
    """Return where the source of EXTERNAL is.  Raises ConfigError if it is nowhere."""
    try:
        return mounted.real(external.source)
    except OSError as error:
        text = f"{external.source}: {(error.strerror or '').lower()}"
        raise ConfigError(text, pointer=external.at, hint="the source does not exist on the host") from None


def _bring_loopback_up(pid: int) -> None:
    """Bring loopback up in the network namespace of process PID: it comes back new, and CRIU leaves it as it is."""
    own = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    other = posix.open(f"/proc/{pid}/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        process.setns(other, process.CLONE_NEWNET)
        try:
            loopback.bring_up("lo")
        finally:
            process.setns(own, process.CLONE_NEWNET)
    finally:
        posix.close(own)
        posix.close(other)


def _end_children() -> None:
    """Wait for the children that have ended: what CRIU has brought back, and killed again."""
    while True:
        try:
            if posix.waitpid(-1, posix.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return
