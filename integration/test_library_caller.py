"""What belongs to the program that uses the library stays as it is, and nothing of it gets into a container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.program import Program

if TYPE_CHECKING:
    from integration.harness.bundle import Bundles
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("runc is no library for Python")
EVERY = os.environ.get("PYRUNC_EVERY_CONTAINER") == "1"  # a thousand of them, which take a minute


@pytest.fixture
def program(runtime: Runtime) -> Program:
    return Program(runtime)


def test_nothing_of_the_callers_is_changed(program: Program, bundle: Bundles):
    """Signal handlers and mask, umask, directory, environment, gc, subreaper, fork hooks, its children, its descriptors."""
    program.of(bundle("exit 3"), """
        forks, heard = [], []
        os.register_at_fork(before=lambda: forks.append(1))
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGWINCH):
            signal.signal(number, lambda number, _: heard.append(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2,))
        os.umask(0o027)
        os.chdir("/tmp")
        os.environ["MINE"] = "yes"
        mine = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {})

        def status():
            wanted = ("SigBlk", "SigIgn", "SigCgt", "Umask", "Cap", "NoNew", "Seccomp", "Threads", "Uid", "Gid", "Groups", "Cpus_allowed:")
            return [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(wanted)]

        def all():
            names = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "pid_for_children")
            import ctypes
            reaper = ctypes.c_int()
            ctypes.CDLL(None).prctl(37, ctypes.byref(reaper))
            return (
                [signal.getsignal(number) for number in range(1, 65)], signal.pthread_sigmask(signal.SIG_BLOCK, ()), os.getcwd(),
                dict(os.environ), gc.isenabled(), gc.get_threshold(), sys.flags, reaper.value, signal.getitimer(signal.ITIMER_REAL),
                [os.readlink(f"/proc/self/ns/{name}") for name in names], Path("/proc/self/oom_score_adj").read_text(),
                Path("/proc/self/cgroup").read_text(), os.getpgid(0), os.getsid(0), os.nice(0), threading.active_count(),
                sys.unraisablehook, sys.excepthook, signal.set_wakeup_fd(-1),
            )

        all()  # what it loads itself
        helper()
        before, files, ours = all(), open_fds(), status()
        for _ in range(2):
            with Container.create(bundle, box, root=root) as container:
                container.start()
                container.wait()
        with Container.run(bundle, box, root=root) as container:
            try:
                container.exec(["/no/such"])
            except pyrunc.PyruncError:
                pass
        assert all() == before, "something has changed"
        assert status() == ours
        assert open_fds() == files, (files, open_fds())
        assert not forks
        assert heard.count(signal.SIGTERM) == heard.count(signal.SIGUSR1) == 0
        assert os.waitpid(mine, 0) == (mine, 9 << 8)
        assert children() == []
        try:
            os.wait()
        except ChildProcessError:
            pass
        else:
            raise AssertionError("the library has left a child")
    """)


def test_nothing_of_the_callers_gets_in(program: Program, bundle: Bundles, tmp_path: Path):
    made = bundle("umask; pwd; env; ls /proc/$$/fd; cut -d ' ' -f 6 /proc/$$/stat; grep -E '^Sig(Blk|Ign|Cgt)' /proc/$$/status")
    (tmp_path / "secret").write_text("secret")
    said = program.of(made, """
        os.umask(0o077)
        os.chdir("/tmp")
        os.environ["SECRET"] = "yes"
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR2,))
        kept = os.open(words[0], os.O_RDONLY)
        os.set_inheritable(kept, True)
        with Container.run(bundle, box, root=root, stdin=DEVNULL, stdout=PIPE) as container:
            print(container.stdout.read().decode())
            assert container.wait() == 0
    """, str(tmp_path / "secret"))
    words = said.split()
    assert words[:2] == ["0022", "/"]
    assert "SECRET" not in said
    assert "\n0\n1\n2\n" in said, said
    assert said.split("\n0\n1\n2\n")[1].split()[0] == "1", said  # its session is its own
    masks = [line.split()[1] for line in said.splitlines() if line.startswith("Sig")]
    assert int(masks[0], 16) == 0, said
    assert int(masks[1], 16) & ~(1 << 2) == 0, said  # a shell that is process 1 ignores SIGQUIT itself


def test_what_is_written_and_not_flushed_comes_once(program: Program, bundle: Bundles):
    said = program.of(bundle("echo inside"), """
        sys.stdout.write("before ")
        with Container.run(bundle, box, root=root, stdin=DEVNULL) as container:
            container.wait()
    """)
    assert said == "inside\nbefore "


@pytest.mark.parametrize("how", ["ignored", "reaped"])
def test_a_caller_that_waits_for_everything(program: Program, bundle: Bundles, how: str):
    """It may find the process by which the helper is started, and nothing that a container needs."""
    program.of(bundle("exit 3"), """
        def reap(*_):
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass
        signal.signal(signal.SIGCHLD, signal.SIG_IGN if words[0] == "ignored" else reap)
        for _ in range(3):
            with Container.run(bundle, box, root=root) as container:
                assert container.wait(20) == 3
    """, how)


def test_threads_run_meanwhile_and_a_large_caller_is_not_copied(program: Program, bundle: Bundles):
    """A caller with 1 GiB and threads: nothing of it is forked, so a container's process has nothing of that memory."""
    program.of(bundle(), """
        large = bytearray(1 << 30)
        large[::4096] = b"x" * len(range(0, 1 << 30, 4096))
        going, counts = [True], [0] * 4

        def count(number):
            while going:
                counts[number] += 1
                time.sleep(0.001)

        threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        with Container.run(bundle, box, root=root) as container:
            before = list(counts)
            resident = int(Path(f"/proc/{helper()}/statm").read_text().split()[1]) * 4096
            assert resident < 64 << 20, resident
            with container.exec(["true"]) as process:
                assert process.wait(20) == 0
            wait_for(lambda: all(now > then for now, then in zip(counts, before)), "every thread")
        going.clear()
        for thread in threads:
            thread.join()
    """)


def test_a_forked_caller_has_a_helper_of_its_own(program: Program, bundle: Bundles, runtime: Runtime):
    other = runtime.new_id()
    program.of(bundle(), """
        config = Bundle(bundle).load()
        config["linux"].pop("cgroupsPath")
        with Container.run(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL) as container:
            first = helper()
            child = os.fork()
            if child == 0:
                with Container.run(Bundle(bundle, config), words[0], root=root) as mine:
                    assert helper() != first
                    assert mine.state().status == "running"
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert helper() == first and container.state().status == "running"
    """, other)


def test_a_program_that_gives_up_root_has_no_helper_with_it(program: Program, bundle: Bundles):
    program.of(bundle(), """
        with Container.run(bundle, box, root=root) as container:
            first = helper()
            os.seteuid(1000)
            assert helper() != first
            status = Path(f"/proc/{helper()}/status").read_text().splitlines()
            uids = next(line for line in status if line.startswith("Uid")).split()
            assert uids[2] == "1000", uids
            os.seteuid(0)
            assert helper() == first and container.state().status == "running"
    """)


@pytest.mark.timeout(900)
def test_many_one_after_another_stay_flat(program: Program, bundle: Bundles):
    """Neither descriptors nor memory grow, in the caller or in the helper; PYRUNC_EVERY_CONTAINER=1 makes a thousand."""
    program.of(bundle("exit 3"), """
        def use(pid):
            fds = len(os.listdir(f"/proc/{pid}/fd"))
            return fds, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4

        def life(number):
            with Container.create(bundle, box, root=root, stdin=DEVNULL, stdout=PIPE) as container:
                container.start()
                assert container.stdout.read() == b""
                assert container.wait(30) == 3
            if number % 3 == 0:
                try:
                    Container.create("/nonexistent", box, root=root, stdout=PIPE)
                except pyrunc.ConfigError:
                    pass

        for number in range(20):
            life(number)
        gc.collect()
        ours, its = use(os.getpid()), use(helper())
        for number in range(int(words[0])):
            life(number)
        gc.collect()
        after = use(os.getpid())
        wait_for(lambda: use(helper())[0] <= its[0], "the helper's descriptors to be closed")
        assert after[0] == ours[0], (ours, after)
        assert after[1] - ours[1] < 2048, (ours, after)  # KiB
        assert use(helper())[1] - its[1] < 1024, (its, use(helper()))
        assert Path(f"/proc/{helper()}/task/{helper()}/children").read_text().count(" ") <= 2
        print(ours, after, its, use(helper()))
    """, "1000" if EVERY else "60", timeout=600)


def test_short_of_descriptors_it_says_so_and_leaks_none(program: Program, bundle: Bundles):
    """The caller's limit is the container's too, and the helper's own needs do not count against it."""
    program.of(bundle("ulimit -n; exit 3"), """
        import resource
        config = Bundle(bundle).load()
        config["process"]["rlimits"] = []
        given = Bundle(bundle, config)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        with Container.run(given, box, root=root, stdin=DEVNULL, stdout=PIPE) as container:
            assert (container.stdout.read(), container.wait()) == (b"64\\n", 3)
        before, refused = open_fds(), 0
        for room in range(1, 14):
            filling = []
            while True:
                try:
                    filling.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
            for fd in filling[-room:]:
                os.close(fd)
            try:
                with Container.run(given, box, root=root, stdin=PIPE, stdout=PIPE, stderr=PIPE) as container:
                    container.wait()
            except (OSError, pyrunc.PyruncError) as error:
                assert getattr(error, "errno", 24) in (24, 0) or "too many open files" in str(error), error
                refused += 1
            for fd in filling[:-room]:
                os.close(fd)
            wait_for(lambda: Container.list(root) == [], "the container to be gone")
        assert 0 < refused < 13, refused
        assert open_fds() == before, (before, open_fds())
    """)
