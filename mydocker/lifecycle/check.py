"""A command in a container for whoever wants its answer: health checks, above all.

`capture` runs one and waits for it. A monitor cannot wait: it has the container's output to carry.
So `Check` does that in a process of its own, whose end shows on a descriptor::

    check = Check(container, ["wget", "-qO-", "http://localhost/"], seconds=30)
    …poll.register(check.fileno(), select.POLLIN)…
    code, output = check.result()       # 0: healthy; -1: not finished in time, or not to be started

Invariant: it takes no longer than it may, ends with the monitor, and when it has ended nothing is
left of the command's process group (setpgid(2)).
"""

from __future__ import annotations

import os
import select
import signal
import time

from mydocker.errors import CANNOT_EXECUTE, NOT_FOUND, Error, as_error
from mydocker.lifecycle.exec import Entry, Request
from mydocker.linux import process, syscalls, trace
from mydocker.linux.cleanup import Cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.lifecycle.container import Container

LIMIT = 4096
"""Bytes of output that are kept, as many as Docker keeps; the rest is read and dropped."""

FAILED = -1
"""The code of a check that has none of its own: Docker's."""


def capture(container: Container, words: list[str], seconds: float) -> tuple[int, bytes]:
    """Run `words` with no terminal and nothing to read: exit code, the begin of stdout and stderr.

    A command that cannot be executed has its code and its error here too, 126 or 127. Raises Error
    when the container does not run any more.
    """
    entry = Entry(container, words, Request())
    try:
        return _capture(entry, seconds)
    except Error as error:
        if error.code in (CANNOT_EXECUTE, NOT_FOUND):
            return error.code, str(error).encode()
        raise entry.explained(error) from None


def _capture(entry: Entry, seconds: float) -> tuple[int, bytes]:
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    with Cleanup() as undo:
        undo.push(os.close, read)
        with Cleanup() as theirs:
            theirs.push(os.close, null)
            theirs.push(os.close, write)
            syscalls.fchown(write, entry.spec.linux.host_root[0], -1)
            pid, channel = entry.enter((null, write, write))
            undo.push(_end, pid)
            entry.handshake(channel)
        output = _read(read, pid, time.monotonic() + seconds)
        undo.keep()
        os.close(read)
        code = _end(pid)
    if output is None:
        return FAILED, f"the check did not end within {seconds:g} seconds".encode()
    return code, output


def _read(fd: int, pid: int, deadline: float) -> bytes | None:
    """What it writes until it ends, the begin of it; None when it has not ended in time.

    Who else holds the pipe (a process that it left in the background) is not waited for.
    """
    kept, poll, ended = b"", select.poll(), os.pidfd_open(pid)
    for each in (fd, ended):
        poll.register(each, select.POLLIN)
    try:
        while True:
            rest = deadline - time.monotonic()
            ready = [each for each, _ in poll.poll(max(0, rest) * 1000)]
            if fd in ready:
                data = os.read(fd, 1 << 16)
                kept = (kept + data)[:LIMIT]
                if not data:
                    poll.unregister(fd)
            elif ended in ready:
                return kept
            if rest < 0:
                return None
    finally:
        os.close(ended)


def _end(pid: int) -> int:
    """End what is left of the command's group, then reap it; its exit code.

    In this order: a zombie keeps its number, so that the group is still the command's.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it does not lead a group yet
        pass
    return process.reap(pid)


class Check:
    """One check that is under way, beside whatever else this process does."""

    def __init__(self, container: Container, words: list[str], seconds: float) -> None:
        self._fd, write = os.pipe()
        self.pid = syscalls.fork()
        if self.pid == 0:
            try:
                _answer(write, container, words, seconds)
            finally:
                os._exit(0)
        os.close(write)

    def fileno(self) -> int:
        """A descriptor that is readable when there is a result."""
        return self._fd

    def result(self) -> tuple[int, str]:
        """The exit code and what was written; waits for it."""
        with open(self._fd, "rb") as file:
            code, _, output = file.read().partition(b"\n")
        os.waitpid(self.pid, 0)
        return int(code or FAILED), output.decode("utf-8", "replace")

    def cancel(self) -> None:
        """End it: nobody wants to know any more."""
        process.reap(self.pid)
        os.close(self._fd)


def _answer(write: int, container: Container, words: list[str], seconds: float) -> None:
    """In the process of a check: do it, and write the answer."""
    trace.act_as("check")
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.set_name("mydocker-check")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for target in (0, 1, 2):  # nobody else's stream, and no number that the command's could get
        os.dup2(null, target)
    os.dup2(write, 3, inheritable=False)
    syscalls.close_range(4, 0xFFFFFFFF)  # the monitor's: a pipe's end must not be held open by us
    try:
        code, output = capture(container, words, seconds)
    except Exception as error:
        code, output = FAILED, str(as_error(error, "check")).encode()
    os.write(3, b"%d\n%b" % (code, output))
