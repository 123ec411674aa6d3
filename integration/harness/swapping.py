"""An attacker who lets two files change places, as fast as it goes."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
