#!/usr/bin/env python3
"""Keep services running, each in a container: on asyncio, with one task for each, and no thread.

    sudo python3 supervisor.py ROOTFS NAME=COMMAND...

A service that ends is started again, later each time it fails at once. SIGTERM ends all of them in order: the signal of its
image for each, ten seconds for it to end by itself, and SIGKILL. Nothing stays behind, even if this program is killed.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time

import pyrunc
from pyrunc import aio

GRACE, QUICK, DELAY_MAX = 10.0, 5.0, 30.0  # seconds


def say(name: str, text: str) -> None:
    """Tell about service NAME."""
    print(f"{name}: {text}", flush=True)


async def serve_once(name: str, bundle: pyrunc.Bundle, stopping: asyncio.Event) -> None:
    """Run service NAME until it ends, or is to."""
    async with await aio.Container.run(bundle, stdin=aio.DEVNULL) as container:
        say(name, f"runs, pid {container.pid}")
        ended = asyncio.create_task(container.wait())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not ended.done():
            await container.kill()
            await asyncio.wait((ended,), timeout=GRACE)
        if not ended.done():
            await container.kill("KILL")
        say(name, f"has ended: {await ended}")


async def serve(name: str, bundle: pyrunc.Bundle, stopping: asyncio.Event) -> None:
    """Run service NAME again and again, until it is to stop."""
    delay = 0.1
    while not stopping.is_set():
        began = time.monotonic()
        try:
            await serve_once(name, bundle, stopping)
        except pyrunc.PyruncError as error:
            say(name, str(error))
        delay = 0.1 if time.monotonic() - began > QUICK else min(delay * 2, DELAY_MAX)
        try:
            await asyncio.wait_for(stopping.wait(), delay)
        except TimeoutError:
            continue


async def main(rootfs: str, services: list[str]) -> None:
    """Run SERVICES until SIGTERM or ^C."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as tasks:
        for service in services:
            name, _, command = service.partition("=")
            tasks.create_task(serve(name, pyrunc.Bundle.from_rootfs(rootfs, shlex.split(command)), stopping))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
