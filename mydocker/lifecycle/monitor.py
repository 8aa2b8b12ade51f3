"""The monitor: the one process that stays with a container, from its start to its last trace.

It has the containerd-shim's place in the picture of the layers. `run` in the foreground is its own
monitor; `run -d` leaves one behind, which has let go of the terminal and of its parent (daemon(7)).
It makes the cgroup, starts the first process, carries its output, waits, writes down how it ended,
and takes away what it made, in the opposite order; and then once more, if the container is to start
again (`restart`, or a restart policy).

Invariant: whatever fails half-way, and however the container ends, nothing of it is left on the
host but its record and its files. The container cannot outlive its monitor: the kernel kills its
first process with it (PR_SET_PDEATHSIG), and with PID 1 the whole pid namespace.

A signal that asks to end must not come between two steps, so such signals are held back
(sigprocmask(2)), except while the container runs in front of the user: then they go to it, or end
it. What is held back waits: a Ctrl-C during the start reaches the container when there is one. In
the background they are held back for good: a container is signalled by itself (`stop`, `kill`).
One more is always held back, WAKE: it says to a monitor that waits between two lives to look at the
record, which somebody has changed.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import NOT_FOUND, Conflict, Error, KernelError, as_error, interrupt
from mydocker.lifecycle.container import Container, now
from mydocker.lifecycle.containers import Change, Containers
from mydocker.lifecycle.logoptions import open_log
from mydocker.lifecycle.stdio import Foreground, Stdio
from mydocker.linux import process, signals
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import pivot, volumes
from mydocker.rootfs.overlay import Overlay
from mydocker.sandbox import namespaces
from mydocker.sandbox.channel import Channel
from mydocker.sandbox.init import Init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.lifecycle.restart import Backoff
    from mydocker.spec import Spec

ENDING = (signals.SIGHUP, signals.SIGINT, signals.SIGTERM)
"""The signals that ask a process to end, and that are held back."""

WAKE = signals.SIGRTMIN
"""The signal that ends a monitor's pause between two lives."""


def hold_signals() -> None:
    """Hold back the signals that ask to end; children inherit that, until they execute."""
    signals.pthread_sigmask(signals.SIG_BLOCK, (*ENDING, WAKE))


class Monitor:
    """Runs one container: once, or as often as its restart policy wants."""

    def __init__(self, containers: Containers, container: Container, spec: Spec) -> None:
        self.containers = containers
        self.container = container
        self.spec = spec
        self.group = cgroups.group(container.cgroup_parent, container.id)
        self._backoff: Backoff | None = None
        self._began = self._pause = 0.0  # time.monotonic() of the last start; seconds

    def run(self, stdio: Stdio, started: Callable[[], None], sig_proxy: bool = False) -> int:
        """Start the container, stay until it has ended for good, and return its exit code.

        `started()` is called when the user's command runs. Whatever fails is raised as one Error,
        after it has been written in the record: with the container's own exit code, if that had
        come to its end and only the taking away failed.
        """
        if self.container.monitor_pid != os.getpid():
            self._take_over()
        try:
            self._live(stdio, started, sig_proxy)
            while self._again(stdio.foreground):
                self.spec = self.container.spec()  # `update` may have changed its limits
                try:
                    self._live(stdio, _nothing, sig_proxy)
                except Stopped:
                    self.container = self.containers.load(self.container.id)
            if self.container.auto_remove:
                self._discard()
        except BaseException as error:
            told = self.failed(error)
            raise told from told.__cause__
        return self.container.exit_code

    def _live(self, stdio: Stdio, started: Callable[[], None], sig_proxy: bool) -> None:
        with Cleanup() as undo:
            self._run(undo, stdio, started, sig_proxy)

    def change(self) -> Change:
        """One change of the record, which is read anew: commands change it too."""
        return self.containers.changing(self.container)

    def _take_over(self) -> None:
        """Become the process that answers for the container, in the place of the one that made us.

        If that was killed a moment ago, others may have seen nobody there, and ended the record.
        """
        with self.change() as container:
            if container.status != self.container.status:
                raise Conflict("run", container.name, "was given up, its maker was killed")
            container.watched_by(os.getpid())
        self.container = container

    def failed(self, error: BaseException) -> Error:
        """The error as ours, written down as far as that can be done."""
        told = as_error(error, "run")
        try:
            if self.container.status in ("exited", "restarting"):
                with self.change() as self.container:
                    told.code = self.container.exit_code
                    self.container.error = str(told)
                    if self.container.status == "restarting":
                        self.container.become("exited")
            else:
                self._finish(told.code, str(told), final=True)
        except Error as failed:
            told.add_note(f"and then: {failed}")
        if self.container.auto_remove:
            try:
                self.group.remove()  # or the record stays: nothing else knows of the group
                self._discard()
            except Error as failed:
                told.add_note(f"and then: {failed}")
        return told

    def _discard(self) -> None:
        """Remove the record when nobody is just changing it."""
        try:
            with self.container.lock():
                self.containers.discard(self.container)
        except KernelError as error:
            if error.errno != 2:  # it is gone
                raise

    def _run(
        self, undo: Cleanup, stdio: Stdio, started: Callable[[], None], sig_proxy: bool
    ) -> None:
        log = open_log(self.container, self.spec.process.env)
        undo.push(log.close)
        self.group.create(self.spec.linux.resources)
        undo.push(self.group.remove)
        descriptors = stdio.open(owner=self.spec.linux.host_root)
        undo.push(stdio.close)
        stdio.listen(self.container.directory)
        overlay = Overlay.in_directory(self.container.layers, self.container.directory)
        overlay.create()
        attach = self._network(undo)
        volumes.make_sources(self.spec.mounts)
        door = pivot.Entrance(self.spec, overlay)
        init = Init(self.spec, door.enter, door.seal, descriptors, reaper=self.container.init)

        def admit(pid: int) -> None:
            self.group.add(pid)
            door.take_trees()

        fork = self.group.fork
        pid, channel = namespaces.spawn(self.spec.linux, fork, admit, init, door.prepare)
        undo.push(self._reap, pid)
        attach(pid)
        self._handshake(channel, stdio, pid)
        started()
        self._watch_health(undo, stdio)
        if stdio.foreground:
            with Foreground(stdio, pid, sig_proxy and not stdio.raw), Heard():
                stdio.pump(pid, log)
        else:
            stdio.pump(pid, log)
        _, status = os.waitpid(pid, 0)
        oom_killed = self.group.oom_kills() > 0
        log.flush()  # who sees that it has ended may read its last line
        self._finish(process.exit_code(status), log.trouble, oom_killed)
        stdio.farewell(self.container.exit_code)

    def _watch_health(self, undo: Cleanup, stdio: Stdio) -> None:
        stdio.chores = []
        if self.container.healthcheck.test:
            from mydocker.lifecycle.health import HealthWatch

            watch = HealthWatch(self)
            undo.push(watch.close)
            stdio.chores.append(watch)

    def _network(self, undo: Cleanup) -> Callable[[int], None]:
        """Its place in its networks; what is left to do for that when it has a process."""
        undo.push(self._leave)
        if not os.path.exists(f"{self.container.directory}/network.json"):
            return lambda pid: None
        from mydocker.lifecycle.networking import Connection

        return Connection(self.containers.root, self.container, self.spec).prepare(undo)

    def _leave(self) -> None:
        """Leave the networks that it was connected to, at the start or later."""
        if os.path.exists(f"{self.container.directory}/network.json"):
            from mydocker.lifecycle import networking

            networking.release(self.containers.root, self.container)

    def _handshake(self, channel: Channel, stdio: Stdio, pid: int) -> None:
        """Let PID 1 build its world, record it as running, and let it execute."""
        channel.send("go")
        if self.spec.process.terminal:
            stdio.console(channel.expect("console")["fd"])
        channel.expect("ready")
        with self.change() as container:
            if container.status == "exited":
                raise Stopped("run", container.name, "was stopped before it was started again")
            container.pid, container.pid_started = pid, process.start_time(pid)
            container.started_at, container.finished_at = now(), ""
            container.oom_killed, container.restart_asked = False, False
            container.health = "starting" if container.healthcheck.test else ""
            container.health_streak, container.health_log = 0, []
            container.become("running")
        self.container = container
        self._began = time.monotonic()
        channel.send("exec")
        channel.receive()  # closed by a successful execve; an error is raised here
        channel.close()
        stdio.started()

    def _finish(self, code: int, error: str = "", oom: bool = False, final: bool = False) -> None:
        """Write down how it ended, and whether this was its last life."""
        with self.change() as container:
            container.exit_code, container.error, container.finished_at = code, error, now()
            container.pid, container.oom_killed = 0, oom
            again = not final and self._wanted_again(container)
            container.become("restarting" if again else "exited")
        self.container = container

    def _wanted_again(self, container: Container) -> bool:
        if container.restart_asked:  # by `restart`
            self._pause = 0.0
            return True
        if container.restart_policy == "no" or container.stopped_by_hand:
            return False
        from mydocker.lifecycle import restart

        done, most = container.restart_count, container.restart_most
        if not restart.wanted(container.restart_policy, most, done, container.exit_code):
            return False
        self._backoff = self._backoff or restart.Backoff()
        self._pause = self._backoff.after(time.monotonic() - self._began)
        container.restart_count += 1
        return True

    def _again(self, foreground: bool) -> bool:
        """Wait for the container's next life; False if this was the last one."""
        deadline = time.monotonic() + self._pause
        while self.container.status == "restarting":
            left = deadline - time.monotonic()
            if left <= 0 or self.container.restart_asked:
                return True
            woken = signals.sigtimedwait((*ENDING, WAKE) if foreground else (WAKE,), left)
            self.container = self.containers.load(self.container.id)
            if woken and woken.si_signo != WAKE:
                Heard().end(woken.si_signo)
        return False

    def _reap(self, pid: int) -> None:
        """End the first process if it still lives, and with it all others of its namespace."""
        try:
            os.kill(pid, signals.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class Stopped(Error):
    """Somebody has stopped the container while it was on its way into its next life."""


class Heard:
    """Inside a `with` the signals that ask to end are heard: those that nobody has a handler for,
    such as the container's (`--sig-proxy`), end what is going on, with all that belongs to it."""

    def __init__(self, what: str = "run", why: str = "the container was ended with mydocker"):
        self._what = what
        self._why = why

    def __enter__(self) -> None:
        for number in ENDING:
            if signals.getsignal(number) in (signals.SIG_DFL, interrupt):
                signals.signal(number, self.end)
        signals.pthread_sigmask(signals.SIG_UNBLOCK, ENDING)

    def __exit__(self, *_: object) -> None:
        hold_signals()

    def end(self, number: int, _frame: object = None) -> None:
        """Raise the Error that such a signal is."""
        hold_signals()
        raise Error(self._what, signals.name_of(number), self._why, code=128 + number)


def _nothing() -> None:
    pass


def explain_not_found(error: Error, word: str, image: str) -> Error:
    """`run WORD` where WORD is no image and no command of the default one: say both."""
    if error.code != NOT_FOUND or not word or error.obj != word:
        return error
    why = f"neither a local image nor a command in the image {image}"
    return Error("run", word, why, hint="mydocker images lists the images", code=NOT_FOUND)
