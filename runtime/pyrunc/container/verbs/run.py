"""`run`: create and start in one go, and, in the foreground, stay until it ends."""

from __future__ import annotations

from _signal import SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGCHLD, pthread_sigmask, signal

from pyrunc.container import hooks
from pyrunc.container.verbs import create, delete
from pyrunc.linux import process
from pyrunc.run import executor
from pyrunc.run.interrupt import Heeding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.container.notify import Listener
    from pyrunc.container.options import RunOptions


def run(options: RunOptions) -> int:
    """Run container options.id and return its exit status, or 0 if it is detached.

    128 and more is the number of the signal that ended it.  Raises PyruncError
    if it could not be started; then nothing of it stays.  Otherwise all signals are blocked afterwards.
    """
    if not options.detach:
        signal(SIGCHLD, SIG_DFL)
        if not options.no_subreaper:
            process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    before = pthread_sigmask(SIG_BLOCK, ())
    try:
        made, working = create.prepare(options, wait=False, console="socket" if options.detach else "caller")
        try:
            executor.await_exec(made.plan, made.context)
            if "poststart" in made.saved.hooks:
                hooks.poststart(hooks.kept(made.directory), made.saved, working)
        except BaseException:
            delete.by_force(made.directory, options.log, made.saved)
            if made.context.rootfs is not None:
                made.context.rootfs.unmount()
            raise
        finally:
            working.close()
        create.leave_rootfs(made.context)
        if made.listener is not None:
            _pass_readiness_on(made.listener, made.context.slots["child"], options)
        if options.detach:
            return 0
        from pyrunc.run import supervise

        try:
            return supervise.supervise(made.context.slots["child"], made.context.slots.get("master", -1))
        finally:
            if not options.keep:
                delete.by_force(made.directory, options.log, made.saved)  # and no later one of its id
    except BaseException:
        pthread_sigmask(SIG_SETMASK, before)
        raise


def _pass_readiness_on(listener: Listener, init: int, options: RunOptions) -> None:
    """See to it that the service manager learns when the container, whose process is INIT, is ready; if detached, wait."""
    from pyrunc.container import notify

    listener.watch(init)
    if options.detach:
        with Heeding():
            listener.pass_on(init, options.log)
    else:
        notify.stay_beside(listener, options.log)
