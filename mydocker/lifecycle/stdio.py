"""What a container reads and writes, carried between it and whoever watches.

Two shapes, and one loop for both. With `-t` the container has a pty: one stream both ways, and the
user's own terminal is put in raw mode so that every key gets through. Without it there are pipes,
stdout and stderr apart. In both cases everything that comes out is logged, and copied to the
foreground if there is one, and to those who have attached from elsewhere (audience.py). The loop is
poll(2) over descriptors; the container's end shows as a readable pidfd (pidfd_open(2)). What else a
monitor has to do meanwhile takes part in that loop as a `Chore`.
"""

from __future__ import annotations

import _socket
import os
import select

from mydocker.errors import Error
from mydocker.linux import files, process, pty, signals, syscalls
from mydocker.linux.trace import act

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, Self

    from mydocker.lifecycle.audience import Audience
    from mydocker.lifecycle.logs import Log

    class Chore(Protocol):
        """Something to do beside carrying bytes: what to poll for, when at the latest, and it."""

        def polled(self) -> dict[int, int]: ...
        def timeout(self) -> float | None: ...
        def tend(self, events: dict[int, int]) -> None: ...


_CHUNK = 1 << 16

SOCKET = "attach"
"""The name of the socket in a container's directory while it runs."""

PROXIED = ("SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")
"""Signals that `--sig-proxy` passes on to the container's first process."""

SUDDEN = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
"""Those among them that would end mydocker before it could put the terminal back."""


class Stdio:
    """The monitor's side of a container's standard streams.

    `foreground` is whether this process's own stdin, stdout and stderr take part (`run` without
    `-d`); `interactive` whether the container may read at all (`-i`).
    """

    def __init__(self, terminal: bool, interactive: bool, foreground: bool) -> None:
        self.terminal = terminal
        self.interactive = interactive
        self.foreground = foreground
        self.raw: pty.RawMode | None = None
        self._screen = -1  # the terminal in front of us, whose size counts
        self._input = -1  # where the container's stdin is written to
        self._pending = b""  # read from the user, not yet taken by the container
        self._outputs: dict[int, tuple[str, int]] = {}  # read from: stream's name, copied to
        self._inside: list[int] = []  # the container's ends, ours only until it has them
        self._audience: Audience | None = None
        self._door: _socket.socket | None = None  # where one can attach
        self.chores: list[Chore] = []

    def open(self, owner: tuple[int, int]) -> tuple[int, int, int] | None:
        """The three descriptors for the container, or None with a pty, which it makes itself.

        `owner`: uid and gid on the host of the container's root, which may open them by name.
        """
        if self.terminal:
            return None
        stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        if self.interactive:
            os.close(stdin)
            stdin, self._input = os.pipe()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self._outputs = {out_read: ("stdout", 1), err_read: ("stderr", 2)}
        self._inside = [stdin, out_write, err_write]
        for fd in self._inside if owner != (0, 0) else ():
            if self.interactive or fd != stdin:  # /dev/null stays the host's
                syscalls.fchown(fd, *owner)
        return stdin, out_write, err_write

    def console(self, master: int) -> None:
        """Take the master of the container's pty, with the size of the terminal in front of us."""
        self._input = master
        self._outputs = {master: ("stdout", 1)}
        if self.foreground:
            self._screen = next((fd for fd in (1, 0) if os.isatty(fd)), -1)
            self.resize()
            # Without -i nobody would read the keys: then Ctrl-C must stay a signal, to us.
            self.raw = pty.RawMode(0) if self.interactive and os.isatty(0) else None

    def resize(self) -> None:
        """Give the container's terminal the size of the one in front of us."""
        try:
            if self._screen >= 0:
                pty.set_window_size(self._input, pty.window_size(self._screen))
        except OSError:  # EIO: it was hung up, SIGHUP is about to tell us
            pass

    def set_size(self, size: bytes) -> None:
        """Give the container's terminal this size (struct winsize)."""
        try:
            if self.terminal and self._input >= 0:
                pty.set_window_size(self._input, size)
        except OSError:  # it is gone
            pass

    def started(self) -> None:
        """Close the container's ends: end-of-file shows only when nobody else holds them."""
        for fd in self._inside:
            os.close(fd)
        self._inside = []

    def listen(self, directory: str) -> None:
        """Make the socket in the container's directory at which `attach` knocks (unix(7)).

        By descriptor, since the name of a socket may have 107 bytes only, and paths are longer.
        """
        files.unlink(f"{directory}/{SOCKET}", missing_ok=True)
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._door = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            act("bind", _bind, f"{directory}/{SOCKET}", self._door, fd)
            self._door.listen(8)
            self._door.setblocking(False)
        finally:
            os.close(fd)

    def farewell(self, code: int) -> None:
        """Tell those who have attached how the container ended."""
        if self._audience:
            self._audience.farewell(code)
            self._audience = None
        if self._door:
            self._door.close()
            self._door = None

    def close(self) -> None:
        """Close what is still open."""
        self.farewell(-1)
        self.started()
        for fd in {self._input, *self._outputs} - {-1}:
            os.close(fd)
        self._input, self._outputs = -1, {}

    def pump(self, pid: int, log: Log) -> None:
        """Carry bytes until the container's first process has ended and all it wrote is read.

        The container's stdin is never waited for: it may be full because the container waits for
        us to read its stdout.
        """
        ended = os.pidfd_open(pid)
        reading, feeding, over = set(self._outputs), self.foreground and self.interactive, False
        if self._input >= 0:
            os.set_blocking(self._input, False)
        while True:
            poll = select.poll()
            if over or not (self._audience and self._audience.lags()):
                for fd in reading:
                    poll.register(fd, select.POLLIN)
            if not over:
                poll.register(ended, select.POLLIN)
            if self._pending:
                both = select.POLLIN if self._input in reading else 0
                poll.register(self._input, select.POLLOUT | both)
            elif feeding:
                poll.register(0, select.POLLIN)
            timeout = self._register_others(poll)
            # After the end only what is already there is read: an orphan may hold a pipe open.
            events = dict(poll.poll(0 if over else timeout))
            ready = [fd for fd in reading if events.get(fd, 0) & ~select.POLLOUT]
            reading -= {fd for fd in ready if not self._copy_out(fd, log)}
            if over and not ready:
                break
            if self._pending and events.get(self._input, 0) & ~select.POLLIN:
                feeding = self._feed() and feeding
            elif feeding and 0 in events:
                feeding = self._read()
            self._tend_others(events)
            if ended in events:
                over, feeding, self._pending = True, False, b""
        os.close(ended)

    def _register_others(self, poll: select.poll) -> float | None:
        """What the audience and the chores wait for; the milliseconds until one has to be done."""
        timeouts = []
        if self._door:
            poll.register(self._door.fileno(), select.POLLIN)
        if self._audience:
            for fd, mask in self._audience.polled(keys=not self._pending).items():
                poll.register(fd, mask)
        for chore in self.chores:
            for fd, mask in chore.polled().items():
                poll.register(fd, mask)
            timeouts.append(chore.timeout())
        soonest = min((seconds for seconds in timeouts if seconds is not None), default=None)
        return None if soonest is None else max(0.0, soonest) * 1000 + 1

    def _tend_others(self, events: dict[int, int]) -> None:
        if self._door and self._door.fileno() in events:
            if not self._audience:
                from mydocker.lifecycle.audience import Audience

                self._audience = Audience(self.set_size)
            self._audience.admit(self._door)
        if self._audience:
            keys = self._audience.tend(events)
            if keys and self.interactive and self._input >= 0:
                self._pending += keys
        for chore in self.chores:
            chore.tend(events)

    def _copy_out(self, fd: int, log: Log) -> bool:
        """From the container to the log and to the user; False at the end of it."""
        try:
            data = os.read(fd, _CHUNK)
        except OSError:  # EIO: the last process with this terminal has ended
            data = b""
        stream, target = self._outputs[fd]
        if data:
            log.write(stream, data)
            if self._audience:
                self._audience.show(stream, data)
            if self.foreground and not write_all(target, data):
                self._outputs[fd] = (stream, os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))
        return bool(data)

    def _read(self) -> bool:
        """What the user has for the container; False at the end of it."""
        try:
            self._pending = os.read(0, _CHUNK)
        except OSError:
            self._pending = b""
        return self._feed() if self._pending else self._end_input()

    def _feed(self) -> bool:
        """Give the container as much of that as it takes now; False if it reads no more."""
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return True
        except OSError:
            self._pending = b""
            return self._end_input()
        return True

    def _end_input(self) -> bool:
        if not self.terminal:
            os.close(self._input)  # the container reads end-of-file
            self._input = -1
        return False


def _bind(_path: str, door: _socket.socket, directory: int) -> None:
    door.bind(f"{files.by_fd(directory)}/{SOCKET}")


def write_all(fd: int, data: bytes) -> bool:
    """Write all of it; False when nobody reads at the other end any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError:
            return False
    return True


class Foreground:
    """While a container runs in front of the user: signals go to it, the terminal is raw.

    Everything is put back on every way out, also when this process is told to end.
    """

    def __init__(self, stdio: Stdio, pid: int, proxy: bool) -> None:
        self._stdio = stdio
        self._pid = pid
        self._started = process.start_time(pid)
        self._passed = PROXIED if proxy else SUDDEN if stdio.raw else ()
        self._saved: list[tuple[int, object]] = []

    def __enter__(self) -> Self:
        for name in self._passed:
            self._handle(getattr(signals, name), self._pass_on)
        if self._stdio.terminal:
            self._handle(signals.SIGWINCH, self._resize)
        if self._stdio.raw:
            self._stdio.raw.__enter__()
            self._handle(signals.SIGCONT, self._resume)
        self._stdio.resize()  # it may have changed before we listened
        return self

    def __exit__(self, *_: object) -> None:
        if self._stdio.raw:
            self._stdio.raw.__exit__()
        for number, handler in self._saved:
            signals.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave us

    def _handle(self, number: int, handler: Callable[[int, object], None]) -> None:
        self._saved.append((number, signals.signal(number, handler)))

    def _pass_on(self, number: int, _frame: object) -> None:
        process.pidfd_send_signal(self._pid, self._started, number)

    def _resize(self, _number: int, _frame: object) -> None:
        self._stdio.resize()

    def _resume(self, _number: int, _frame: object) -> None:
        if self._stdio.raw:
            self._stdio.raw.set()


def check_terminal(tty: bool, interactive: bool) -> None:
    """`-i -t` promises a terminal to type at; without one, say so before anything is made."""
    if tty and interactive and not os.isatty(0):
        raise Error("run", "stdin", "is not a terminal", hint="use -i without -t in a pipe", code=1)
