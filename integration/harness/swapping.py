"""An attacker who lets two files change places, as fast as it goes."""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.looking import compiled

AT_FDCWD = -100
RENAME_EXCHANGE = 2
LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Let ONE and OTHER change places, atomically (rename(2), RENAME_EXCHANGE)."""
    if LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def swapping() -> Iterator[Callable[[Path, Path], None]]:
    """Give a function that starts to swap two paths, until the block ends; each must have gone on until then."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def swap(one: Path, other: Path) -> None:
        def loop() -> None:
            while not stop.is_set():
                exchange(one, other)

        threads.append(threading.Thread(target=loop))
        threads[-1].start()

    try:
        yield swap
        assert all(thread.is_alive() for thread in threads), "the attacker gave up"
    finally:
        stop.set()
        for thread in threads:
            thread.join()

SWAPPER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t ended;

static void end(int number)
{
	ended = number;
}

int main(int argc, char **argv)
{
	unsigned long count = 0;

	signal(SIGTERM, end);
	for (; argc == 3 && !ended; count++)
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE))
			return 1;
	printf("%lu\n", count);
	return 0;
}
"""


@contextmanager
def swapped(one: Path, other: Path) -> Iterator[None]:
    """Let a process of its own swap two paths until the block ends: a hundred thousand times a second, on another processor."""
    with subprocess.Popen([str(compiled(SWAPPER)), str(one), str(other)], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            process.terminate()
            said = process.communicate()[0]
    assert process.returncode == 0, "the attacker gave up"
    assert int(said) > 1000, "the attacker had no time"
