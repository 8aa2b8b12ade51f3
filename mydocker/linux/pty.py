"""Terminals: a pseudo-terminal pair, raw mode and its restoration, and the window's size.

A pty is a pipe with manners: what is written to the master arrives at the terminal side as if
typed, with echo, line editing and Ctrl-C turned into a signal (pty(7), termios(3)).
"""

from __future__ import annotations

import fcntl
import os
import termios

from mydocker.errors import Error, KernelError
from mydocker.linux.trace import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

PTMX = os.makedev(5, 2)
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


def open_pair(ptmx: str) -> tuple[int, int]:
    """A new pty from the given devpts instance: (master, terminal side).

    The terminal side is opened through the master (TIOCGPTPEER), not by its name in /dev/pts, and
    the master must be what it claims to be: who may mount in a container can put anything there.
    """
    return step("open_pty", (ptmx,), _open_pair)


def _open_pair(ptmx: str) -> tuple[int, int]:
    try:
        master = os.open(ptmx, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        if os.fstat(master).st_rdev != PTMX:
            raise Error("pty", ptmx, "is not the multiplexer of terminals")
        fcntl.ioctl(master, TIOCSPTLCK, b"\0\0\0\0")
        terminal = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error, "pty", ptmx) from None
    return master, terminal


def make_controlling(terminal: int) -> None:
    """Make it the controlling terminal of this session: Ctrl-C and job control need one."""
    step("ioctl", ("TIOCSCTTY", terminal), lambda _, fd: fcntl.ioctl(fd, termios.TIOCSCTTY, 0))


def window_size(fd: int) -> bytes:
    """The window's size as the kernel packs it (struct winsize)."""
    return fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))


def set_window_size(fd: int, size: bytes) -> None:
    """Set the window's size; the foreground group at the other end gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, size)


class RawMode:
    """The user's terminal hands every key through untouched inside a `with`, and is put back."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        try:
            self._saved = termios.tcgetattr(self.fd)
        except termios.error as error:
            raise KernelError("tcgetattr", "stdin", error.args[0]) from None
        self.set()
        return self

    def set(self) -> None:
        """Make it raw: cfmakeraw(3). Again, when a shell has put it back while we were stopped."""
        iflag, oflag, cflag, lflag, *speeds, keys = self._saved
        iflag &= ~(
            termios.BRKINT
            | termios.ICRNL
            | termios.INPCK
            | termios.ISTRIP
            | termios.IXON
            | termios.IGNBRK
            | termios.INLCR
            | termios.IGNCR
            | termios.PARMRK
        )
        oflag &= ~termios.OPOST
        cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
        keys = list(keys)
        keys[termios.VMIN], keys[termios.VTIME] = 1, 0
        self._put([iflag, oflag, cflag, lflag, *speeds, keys])

    def __exit__(self, *_: object) -> None:
        self._put(self._saved)

    def _put(self, modes: list[Any]) -> None:
        try:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, modes)
        except termios.error:  # EIO: the terminal was hung up, and nobody sees it any more
            pass
