"""A terminal of ours, to run a command on and to look at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from integration.harness.runtime import WAIT


class Screen:
    """A terminal of ours that a command is started on."""

    def __init__(self, argv, rows=30, columns=100):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.text = ""

    def size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def read_until(self, wanted, seconds=WAIT):
        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, f"waited for {wanted!r}, read {self.text!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 4096).decode()
        return self.text

    def write(self, text):
        os.write(self.master, text.encode())

    def close(self):
        status = self.process.wait(WAIT)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was not put back"
        while select.select([self.master], [], [], 0.1)[0]:
            self.text += os.read(self.master, 4096).decode()
        os.close(self.master)
        os.close(self.slave)
        return status
