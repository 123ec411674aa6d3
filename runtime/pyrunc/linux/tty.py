"""Terminals: their settings and their size, by ioctl(2) (ioctl_tty(2), termios(3))."""

from __future__ import annotations

from _struct import pack, unpack
from fcntl import ioctl

from pyrunc.record import Record

# include/uapi/asm-generic/ioctls.h
TCGETS, TCSETS, TCSETSW = 0x5401, 0x5402, 0x5403
TIOCGWINSZ, TIOCSWINSZ = 0x5413, 0x5414
# include/uapi/asm-generic/termbits.h: of c_iflag, c_oflag, c_lflag, c_cflag, and places in c_cc
IGNBRK, BRKINT, PARMRK, ISTRIP, INLCR, IGNCR, ICRNL, IXON = 0x1, 0x2, 0x8, 0x20, 0x40, 0x80, 0x100, 0x400
OPOST, ONLCR = 0x1, 0x4
ISIG, ICANON, ECHO, ECHONL, IEXTEN = 0x1, 0x2, 0x8, 0x40, 0x8000
CSIZE, CS8, PARENB = 0x30, 0x30, 0x100
VTIME, VMIN = 5, 6

_TERMIOS = "=4IB19s"  # struct termios: iflag, oflag, cflag, lflag, line, cc
_WINSIZE = 8  # sizeof(struct winsize)


class Settings(Record):
    """struct termios."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    line: int
    cc: bytes


def get_settings(fd: int) -> Settings:
    """Return the settings of the terminal FD.  Raises OSError."""
    iflag, oflag, cflag, lflag, line, cc = unpack(_TERMIOS, ioctl(fd, TCGETS, bytes(36)))
    return Settings(iflag, oflag, cflag, lflag, line, cc)


def set_settings(fd: int, made: Settings, *, drain: bool = False) -> None:
    """Give the terminal FD the settings MADE, after what is written has gone out if DRAIN.  Raises OSError."""
    data = pack(_TERMIOS, made.iflag, made.oflag, made.cflag, made.lflag, made.line, made.cc)
    ioctl(fd, TCSETSW if drain else TCSETS, data)


def get_size(fd: int) -> bytes:
    """Return the size of the terminal FD, a struct winsize.  Raises OSError."""
    return ioctl(fd, TIOCGWINSZ, bytes(_WINSIZE))


def set_size(fd: int, size: bytes) -> None:
    """Give the terminal FD the SIZE that get_size has returned.  Raises OSError."""
    ioctl(fd, TIOCSWINSZ, size)
