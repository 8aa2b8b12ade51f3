"""The monitor: the one process that stays with a container, from its start to its last trace.

It has the containerd-shim's place in the picture of the layers. `run` in the foreground is its own
monitor; `run -d` leaves one behind, which has let go of the terminal and of its parent (daemon(7)).
It makes the cgroup, starts the first process, carries its output, waits, writes down how it ended,
and takes away what it made, in the opposite order.

Invariant: whatever fails half-way, and however the container ends, nothing of it is left on the
host but its record and its files. The container cannot outlive its monitor: the kernel kills its
first process with it (PR_SET_PDEATHSIG), and with PID 1 the whole pid namespace.
"""

from __future__ import annotations

import os
import signal
import sys

from mydocker import cgroups
from mydocker.errors import NOT_FOUND, Error
from mydocker.lifecycle.container import Container, Containers, now
from mydocker.lifecycle.logs import Log
from mydocker.lifecycle.stdio import Foreground, Stdio
from mydocker.linux import process, syscalls, trace
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import pivot
from mydocker.rootfs.overlay import Overlay
from mydocker.sandbox import namespaces
from mydocker.sandbox.channel import Channel
from mydocker.sandbox.init import Init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import Spec


class Monitor:
    """Runs one container once."""

    def __init__(self, containers: Containers, container: Container, spec: Spec) -> None:
        self.containers = containers
        self.container = container
        self.spec = spec
        self.group = cgroups.group(container.cgroup_parent, container.id)

    def run(self, stdio: Stdio, started: Callable[[], None], sig_proxy: bool = False) -> int:
        """Start the container, stay until it has ended, and return its exit code.

        `started()` is called when the user's command runs. An error before that is raised, after
        it has been written in the record.
        """
        container = self.container
        if container.monitor_pid != os.getpid():
            container.watched_by(os.getpid())
            container.save()
        try:
            with Cleanup() as undo:
                self._run(undo, stdio, started, sig_proxy)
        except Error as error:
            self._finish(error.code, str(error))
            raise
        finally:
            if container.auto_remove:
                self.containers.discard(container)
        return container.exit_code

    def _run(
        self, undo: Cleanup, stdio: Stdio, started: Callable[[], None], sig_proxy: bool
    ) -> None:
        log = Log(f"{self.container.directory}/log.json")
        undo.push(log.close)
        self.group.create(self.spec.linux.resources)
        undo.push(self.group.remove)
        descriptors = stdio.open()
        undo.push(stdio.close)
        overlay = Overlay.in_directory(self.container.layers, self.container.directory)
        if not os.path.isdir(overlay.upper):
            overlay.create()
        door = pivot.Entrance(self.spec, overlay)
        init = Init(self.spec, door.enter, door.seal, descriptors, reaper=self.container.init)
        pid, channel = namespaces.spawn(self.spec.linux, self.group.add, init, door.prepare)
        undo.push(self._reap, pid)
        self._handshake(channel, stdio, pid)
        started()
        if stdio.foreground:
            with Foreground(stdio, pid, sig_proxy and not stdio.raw):
                stdio.pump(pid, log)
        else:
            stdio.pump(pid, log)
        _, status = os.waitpid(pid, 0)
        self.container.oom_killed = self.group.oom_kills() > 0
        self._finish(process.exit_code(status))

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


def detach(work: Callable[[Callable[[], None]], int]) -> None:
    """Run `work(started)` in a process of its own that outlives this one and its terminal.

    Two forks and a setsid(2): the first gives a child that is no group leader, setsid takes it out
    of the session, the second makes sure that it can never get a terminal again (daemon(7)).
    Returns when the container has started; an error until then is raised here.
    """
    ours, theirs = Channel.pair()
    sys.stdout.flush()
    first = os.fork()
    if first == 0:
        ours.close()
        os.setsid()
        if os.fork():
            os._exit(0)
        trace.act_as("monitor")
        _monitor(work, theirs)
    theirs.close()
    os.waitpid(first, 0)
    ours.expect("started")
    ours.close()


def _monitor(work: Callable[[Callable[[], None]], int], channel: Channel) -> None:
    null = os.open("/dev/null", os.O_RDWR)

    def started() -> None:
        for target in (0, 1, 2):  # until now errors could still be explained on the terminal
            os.dup2(null, target)
        channel.send("started")

    code = 0
    try:
        os.chdir("/")
        syscalls.set_name("mydocker-mon")
        work(started)
    except Error as error:
        code = error.code
        try:
            channel.send_error(error)
        except Error:
            pass  # it had started: the error is in the record
    finally:
        os._exit(code)


def explain_not_found(error: Error, word: str, image: str) -> Error:
    """`run WORD` where WORD is no image and no command of the default one: say both."""
    if error.code != NOT_FOUND:
        return error
    why = f"neither a local image nor a command in the image {image}"
    return Error("run", word, why, hint="mydocker images lists the images", code=NOT_FOUND)
