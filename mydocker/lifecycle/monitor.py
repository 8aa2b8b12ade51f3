"""The monitor: the one process that stays with a container, from its start to its last trace.

It has the containerd-shim's place in the picture of the layers. `run` in the foreground is its own
monitor; `run -d` leaves one behind, which has let go of the terminal and of its parent (daemon(7)).
It makes the cgroup, starts the first process, carries its output, waits, writes down how it ended,
and takes away what it made, in the opposite order.

Invariant: whatever fails half-way, and however the container ends, nothing of it is left on the
host but its record and its files. The container cannot outlive its monitor: the kernel kills its
first process with it (PR_SET_PDEATHSIG), and with PID 1 the whole pid namespace.

A signal that asks to end must not come between two steps, so such signals are held back
(sigprocmask(2)), except while the container runs in front of the user: then they go to it, or end
it. What is held back waits: a Ctrl-C during the start reaches the container when there is one. In
the background they are held back for good: a container is signalled by itself (`stop`, `kill`).
"""

from __future__ import annotations

import os
import signal

from mydocker import cgroups
from mydocker.errors import NOT_FOUND, Conflict, Error, as_error
from mydocker.lifecycle.container import Container, now
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.logs import Log
from mydocker.lifecycle.stdio import Foreground, Stdio
from mydocker.linux import process
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import pivot, volumes
from mydocker.rootfs.overlay import Overlay
from mydocker.sandbox import namespaces
from mydocker.sandbox.channel import Channel
from mydocker.sandbox.init import Init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import Spec

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""The signals that ask a process to end, and that are held back."""


def hold_signals() -> None:
    """Hold back the signals that ask to end; children inherit that, until they execute."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


class Monitor:
    """Runs one container once."""

    def __init__(self, containers: Containers, container: Container, spec: Spec) -> None:
        self.containers = containers
        self.container = container
        self.spec = spec
        self.group = cgroups.group(container.cgroup_parent, container.id)

    def run(self, stdio: Stdio, started: Callable[[], None], sig_proxy: bool = False) -> int:
        """Start the container, stay until it has ended, and return its exit code.

        `started()` is called when the user's command runs. Whatever fails is raised as one Error,
        after it has been written in the record: with the container's own exit code, if that had
        come to its end and only the taking away failed.
        """
        container = self.container
        if container.monitor_pid != os.getpid():
            self._take_over()
        try:
            with Cleanup() as undo:
                self._run(undo, stdio, started, sig_proxy)
            if container.auto_remove:
                self.containers.discard(container)
        except BaseException as error:
            told = self.failed(error)
            raise told from told.__cause__
        return container.exit_code

    def _take_over(self) -> None:
        """Become the process that answers for the container, in the place of the one that made us.

        If that was killed a moment ago, others may have seen nobody there, and ended the record.
        """
        container = self.container
        with container.lock():
            if self.containers.load(container.id).status != container.status:
                raise Conflict("run", container.name, "was given up, its maker was killed")
            container.watched_by(os.getpid())
            container.save()

    def failed(self, error: BaseException) -> Error:
        """The error as ours, written down as far as that can be done."""
        container, told = self.container, as_error(error, "run")
        try:
            if container.status == "exited":
                told.code = container.exit_code
                container.error = str(told)
                container.save()
            else:
                self._finish(told.code, str(told))
        except Error as failed:
            told.add_note(f"and then: {failed}")
        if container.auto_remove:
            try:
                self.group.remove()  # or the record stays: nothing else knows of the group
                self.containers.discard(container)
            except Error as failed:
                told.add_note(f"and then: {failed}")
        return told

    def _run(
        self, undo: Cleanup, stdio: Stdio, started: Callable[[], None], sig_proxy: bool
    ) -> None:
        log = Log(f"{self.container.directory}/log.json")
        undo.push(log.close)
        self.group.create(self.spec.linux.resources)
        undo.push(self.group.remove)
        descriptors = stdio.open(owner=self.spec.linux.host_root)
        undo.push(stdio.close)
        overlay = Overlay.in_directory(self.container.layers, self.container.directory)
        overlay.create()
        volumes.make_sources(self.spec.mounts)
        door = pivot.Entrance(self.spec, overlay)
        init = Init(self.spec, door.enter, door.seal, descriptors, reaper=self.container.init)
        group = self.group
        pid, channel = namespaces.spawn(self.spec.linux, group.fork, group.add, init, door.prepare)
        undo.push(self._reap, pid)
        self._handshake(channel, stdio, pid)
        started()
        if stdio.foreground:
            with Foreground(stdio, pid, sig_proxy and not stdio.raw), Heard():
                stdio.pump(pid, log)
        else:
            stdio.pump(pid, log)
        _, status = os.waitpid(pid, 0)
        self.container.oom_killed = self.group.oom_kills() > 0
        self._finish(process.exit_code(status), log.trouble)

    def _handshake(self, channel: Channel, stdio: Stdio, pid: int) -> None:
        """Let PID 1 build its world, record it as running, and let it execute."""
        channel.send("go")
        if self.spec.process.terminal:
            stdio.console(channel.expect("console")["fd"])
        channel.expect("ready")
        container = self.container
        container.pid, container.pid_started = pid, process.start_time(pid)
        container.started_at, container.finished_at = now(), ""
        container.become("running")
        container.save()
        channel.send("exec")
        channel.receive()  # closed by a successful execve; an error is raised here
        channel.close()
        stdio.started()

    def _finish(self, code: int, error: str = "") -> None:
        """Write down how it ended."""
        container = self.container
        container.exit_code, container.error, container.finished_at = code, error, now()
        container.pid = 0
        container.become("exited")
        container.save()

    def _reap(self, pid: int) -> None:
        """End the first process if it still lives, and with it all others of its namespace."""
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class Heard:
    """Inside a `with` the signals that ask to end are heard: those that nobody has a handler for,
    such as the container's (`--sig-proxy`), end what is going on, with all that belongs to it."""

    def __enter__(self) -> None:
        for number in ENDING:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, _end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def __exit__(self, *_: object) -> None:
        hold_signals()


def _end(number: int, _frame: object) -> None:
    hold_signals()
    name = signal.Signals(number).name
    raise Error("run", name, "the container was ended with mydocker", code=128 + number)


def explain_not_found(error: Error, word: str, image: str) -> Error:
    """`run WORD` where WORD is no image and no command of the default one: say both."""
    if error.code != NOT_FOUND or not word or error.obj != word:
        return error
    why = f"neither a local image nor a command in the image {image}"
    return Error("run", word, why, hint="mydocker images lists the images", code=NOT_FOUND)
