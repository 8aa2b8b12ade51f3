"""Watch a container that runs, and type to it: `attach`.

What is typed goes to the monitor, what the container writes comes from there (audience.py). With a
terminal of its own and ours in front, ours is made raw, so that all keys get through; a sequence of
them, Ctrl-P Ctrl-Q unless `--detach-keys` says otherwise, leaves the container alone again.

Invariant: the terminal in front is as it was, however this ends; and the container does not notice
who comes and goes.
"""

from __future__ import annotations

import _socket
import os
import select

from mydocker.errors import Conflict, Error, KernelError, Usage
from mydocker.lifecycle.audience import ERR, EXIT, KEYS, OUT, PACKET, SIZE
from mydocker.lifecycle.container import LOST, Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.monitor import Heard, hold_signals
from mydocker.lifecycle.repair import real
from mydocker.lifecycle.stdio import SOCKET, Foreground, Stdio, write_all
from mydocker.linux import files, pty

DETACH = "ctrl-p,ctrl-q"
CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"
"""The keys that a terminal sends as another byte while Ctrl is held."""

REFUSED = {
    "paused": ("is paused", "mydocker unpause {} first"),
    "restarting": ("is restarting", "wait until it runs"),
}


def attach(
    containers: Containers, word: str, stdin: bool, sig_proxy: bool, keys: bytes = b"\x10\x11"
) -> int:
    """Stay until the container ends, and return its exit code; or 0 after the detach keys."""
    container = real(containers, word)
    if container.status != "running":
        why, hint = REFUSED.get(container.status, ("does not run", "mydocker start {} first"))
        raise Conflict("attach", word, why, hint=hint.format(word), code=1)
    stdin = stdin and container.open_stdin
    if container.tty and stdin and not os.isatty(0):
        raise Error("attach", "stdin", "is not a terminal", hint="--no-stdin only watches", code=1)
    hold_signals()
    end = knock(container)
    front = Front(container, end, stdin)
    heard = Heard("attach", "the container goes on")
    with Foreground(front, container.pid, sig_proxy and not front.raw), heard:
        code = front.carry(keys)
    end.close()
    if code is None:  # the monitor was killed, and with it the container
        code = real(containers, word).exit_code or LOST
    return code


def knock(container: Container) -> _socket.socket:
    """A connection to the container's monitor."""
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    directory = os.open(container.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end.connect(f"{files.by_fd(directory)}/{SOCKET}")
    except FileNotFoundError:
        raise Conflict("attach", container.name, "has just ended") from None
    except OSError as error:
        raise KernelError.of(error, "attach", container.name) from None
    finally:
        os.close(directory)
    return end


class Front(Stdio):
    """Our own terminal or pipes, with a monitor behind them instead of the container's."""

    def __init__(self, container: Container, end: _socket.socket, stdin: bool) -> None:
        super().__init__(container.tty, stdin, foreground=True)
        self._end = end
        self._screen = next((fd for fd in (1, 0) if os.isatty(fd)), -1) if container.tty else -1
        self.raw = pty.RawMode(0) if container.tty and stdin and os.isatty(0) else None
        if self._screen >= 0:
            # A program redraws its screen only when the size is another one.
            lines = int.from_bytes(pty.window_size(self._screen)[:2], "little")
            self._send(SIZE + (lines + 1).to_bytes(2, "little") + pty.window_size(self._screen)[2:])

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        try:
            if self._screen >= 0:
                self._send(SIZE + pty.window_size(self._screen))
        except OSError:
            pass

    def _send(self, packet: bytes) -> bool:
        try:
            self._end.send(packet, _socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def carry(self, keys: bytes) -> int | None:
        """Carry bytes both ways; the exit code, 0 when we were told to detach, None if unknown."""
        detector = Detector(keys if self.raw else b"")
        poll = select.poll()
        poll.register(self._end.fileno(), select.POLLIN)
        if self.interactive:
            poll.register(0, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._end.fileno() in ready:
                packet = self._end.recv(PACKET + 1)
                kind, data = packet[:1], packet[1:]
                if not packet:
                    return None
                if kind == EXIT:
                    return int(data)
                write_all({OUT: 1, ERR: 2}[kind], data)
            if 0 in ready:
                typed = read(0)
                if not typed:
                    poll.unregister(0)
                passed, leave = detector.feed(typed)
                for begin in range(0, len(passed), PACKET):
                    self._send(KEYS + passed[begin : begin + PACKET])
                if leave:
                    write_all(1, b"read escape sequence\r\n")
                    return 0


def read(fd: int) -> bytes:
    """What is there to read; nothing at the end, or when the terminal was hung up."""
    try:
        return os.read(fd, PACKET)
    except OSError:
        return b""


class Detector:
    """Looks for the detach keys in what is typed; a beginning of them is kept back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = b""

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What is for the container, and whether the keys were typed."""
        passed = b""
        for byte in typed:
            self._seen += bytes([byte])
            if self._keys and self._seen == self._keys:
                return passed, True
            while self._seen and not self._keys.startswith(self._seen):
                passed, self._seen = passed + self._seen[:1], self._seen[1:]
        return passed, False


def parse_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` as the bytes that a terminal sends for them."""
    found = b""
    for word in text.split(","):
        letter = word.lower().removeprefix("ctrl-")
        if len(word) == 1 and word.isascii():
            found += word.encode()
        elif len(letter) == 1 and letter in CONTROL and word.lower() != letter:
            found += bytes([ord(letter.upper()) & 0x1F])
        else:
            raise Usage("--detach-keys", text, "not a list of keys", hint="such as ctrl-p,ctrl-q")
    return found
