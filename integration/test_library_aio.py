"""The library for asyncio, and what becomes of a call that is cancelled at any moment."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration.harness.program import Program
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.harness.bundle import Bundles
    from integration.harness.runtime import Runtime

pytestmark = pytest.mark.pyrunc_only("runc is no library for Python")
MOMENTS = 60


@pytest.fixture
def program(runtime: Runtime) -> Program:
    return Program(runtime)


def test_the_same_as_without(program: Program, bundle: Bundles):
    program.of(bundle("cat; exit 3"), """
        async def main():
            before = open_fds() if helper() else []
            async with await aio.Container.create(bundle, box, root=root, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as container:
                assert container.state().status == "created"
                await container.start()
                async with await container.exec(["sh", "-c", "cat; exit 4"], stderr=DEVNULL, stdin=PIPE, stdout=PIPE) as process:
                    process.stdin.write(b"in")
                    process.stdin.close()
                    assert (await process.stdout.read(), await process.wait()) == (b"in", 4)
                await container.pause()
                assert container.state().status == "paused"
                await container.resume()
                await container.update({"memory": {"limit": 64 << 20}})
                assert container.stats()["memory"]["usage"]["limit"] == 64 << 20
                assert container.pid in container.ps()
                found = await aio.Container.find(box, root)
                waiting = [asyncio.create_task(each.wait()) for each in (container, container, found)]
                try:
                    async with asyncio.timeout(0.05):
                        await container.wait()
                except TimeoutError:
                    pass
                async for event in container.events(0.01):
                    assert event["type"] == "stats"
                    break
                container.stdin.write(b"typed")
                container.stdin.close()
                assert await container.stdout.read() == b"typed"
                assert await asyncio.gather(*waiting) == [3, 3, 3]
                found.close()
            assert aio.Container.list(root) == []
            await asyncio.sleep(0.01)
            assert open_fds() == before, (before, open_fds())

        asyncio.run(main())
        assert threading.active_count() == 1
    """)


def test_a_terminal_in_the_loop(program: Program, bundle: Bundles):
    made = bundle("read word; echo got $word")
    made.process["terminal"] = True
    program.of(made, """
        async def main():
            async with await aio.Container.run(bundle, box, root=root) as container:
                container.terminal.write(b"yes\\n")
                assert await container.wait() == 0
                shown = b""
                while part := container.terminal.read():
                    shown += part
                assert b"got yes" in shown

        asyncio.run(main())
    """)


def test_many_without_a_thread(program: Program, bundle: Bundles, runtime: Runtime):
    names = [runtime.new_id() for _ in range(30)]
    program.of(bundle("exit 3"), """
        config = Bundle(bundle).load()
        config["linux"].pop("cgroupsPath")
        quick = Bundle(bundle, config)

        async def life(name):
            async with await aio.Container.run(quick, name, root=root) as container:
                assert threading.active_count() == 1
                return await container.wait()

        async def main():
            return await asyncio.gather(*(life(name) for name in words))

        assert asyncio.run(main()) == [3] * len(words)
    """, *names)


@pytest.mark.parametrize("what", ["create", "run", "exec", "start", "block", "delete"])
def test_cancelled_at_any_moment(program: Program, bundle: Bundles, what: str):
    """Nothing half made is there when CancelledError comes out; what was there before still is, or is whole."""
    program.of(bundle(), """
        from random import Random
        what, moments = words[0], int(words[1])
        draw = Random(f"{os.getpid()}")

        async def cancel_within(coroutine, seconds):
            task = asyncio.create_task(coroutine)
            await asyncio.sleep(draw.random() * seconds)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                return None

        async def block():
            async with await aio.Container.run(bundle, box, root=root) as container:
                await container.wait()

        async def one():
            if what in ("create", "run"):
                made = await cancel_within(getattr(aio.Container, what)(bundle, box, root=root), 0.03)
                assert bool(made) == bool(aio.Container.list(root)), (made, aio.Container.list(root))
                if made:
                    await made.delete(force=True)
            elif what == "block":
                await cancel_within(block(), 0.05)
            else:
                async with await aio.Container.create(bundle, box, root=root) as container:
                    if what == "exec":
                        process = await cancel_within(container.exec(["sleep", "1000"]), 0.02)
                        if process is None:
                            wait_for(lambda: len(container.ps()) == 1, "the end of a process that was given up")
                        else:
                            process.kill()
                            await process.wait()
                            process.close()
                    elif what == "start":
                        await cancel_within(container.start(), 0.005)
                        assert container.state().status in ("created", "running", "stopped"), container.state()
                    else:
                        await cancel_within(container.delete(), 0.01)
            assert aio.Container.list(root) == [], aio.Container.list(root)

        async def main():
            helper()
            await one()
            await asyncio.sleep(0.01)
            before = open_fds()
            for _ in range(moments):
                await one()
            await asyncio.sleep(0.01)
            assert open_fds() == before, (before, open_fds())

        asyncio.run(main())
    """, what, str(MOMENTS))


def test_a_hook_that_hangs_is_cancelled(program: Program, bundle: Bundles):
    made = bundle()
    made.config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}
    program.of(made, """
        async def main():
            try:
                async with asyncio.timeout(0.3):
                    await aio.Container.create(bundle, box, root=root)
            except TimeoutError:
                assert aio.Container.list(root) == []
            else:
                raise AssertionError("it came about")

        asyncio.run(main())
    """)


def test_interrupted_without_a_loop(program: Program, bundle: Bundles):
    """What a signal handler raises gives the call up, as ^C does."""
    made = bundle()
    made.config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}
    program.of(made, """
        helper()
        before = open_fds()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            Container.create(bundle, box, root=root)
        except KeyboardInterrupt:
            assert Container.list(root) == []
        assert open_fds() == before
    """)


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGTERM", "exit", "exception"])
def test_a_program_that_ends_in_a_with_leaves_nothing(program: Program, bundle: Bundles, runtime: Runtime, kind: str):
    caller = program.popen(bundle(), """
        async def main():
            async with await aio.Container.run(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL) as container:
                print(helper(), flush=True)
                if words[0] == "exit":
                    os._exit(3)
                if words[0] == "exception":
                    raise RuntimeError("on purpose")
                await asyncio.sleep(1000)

        asyncio.run(main())
    """, kind)
    assert caller.stdout is not None
    helper = int(caller.stdout.readline())
    if kind.startswith("SIG"):
        caller.kill() if kind == "SIGKILL" else caller.terminate()
    caller.communicate(timeout=60)
    wait_for(lambda: not list(runtime.root.iterdir()), "the container to be removed")
    wait_for(lambda: not runs(helper), "the helper to end")


@pytest.mark.parametrize("moment", range(12))
def test_a_caller_killed_at_any_moment_leaves_what_can_be_deleted(program: Program, bundle: Bundles, runtime: Runtime, moment: int):
    """Without `with` a container stays, whole, or there is none."""
    caller = program.popen(bundle(), """
        helper()
        print("now", flush=True)
        Container.run(bundle, box, root=root, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        signal.pause()
    """)
    assert caller.stdout is not None
    caller.stdout.readline()
    try:
        caller.wait(timeout=moment * 0.004)
    except subprocess.TimeoutExpired:
        caller.kill()
    caller.communicate(timeout=60)
    wait_for(lambda: all(is_whole(runtime, each.name) for each in runtime.root.iterdir()), "nothing half made")
    for each in list(runtime.root.iterdir()):
        runtime("delete", "--force", each.name)


def is_whole(runtime: Runtime, name: str) -> bool:
    """Whether container NAME runs."""
    done = runtime("state", name, check=False)
    return done.returncode == 0 and json.loads(done.stdout)["status"] == "running"


def runs(pid: int) -> bool:
    """Whether process PID is there, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("moment", range(16))
def test_the_helper_killed_at_any_moment(program: Program, bundle: Bundles, runtime: Runtime, moment: int):
    """What was going on ends well or with an error that says so; the next call has another helper."""
    program.of(bundle(), """
        def kill_later(pid, seconds):
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)

        threading.Thread(target=kill_later, args=(helper(), float(words[0]))).start()
        try:
            container = Container.run(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL)
        except pyrunc.PyruncError as error:
            assert "helper" in str(error), error
        else:
            wait_for(lambda: not os.path.exists(f"/proc/{container.pid}") or threading.active_count() == 1)
            assert container.state().status == "running"
            try:
                container.kill("KILL")
            except pyrunc.PyruncError as error:
                assert "helper" in str(error), error
                container.kill("KILL")
            try:
                assert container.wait(20) == -9
            except pyrunc.StateError as error:
                assert "exit status" in str(error), error
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join()
        for each in Container.list(root):
            Container.find(each.id, root).delete(force=True)
        with Container.run(bundle, box, root=root) as container:
            assert container.state().status == "running"
    """, str(moment * 0.003))


def test_its_containers_are_the_command_lines_when_the_helper_is_killed(program: Program, bundle: Bundles, runtime: Runtime):
    made = bundle()
    program.of(made, """
        container = Container.run(bundle, box, root=root, stdout=DEVNULL, stderr=DEVNULL)
        os.kill(helper(), signal.SIGKILL)
        assert container.state().status == "running"
        while True:  # a call that comes while it dies may say so
            try:
                process = container.exec(["true"], stdout=DEVNULL, stderr=DEVNULL)
                break
            except pyrunc.PyruncError as error:
                assert "helper" in str(error), error
        assert process.wait() == 0
    """)
    name = runtime.ids[-1]
    assert runtime.status(name) == "running"
    runtime("delete", "--force", name)
