"""End a container: ask it to (`stop`), make it (`kill`), or end it and start it again (`restart`).

A program asks for time to end in order: so `stop` sends the stop signal, waits, and sends SIGKILL
only then. PID 1 does not hear a signal that it has no handler for, not even SIGTERM
(pid_namespaces(7)): a shell as PID 1 runs into the SIGKILL each time. `--init` is for that.

Invariant: the command returns when the end has been written down, by the monitor or, if that is
gone, by us; and a container that was stopped by hand is not started by its restart policy.
"""

from __future__ import annotations

import signal
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error, NotFound
from mydocker.lifecycle import events, state
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.monitor import WAKE
from mydocker.lifecycle.repair import put_right
from mydocker.lifecycle.start import PATIENCE, quiet, start
from mydocker.linux import process

RUNNING = ("running", "paused")


def stop(
    containers: Containers, word: str, timeout: int | None = None, by: str | None = None
) -> str:
    """Ask it to end, and kill it after `timeout` seconds (-1: never).

    What is worth telling is returned: that it had to be killed. One that does not run is no error.
    """
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    if container.status in state.UP:
        container = mark(containers, container)
    if container.status not in RUNNING:
        wait_for_monitor(container)
        return ""
    seconds = container.stop_timeout if timeout is None else timeout
    told = end(containers, container, by or container.stop_signal, seconds)
    events.container(containers.root, "stop", container)
    return told


def mark(containers: Containers, container: Container, again: bool = False) -> Container:
    """Say in the record that this end is wanted; one that waits for its next life ends here."""
    try:
        with containers.changing(container) as changed:
            changed.stopped_by_hand, changed.restart_asked = not again, again
            if changed.status == "restarting" and not again:
                changed.become("exited")
    except NotFound:  # it has ended, and was to be removed
        container.status = "exited"
        return container
    if changed.monitored():
        process.pidfd_send_signal(changed.monitor_pid, changed.monitor_started, WAKE)
    return changed


def end(containers: Containers, container: Container, name: str, seconds: int) -> str:
    """Send the signal, wait so long for its end, then SIGKILL; returns when its end is recorded."""
    send(containers, container, name)
    patience, told = None if seconds < 0 else float(seconds), ""
    if not process.wait_for(container.pid, container.pid_started, patience):
        send(containers, container, "SIGKILL")
        told = f"did not end on {name} in {seconds} s, and was killed" if seconds else ""
    deadline = time.monotonic() + PATIENCE
    while not process.wait_for(container.pid, container.pid_started, 0.2):
        thaw(containers, container)  # others may have paused it meanwhile
        if time.monotonic() > deadline:
            raise Error("stop", container.name, "does not end", hint="see ps in state D")
    wait_for_end(containers, container)
    return told


def send(containers: Containers, container: Container, name: str) -> None:
    """One signal to its first process, and the event; a frozen one goes on, to hear it."""
    number = getattr(signal, name)
    if process.pidfd_send_signal(container.pid, container.pid_started, number):
        events.container(containers.root, "kill", container, signal=str(int(number)))
        thaw(containers, container)


def thaw(containers: Containers, container: Container) -> None:
    """Let its processes go on, if they are stopped; a `commit` that stopped them is waited for."""
    group = cgroups.group(container.cgroup_parent, container.id)
    if not group.frozen():
        return
    try:
        with containers.changing(container) as changed:
            if group.frozen():
                group.thaw()
            if changed.status == "paused":
                changed.become("running")
    except NotFound:
        pass


def wait_for_end(containers: Containers, container: Container) -> None:
    """Wait until somebody has written down the end of this life of the container."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            now = containers.load(container.id)
        except NotFound:  # it was to be removed at its end
            wait_for_monitor(container)
            return
        if (now.pid, now.pid_started) != (container.pid, container.pid_started):
            break
        if not now.monitored():
            put_right(containers, now)
            return
        if time.monotonic() > deadline:
            raise Error("stop", container.name, "has ended, but its monitor does not notice")
        time.sleep(0.002)
    if now.status == "exited":
        wait_for_monitor(now)


def wait_for_monitor(container: Container) -> None:
    """Wait, not for ever, until its monitor has taken away what it made."""
    if container.monitored():
        process.wait_for(container.monitor_pid, container.monitor_started, 2.0)


def kill(containers: Containers, word: str, name: str = "SIGKILL") -> None:
    """Send a signal to a container that runs; with SIGKILL, wait for its end."""
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    if container.status not in state.UP:
        raise Conflict("kill", word, "is not running")
    if name in ("SIGKILL", container.stop_signal):
        container = mark(containers, container)
    if name == "SIGKILL" and container.status in RUNNING:
        end(containers, container, name, int(PATIENCE))
    elif container.status in RUNNING:
        send(containers, container, name)


def restart(
    containers: Containers, word: str, timeout: int | None = None, by: str | None = None
) -> str:
    """End it as `stop` does, and start it again; its own monitor does that, if it runs.

    So it may be a container that is removed at its end, or one that runs in front of somebody.
    """
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    told = ""
    if container.status in state.UP:
        container = mark(containers, container, again=True)
    if container.status in RUNNING:
        seconds = container.stop_timeout if timeout is None else timeout
        told = end(containers, container, by or container.stop_signal, seconds)
    if container.status in state.UP:
        wait_for_start(containers, container)
    else:
        start(containers, word)
    events.container(containers.root, "restart", container)
    return told


def wait_for_start(containers: Containers, container: Container) -> None:
    """Wait until its monitor has started it again; Error with the reason if it could not."""
    deadline, over = time.monotonic() + PATIENCE, False
    while True:
        try:
            now = containers.load(container.id)
        except NotFound:
            raise Error("restart", container.name, "was removed meanwhile") from None
        if now.started_at != container.started_at:
            return
        if now.status == "exited" or over or time.monotonic() > deadline:
            raise Error("restart", container.name, now.error or "was stopped meanwhile")
        over = not now.monitored()  # what it wrote last is read once more
        time.sleep(0.005)
