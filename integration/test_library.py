"""The library: what each method does to a real container, seen from the program and by the command line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.harness.program import Program
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.harness.bundle import Bundles
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("runc is no library for Python")


@pytest.fixture
def program(runtime: Runtime) -> Program:
    return Program(runtime)


def test_create_start_wait_delete(program: Program, bundle: Bundles):
    said = program.of(bundle("echo in; exit 3"), """
        container = Container.create(bundle, box, root=root, stdout=PIPE)
        assert container.state().status == "created", container.state()
        assert container.pid == container.state().pid > 0
        assert container.exit_status is None
        container.start()
        with container.stdout as file:
            assert file.read() == b"in\\n"
        assert container.wait(20) == 3 == container.exit_status
        assert container.state().status == "stopped"
        container.delete()
        assert Container.list(root) == []
        assert container.exit_status == container.wait() == 3
    """)
    assert said == ""


def test_a_with_leaves_nothing_and_without_it_stays(program: Program, bundle: Bundles, runtime: Runtime):
    program.of(bundle(), """
        with Container.run(bundle, box, root=root) as container:
            assert container.state().status == "running"
            pid = container.pid
        assert Container.list(root) == []
        assert not os.path.exists(f"/proc/{pid}")
        Container.run(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL)
    """)
    assert runtime.status(runtime.ids[-1]) == "running"


def test_with_does_not_remove_a_later_container_of_the_same_id(program: Program, bundle: Bundles, runtime: Runtime):
    program.of(bundle(), """
        with Container.run(bundle, box, root=root) as container:
            Container.find(box, root).delete(force=True)
            later = Container.run(bundle, box, root=root)
        assert later.state().status == "running"
        later.delete(force=True)
    """)


@pytest.mark.parametrize("kind", ["dict", "rootfs", "directory", "Bundle"])
def test_what_a_bundle_may_be(program: Program, bundle: Bundles, kind: str):
    made = bundle("cat /proc/self/status >/dev/null; echo $WORD; exit 5")
    made.process["env"].append("WORD=of-the-file")
    program.of(made, """
        import json
        from pathlib import Path
        if words[0] == "rootfs":
            given = Bundle.from_rootfs(f"{bundle}/rootfs", ["/bin/sh", "-c", "echo $WORD; exit 5"], env={"WORD": "of-the-caller"})
            expected = b"of-the-caller\\n"
        elif words[0] == "dict":
            config = json.loads(Path(bundle, "config.json").read_text())
            config["process"]["env"].append("WORD=of-the-caller")
            given, expected = Bundle(bundle, config), b"of-the-caller\\n"
            config.clear()
        else:
            given, expected = Bundle(bundle) if words[0] == "Bundle" else Path(bundle), b"of-the-file\\n"
        with Container.run(given, box, root=root, stdout=PIPE) as container:
            assert (container.stdout.read(), container.wait()) == (expected, 5)
        if isinstance(given, Bundle):
            assert given.load()["process"]["args"][0].endswith("sh")
    """, kind)


def test_streams(program: Program, bundle: Bundles, tmp_path: Path):
    log = tmp_path / "log"
    said = program.of(bundle("cat; echo out; echo err >&2"), """
        with Container.run(bundle, box, root=root, stdin=PIPE, stdout=PIPE, stderr=PIPE) as container:
            container.stdin.write(b"typed\\n")
            container.stdin.close()
            assert container.stdout.read() == b"typed\\nout\\n"
            assert container.stderr.read() == b"err\\n"
        with open(words[0], "wb") as file, Container.run(bundle, box, root=root, stdin=DEVNULL, stdout=file, stderr=STDOUT) as it:
            it.wait()
        reading, writing = os.pipe()
        with Container.run(bundle, box, root=root, stdin=DEVNULL, stdout=writing, stderr=DEVNULL) as container:
            os.close(writing)
            assert os.read(reading, 100) == b"out\\n"
            assert os.read(reading, 100) == b""
        os.close(reading)
        with Container.run(bundle, box, root=root) as container:
            container.wait()
    """, str(log))
    assert log.read_text() == "out\nerr\n"
    assert said == "out\n"


def test_closed_streams_of_the_caller_are_dev_null(program: Program, bundle: Bundles, tmp_path: Path):
    program.of(bundle("exec 5>/data/seen; for i in 0 2; do readlink /proc/$$/fd/$i >&5; done"), """
        os.close(0), os.close(1)
        with Container.run(bundle, box, root=root, stderr=DEVNULL) as container:
            assert container.wait() == 0
    """)
    seen = (tmp_path / "bundle1/rootfs/data/seen").read_text().split()
    assert seen == ["/dev/null"] * 2


def test_a_terminal(program: Program, bundle: Bundles):
    made = bundle("tty; stty size; read word; echo got $word")
    made.process["terminal"] = True
    program.of(made, """
        with Container.create(bundle, box, root=root) as container:
            container.terminal.resize(33, 44)
            container.start()
            shown = b""
            while b"33 44" not in shown:
                shown += container.terminal.read()
            assert b"/dev/pts/0" in shown, shown
            container.terminal.write(b"yes\\n")
            while part := container.terminal.read():
                shown += part
            assert b"got yes" in shown, shown
            assert container.wait() == 0
        try:
            Container.create(bundle, box, root=root, stdout=PIPE)
        except pyrunc.UsageError as error:
            assert "terminal" in str(error), error
        else:
            raise AssertionError("a terminal and a pipe")
        assert Container.list(root) == []
    """)


def test_exec(program: Program, bundle: Bundles):
    program.of(bundle(), """
        with Container.run(bundle, box, root=root) as container:
            with container.exec(["sh", "-c", "echo $A; pwd; id -u; cat; exit 7"], env={"A": "b"}, cwd="/tmp", user="user",
                                stdin=PIPE, stdout=PIPE) as process:
                assert process.pid in container.ps()
                process.stdin.write(b"typed")
                process.stdin.close()
                assert process.stdout.read() == b"b\\n/tmp\\n1000\\ntyped"
                assert process.wait() == 7 == process.exit_status
            with container.exec(["tty"], terminal=True) as process:
                assert process.terminal.read() == b"/dev/pts/0\\r\\n"
            with container.exec(["id", "-u"], user=1000, stdout=PIPE) as process:
                assert process.stdout.read() == b"1000\\n"
            with container.exec(process={"args": ["/bin/true"], "cwd": "/"}) as process:
                assert process.wait() == 0
            with container.exec(["sleep", "1000"]) as process:
                pid = process.pid
            assert process.exit_status == -9 and pid not in container.ps()
            process = container.exec(["sleep", "1000"])
            process.kill(signal.SIGTERM)
            assert process.wait(20) == -15
            process.close()
            for arguments in ({}, {"args": ["true"], "process": {}}, {"args": "true"}):
                try:
                    container.exec(**arguments)
                except pyrunc.UsageError:
                    continue
                raise AssertionError(arguments)
            try:
                container.exec(["/no/such"])
            except pyrunc.OpError as error:
                assert error.errno == 2 or "no such file" in str(error), (error, error.errno)
            else:
                raise AssertionError("executed what is not there")
    """)


def test_pause_resume_update_stats_events_kill(program: Program, bundle: Bundles):
    program.of(bundle(), """
        with Container.run(bundle, box, root=root) as container:
            container.pause()
            assert container.state().status == "paused"
            container.resume()
            assert container.state().status == "running"
            container.update({"memory": {"limit": 64 << 20}})
            assert container.stats()["memory"]["usage"]["limit"] == 64 << 20
            assert container.ps() == [container.pid]
            events = container.events(0.01)
            assert [next(events)["type"] for _ in range(3)] == ["stats"] * 3
            events.close()
            rest = container.events(1000)
            threading.Timer(0.1, lambda: container.kill("KILL")).start()
            assert list(rest) == []
            assert container.wait(20) == -9
            for what in (container.pause, container.kill, lambda: list(container.events()), container.stats):
                try:
                    what()
                except pyrunc.StateError:
                    continue
                raise AssertionError(what)
    """)


def test_kill_by_the_signal_that_the_image_names(program: Program, bundle: Bundles):
    made = bundle("trap 'exit 4' USR1; echo ready; while :; do sleep 0.02; done")
    made.config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGUSR1"}
    program.of(made, """
        with Container.run(bundle, box, root=root, stdout=PIPE) as container:
            assert container.stdout.readline() == b"ready\\n"
            container.kill()
            assert container.wait(20) == 4
    """)


def test_the_command_line_sees_it_and_the_reverse(program: Program, bundle: Bundles, runtime: Runtime):
    made = bundle()
    name = runtime.start(made)
    program("""
        (box,) = words
        container = Container.find(box, root)
        assert container.state().status == "running" and [each.id for each in Container.list(root)] == [box]
        assert container.list(root)[0].owner == "root"
        assert container.exec(["true"]).wait() == 0
        try:
            container.wait(0.05)
        except TimeoutError:
            pass
        else:
            raise AssertionError("it has not ended")
        container.kill("TERM")
        container.kill("KILL")
    """, name)
    wait_for(lambda: runtime.status(name) == "stopped", "its end")
    program("Container.find(words[0], root).delete(); assert not Container.list(root)", name)
    program.of(made, "Container.create(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL)")
    other = runtime.ids[-1]
    assert runtime.status(other) == "created"
    runtime("start", other)
    assert [each["id"] for each in json.loads(runtime("list", "--format", "json").stdout)] == [other]
    runtime("delete", "--force", other)


def remembers() -> bool:
    """Whether the kernel tells everybody how a process has ended (Linux 6.15)."""
    return tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)


def test_the_exit_status_of_what_another_program_has_made(program: Program, bundle: Bundles, runtime: Runtime):
    """From Linux 6.15 on it is known; before, that it is not known is said, and nothing is made up."""
    name = runtime.create(bundle("exit 9"))
    program("""
        box, remembers = words
        container = Container.find(box, root)
        threading.Timer(0.1, container.start).start()
        try:
            assert container.wait() == 9 and remembers == "True"
        except pyrunc.StateError as error:
            assert remembers == "False" and "its exit status" in str(error), error
    """, name, str(remembers()))


def test_found_in_the_program_that_has_made_it_its_exit_status_is_known(program: Program, bundle: Bundles):
    program.of(bundle("exit 9"), """
        with Container.create(bundle, box, root=root) as container:
            same = Container.find(box, root)
            container.start()
            assert (same.wait(), container.wait()) == (9, 9)
            same.close()
    """)


def test_errors_are_those_of_the_verbs(program: Program, bundle: Bundles):
    made = bundle()
    made.config["mounts"].append({"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["nosiud"]})
    program.of(made, """
        import copy
        bundle = Bundle(bundle)
        config = bundle.load()
        option = config["mounts"].pop()["options"][0]
        fine = Bundle(bundle.path, config)
        broken = copy.deepcopy(config)
        broken["process"]["args"] = 7
        broken["hostname"] = 8
        absent = copy.deepcopy(config)
        absent["process"]["args"] = ["/no/such"]
        hook = copy.deepcopy(config)
        hook["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}

        def error_of(call, kind):
            before = open_fds()
            try:
                call()
            except kind as error:
                assert type(error) is kind, error
                del call
                return error
            finally:
                assert open_fds() == before or not before, (before, open_fds())
            raise AssertionError(kind)

        Container.list(root)
        helper()
        assert error_of(lambda: Container.create(bundle, box, root=root), pyrunc.OpError).pointer.startswith("/mounts/")
        error = error_of(lambda: Container.create(Bundle(bundle.path, broken), box, root=root), pyrunc.ConfigError)
        assert error.pointer == "/process/args" and "/hostname" in error.others, (error, error.others)
        error_of(lambda: Container.run(Bundle(bundle.path, absent), box, root=root), pyrunc.OpError)
        error_of(lambda: Container.run(Bundle(bundle.path, hook), box, root=root), pyrunc.HookError)
        error_of(lambda: Container.create(fine, "a/b", root=root), pyrunc.UsageError)
        error_of(lambda: Container.create(7), pyrunc.UsageError)
        error_of(lambda: Container.create(fine, box, root=root, stdin=999), pyrunc.UsageError)
        error_of(lambda: Bundle("/x", {"a": object()}), pyrunc.UsageError)
        error_of(lambda: Container.find("nosuch", root), pyrunc.StateError)
        with Container.create(fine, box, root=root):
            error_of(lambda: Container.create(fine, box, root=root), pyrunc.StateError)
        assert Container.list(root) == []
    """)


def test_plan_check_features(program: Program, bundle: Bundles):
    made = bundle()
    program.of(made, """
        plan = pyrunc.plan(bundle)
        assert plan.child[-1].call == "exec_program" and plan == Bundle(bundle).plan()
        assert pyrunc.check(bundle).status == 0, pyrunc.check(bundle)
        config = Bundle(bundle).load()
        del config["process"]["cwd"]
        report = Bundle(bundle, config).check()
        assert [each.pointer for each in report.violations] == ["/process/cwd"], report
        assert pyrunc.features()["linux"]["cgroup"]["v2"] is True
        import pyrunc.plan.build
        assert pyrunc.plan(bundle) == plan
        assert not os.path.exists(root) or not os.listdir(root)
    """)


def test_a_large_configuration_and_a_large_answer(program: Program, bundle: Bundles):
    program.of(bundle("exit 0"), """
        config = Bundle(bundle).load()
        config["annotations"] = {f"key{number}": "x" * 1000 for number in range(500)}
        with Container.run(Bundle(bundle, config), box, root=root) as container:
            assert container.wait() == 0
            assert container.state().annotations == config["annotations"]
        config["process"]["args"] = [f"/{'x' * 100}"] * 1000 + [7]
        try:
            Container.run(Bundle(bundle, config), box, root=root)
        except pyrunc.ConfigError as error:
            assert error.pointer == "/process/args/1000"
    """)


def test_warnings_go_to_the_logger(program: Program, bundle: Bundles):
    made = bundle("exit 0")
    for kind in ("bounding", "effective", "permitted"):
        made.process["capabilities"][kind] = ["CAP_NO_SUCH"]
    program.of(made, """
        import logging
        heard = []
        logging.getLogger("pyrunc").addHandler(type("H", (logging.Handler,), {"emit": lambda self, r: heard.append(r.getMessage())})())
        with Container.run(bundle, box, root=root) as container:
            container.wait()
        assert any("CAP_NO_SUCH" in text for text in heard), heard
    """)


def test_a_new_seccomp_profile_and_what_the_native_program_lacks(program: Program, bundle: Bundles):
    made = bundle("mkdir /tmp/x && exit 1; exit 6")
    made.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }
    program.of(made, """
        with Container.run(bundle, box, root=root, stderr=DEVNULL) as container:
            assert container.wait() == 6
    """)


def test_many_at_once_from_threads(program: Program, bundle: Bundles, runtime: Runtime):
    """One that waits for a slow hook keeps nobody waiting."""
    names = [runtime.new_id() for _ in range(12)]
    made = bundle("exit 3")
    program.of(made, """
        from concurrent.futures import ThreadPoolExecutor
        config = Bundle(bundle).load()
        config["linux"].pop("cgroupsPath")
        slow = Bundle(bundle, {**config, "hooks": {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}})
        quick = Bundle(bundle, config)
        hanging = threading.Thread(target=lambda: Container.run(slow, box, root=root), daemon=True)
        hanging.start()
        wait_for(lambda: Container.list(root), "the slow one")

        def life(name):
            with Container.run(quick, name, root=root) as container:
                return container.wait(60)

        with ThreadPoolExecutor(6) as pool:
            assert list(pool.map(life, words)) == [3] * len(words)
        os._exit(0)
    """, *names)
    wait_for(lambda: not json.loads(runtime("list", "--format", "json").stdout or "null"), "its end")


def test_a_stopped_caller_does_not_stop_others(program: Program, bundle: Bundles, runtime: Runtime):
    made = bundle()
    caller = program.popen(made, "Container.run(bundle, box, root=root); print('made', flush=True); signal.pause()")
    try:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "made\n"
        caller.send_signal(signal.SIGSTOP)
        runtime("kill", runtime.ids[-1], "KILL")
        wait_for(lambda: runtime.status(runtime.ids[-1]) == "stopped", "its end")
        runtime("delete", runtime.ids[-1])
    finally:
        caller.kill()
        caller.wait()
        for stream in (caller.stdin, caller.stdout, caller.stderr):
            assert stream is not None
            stream.close()
