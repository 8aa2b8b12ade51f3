"""A second command in a container that runs (the book's 5.4).

How it gets in is sandbox/join.py, who waits for its end is keeper.py; here is what it gets. That is
what the container's own command has (user, variables, directory, rights, limits), except what the
caller asks to be otherwise, and nothing of the caller's: its streams are pipes, or a terminal of
the container's, as they are for `run`.

Invariant: the command ends with its container or before it, and with the mydocker that runs it in
front of the user. A container that does not run is refused by name; one that comes to its end
meanwhile is told as just that, whatever step it made fail.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import RUNTIME_FAILED, Conflict, Error, NotFound, interrupt
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.keeper import Keeper
from mydocker.lifecycle.repair import put_right
from mydocker.lifecycle.stdio import Foreground, Stdio
from mydocker.linux import files, process, signals, syscalls
from mydocker.linux.cleanup import Cleanup
from mydocker.sandbox import join
from mydocker.spec import Struct, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.lifecycle.container import Container
    from mydocker.sandbox.channel import Channel
    from mydocker.spec import Process, Spec

ENDING = (signals.SIGHUP, signals.SIGINT, signals.SIGTERM)
"""The signals that ask a process to end: held back, except while the command runs."""

UNDER_US = ("container", "fork", "setns")
"""What fails when the container ends in the middle of a start: words of Error.what."""


class Request(Struct):
    """The flags of `mydocker exec`, one field each; None means that the flag was not given."""

    detach: bool = False
    interactive: bool = False
    tty: bool = False
    env: list[str] = []
    env_file: list[str] = []
    workdir: str | None = None
    user: str | None = None
    privileged: bool = False


def execute(root: str, word: str, words: list[str], asked: Request) -> int:
    """Run `words` in the container called `word`; the exit code, or 0 once it runs (`-d`)."""
    if asked.tty and asked.interactive and not asked.detach and not os.isatty(0):
        hint = "use -i without -t in a pipe"
        raise Error("exec", "stdin", "is not a terminal", hint=hint, code=1)
    entry = Entry(running(Containers(root), word), words, asked)
    signals.pthread_sigmask(signals.SIG_BLOCK, ENDING)
    try:
        if not asked.detach:
            return entry.attended(asked.interactive)
        from mydocker.lifecycle.detach import detach

        detach(entry.alone)
        return 0
    except Error as error:
        raise entry.explained(error) from None


def running(containers: Containers, word: str) -> Container:
    """The container of that name, which must be one that runs."""
    container = put_right(containers, containers.find(word))
    if container is None:
        raise NotFound("container", word, "no such container")
    if container.status != "running":
        verb = "unpause" if container.status == "paused" else "start"
        why = f"is {container.status}, a command needs one that runs"
        raise Conflict("exec", word, why, hint=f"mydocker {verb} {word}")
    return container


def describe(spec: Spec, words: list[str], asked: Request) -> Process:
    """The container's own process, with another command, and what the caller wants otherwise."""
    wanted = spec.process
    wanted.args, wanted.terminal = words, asked.tty
    wanted.oom_score_adj = None  # that of the first process as it is now (join.py)
    wanted.cwd = asked.workdir or wanted.cwd
    wanted.user = User(username=asked.user) if asked.user is not None else wanted.user
    if asked.tty or asked.env or asked.env_file:
        from mydocker.lifecycle.options import with_variables

        base = ["TERM=xterm"] * asked.tty + wanted.env
        wanted.env = with_variables(base, asked.env_file, asked.env)
    if asked.privileged:
        from mydocker.linux import capabilities

        every, rights = capabilities.choose([], [], privileged=True), wanted.capabilities
        rights.bounding = rights.effective = rights.permitted = every
    return wanted


class Entry:
    """One command on its way into one container."""

    def __init__(self, container: Container, words: list[str], asked: Request) -> None:
        self.container = container
        try:
            self.spec = container.spec()
        except NotFound:  # it has been removed since its record was read
            raise self.ended() from None
        self.process = describe(self.spec, words, asked)
        self.group = cgroups.group(container.cgroup_parent, container.id)

    def enter(self, streams: tuple[int, int, int] | None) -> tuple[int, Channel]:
        """Start it as a child of this process, up to where it waits for `handshake`."""
        container, main = self.container, join.Joined(self.process, streams)
        pidfd = process.pidfd_open(container.pid, container.pid_started)
        if pidfd < 0:
            raise self.ended()
        try:
            linux, group = self.spec.linux, self.place()
            return join.enter(container.pid, pidfd, linux, group.fork, group.add, main)
        finally:
            os.close(pidfd)

    def place(self) -> cgroups.Cgroup:
        """The cgroup to join: the container's, or where its first process is below that.

        On v2 a group that hands controllers down holds no process (cgroup-v2.rst, "No Internal
        Process Constraint"), so who manages groups of its own has left the container's.
        """
        if self.group.hierarchies[0].version == 2:
            for line in files.read(f"/proc/{self.container.pid}/cgroup").splitlines():
                path = line.removeprefix("0::")
                if path.startswith(f"{self.group.path}/"):
                    return cgroups.group(*path.rsplit("/", 1))
        return self.group

    def handshake(self, channel: Channel, console: Callable[[int], None] = os.close) -> None:
        """Let it become the user's command; what keeps it from that is raised here.

        `console` takes the master of its terminal, before the command could look at that.
        """
        try:
            channel.send("go")
            if self.process.terminal:
                console(channel.expect("console")["fd"])
            channel.expect("ready")
            channel.send("exec")
            channel.receive()  # closed by a successful execve; an error is raised here
        finally:
            channel.close()

    def explained(self, error: Error) -> Error:
        """The error, or that the container came to its end, which is why.

        To be asked when nothing of the command is left: its first process is the last to go, after
        all others have been killed and reaped.
        """
        patience = 20 if error.what in UNDER_US else 0
        while error.code == RUNTIME_FAILED and not isinstance(error, Conflict):
            if not self.container.alive():
                return self.ended()
            if not patience:
                break
            patience -= 1
            time.sleep(0.01)
        if error.what == "container":  # the channel was closed, without a word
            return Error("exec", self.container.name, "the process that starts it was killed")
        return error

    def ended(self) -> Error:
        """The container was there when we looked, and is no more."""
        return Conflict("exec", self.container.name, "has just ended")

    def attended(self, interactive: bool) -> int:
        """Run it in front of the user, until it ends; its exit code."""
        stdio = Stdio(self.process.terminal, interactive, foreground=True)
        with Cleanup() as undo:
            streams = stdio.open(self.spec.linux.host_root)
            undo.push(stdio.close)
            keeper = Keeper()
            undo.push(keeper.end)
            pid, channel = keeper.start(lambda: self.enter(streams))
            self.handshake(channel, stdio.console)
            stdio.started()
            with Foreground(stdio, pid, proxy=not stdio.raw), Heard():
                stdio.pump(keeper.pid, Unlogged())  # type: ignore[arg-type]  # all it does is write
            return keeper.wait()

    def alone(self, started: Callable[[], None]) -> int:
        """Run it with nobody to read what it writes (`-d`): we are the detached process."""
        stdio = Stdio(self.process.terminal, interactive=False, foreground=False)
        syscalls.set_name("mydocker-exec")
        with Cleanup() as undo:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            pid, channel = self.enter(None if stdio.terminal else (null, null, null))
            undo.push(process.reap, pid)
            self.handshake(channel, stdio.console)
            started()
            if stdio.terminal:
                stdio.pump(pid, Unlogged())  # type: ignore[arg-type]
            else:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return 0


class Unlogged:
    """What the command writes is for who asked for it, and not for the container's log."""

    def write(self, stream: str, data: bytes) -> None:
        """Leave it."""


class Heard:
    """Inside a `with` the signals that ask to end are heard: those that the command does not get
    (its terminal is in front of us, raw) end what is going on, and the command with it."""

    def __enter__(self) -> None:
        for number in ENDING:
            if signals.getsignal(number) in (signals.SIG_DFL, interrupt):
                signals.signal(number, _end)
        signals.pthread_sigmask(signals.SIG_UNBLOCK, ENDING)

    def __exit__(self, *_: object) -> None:
        signals.pthread_sigmask(signals.SIG_BLOCK, ENDING)


def _end(number: int, _frame: object) -> None:
    signals.pthread_sigmask(signals.SIG_BLOCK, ENDING)
    name = signals.name_of(number)
    raise Error("exec", name, "the command was ended with mydocker", code=128 + number)
