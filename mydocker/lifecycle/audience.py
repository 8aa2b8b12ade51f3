"""Those who watch a container from elsewhere: the monitor's side of `attach`.

The monitor alone holds the container's pipes or its terminal, so who wants to see and to type asks
it, at a unix socket in the container's directory. The talk is of packets (SOCK_SEQPACKET, unix(7)),
each with its kind in the first byte::

    to the monitor      i KEYS       what was typed
                        w WINSIZE    the size of the terminal in front (struct winsize)
    from the monitor    1 BYTES      what the container wrote to its stdout, or its terminal
                        2 BYTES      what it wrote to its stderr
                        x CODE       it has ended

Invariant: who watches slowly slows the container down, as a slow terminal does, and as with Docker;
who goes away costs nothing; nobody is waited for when the container has ended, but for a moment.
"""

from __future__ import annotations

import _socket
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LAG = 1 << 20
"""Bytes that may wait for one who watches before the container has to wait too."""
PACKET = 1 << 15
PATIENCE = 2000
"""Milliseconds without progress after which somebody is left behind at the end."""

KEYS, SIZE, OUT, ERR, EXIT = b"i", b"w", b"1", b"2", b"x"


class Watcher:
    """One who has attached."""

    def __init__(self, end: _socket.socket) -> None:
        self.end = end
        self.waiting: list[bytes] = []
        self.bytes = 0

    def push(self, packet: bytes) -> None:
        """Send a packet, now or later."""
        self.waiting.append(packet)
        self.bytes += len(packet)

    def flush(self) -> bool:
        """Send what can be sent now; False if nobody is there any more."""
        while self.waiting:
            try:
                self.end.send(self.waiting[0], _socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.bytes -= len(self.waiting.pop(0))
        return True


class Audience:
    """All who have attached to one container; `resize(winsize)` is called when one has a size."""

    def __init__(self, resize: Callable[[bytes], None]) -> None:
        self._resize = resize
        self._watchers: dict[int, Watcher] = {}

    def admit(self, door: _socket.socket) -> None:
        """Let in who knocks."""
        try:
            fd, _ = door._accept()  # type: ignore[attr-defined]  # what socket.accept() calls
        except OSError:
            return
        end = _socket.socket(fileno=fd)
        end.setblocking(False)
        os.set_inheritable(fd, False)
        self._watchers[fd] = Watcher(end)

    def polled(self, keys: bool) -> dict[int, int]:
        """What to wait for; without `keys` nothing more that was typed is wanted now."""
        wanted = {}
        for fd, watcher in self._watchers.items():
            mask = select.POLLIN if keys else 0
            wanted[fd] = mask | (select.POLLOUT if watcher.waiting else 0)
        return wanted

    def lags(self) -> bool:
        """Whether somebody is so far behind that the container has to wait."""
        return any(watcher.bytes > LAG for watcher in self._watchers.values())

    def show(self, stream: str, data: bytes) -> None:
        """What the container wrote, to all."""
        kind = OUT if stream == "stdout" else ERR
        for fd, watcher in list(self._watchers.items()):
            for begin in range(0, len(data), PACKET):
                watcher.push(kind + data[begin : begin + PACKET])
            if not watcher.flush():
                self._drop(fd)

    def tend(self, events: dict[int, int]) -> bytes:
        """Do what can be done now; what was typed by all of them."""
        typed = b""
        for fd, watcher in list(self._watchers.items()):
            mask = events.get(fd, 0)
            if mask & select.POLLOUT and not watcher.flush():
                self._drop(fd)
            elif mask & (select.POLLIN | select.POLLHUP | select.POLLERR):
                typed += self._hear(fd, watcher)
        return typed

    def _hear(self, fd: int, watcher: Watcher) -> bytes:
        try:
            packet = watcher.end.recv(PACKET + 1)
        except BlockingIOError:
            return b""
        except OSError:
            packet = b""
        kind, rest = packet[:1], packet[1:]
        if not packet:
            self._drop(fd)
        elif kind == SIZE and len(rest) == 8:
            self._resize(rest)
        return rest if kind == KEYS else b""

    def _drop(self, fd: int) -> None:
        self._watchers.pop(fd).end.close()

    def farewell(self, code: int) -> None:
        """Send all the rest, and how it ended; who takes nothing for a while is left behind."""
        for watcher in self._watchers.values():
            watcher.push(EXIT + str(code).encode())
        while self._watchers:
            poll = select.poll()
            for fd in self._watchers:
                poll.register(fd, select.POLLOUT)
            ready = [fd for fd, _ in poll.poll(PATIENCE)]
            for fd in ready or list(self._watchers):
                watcher = self._watchers[fd]
                if not ready or not watcher.flush() or not watcher.waiting:
                    self._drop(fd)
