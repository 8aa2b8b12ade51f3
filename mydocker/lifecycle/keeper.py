"""The keeper: the parent of a command that was brought into a container by `exec`.

    mydocker exec ── fork ─ keeper ── fork ─ joiner ── fork ─ the command
    the user's terminal     only waits       ends             in the container

A process in a pid namespace whose parent is outside of it is a duty for that parent: the kernel
lets the first process of the namespace end only when all others have been reaped
(pid_namespaces(7); `zap_pid_ns_processes` in kernel/pid_namespace.c). If mydocker reaped the
command itself, then a Ctrl-Z, or a pager that nobody scrolls, would hold up the end of the whole
container. So there is a process that does nothing but that. It has left the terminal's session, and
lies neither in the container's namespaces nor in its cgroup, whose memory and processes it would
take up.

Invariant: the command is reaped as soon as it ends, and is killed as soon as mydocker is gone.
"""

from __future__ import annotations

import _socket
import os
import select

from mydocker.linux import process, signals, syscalls, trace
from mydocker.sandbox.channel import Channel, die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    Start = Callable[[], tuple[int, Channel]]

PATIENCE = 2000
"""Milliseconds to wait for a command that was killed: one that is frozen dies when it is thawed."""


class Keeper:
    """mydocker's side: the keeper's pid, and the command's."""

    def __init__(self) -> None:
        self.pid = 0
        self._command = (0, 0)
        self._code = -1

    def start(self, enter: Start) -> tuple[int, Channel]:
        """Fork the keeper, which calls `enter()`; what that returns. Its errors are raised here."""
        ours, theirs = Channel.pair()
        caller = os.getpid()
        self.pid = syscalls.fork()
        if self.pid == 0:
            ours.close()
            try:
                _keep(enter, theirs, caller)
            except BaseException as error:
                die(theirs, error)
        theirs.close()
        joined = ours.expect("joined")
        ours.close()
        self._command = joined["pid"], process.start_time(joined["pid"])
        return joined["pid"], Channel(_socket.socket(fileno=joined["fd"]))

    def wait(self) -> int:
        """Wait for the command's end: its exit code."""
        if self._code < 0:
            self._code = process.exit_code(os.waitpid(self.pid, 0)[1])
        return self._code

    def end(self) -> None:
        """See that the command is gone: nothing to do if it has ended, and was waited for."""
        if self.pid == 0 or self._code >= 0:
            return
        if self._command[1]:
            process.pidfd_send_signal(*self._command, signals.SIGKILL)
        poll = select.poll()
        fd = os.pidfd_open(self.pid)
        poll.register(fd, select.POLLIN)
        if poll.poll(PATIENCE):
            self.wait()
        os.close(fd)


def _keep(enter: Start, channel: Channel, caller: int) -> NoReturn:
    trace.act_as("keeper")
    syscalls.setsid()
    pid, command = enter()
    channel.send("joined", fd=command.fileno(), pid=pid)
    # Whose end somebody waits for (a pipe's, the channel's) must not be kept open by us.
    syscalls.close_range(0, 0xFFFFFFFF)
    ended, poll = os.pidfd_open(pid), select.poll()
    poll.register(ended, select.POLLIN)
    try:
        poll.register(os.pidfd_open(caller), select.POLLIN)
    except ProcessLookupError:
        pass
    if os.getppid() != caller:  # gone already, and that pid is nobody's, or somebody else's
        process.kill(pid, signals.SIGKILL)
    while ended not in (ready := [fd for fd, _ in poll.poll()]):
        process.kill(pid, signals.SIGKILL)
        poll.unregister(ready[0])
    os._exit(process.exit_code(os.waitpid(pid, 0)[1]))
