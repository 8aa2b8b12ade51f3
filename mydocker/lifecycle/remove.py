"""Remove a container and what it owns: its record, its name, its upper directory, its cgroup.

What it does not own stays: the image's layers, and the host's side of its volumes.
"""

from __future__ import annotations

import signal
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error
from mydocker.lifecycle.container import Container, Containers
from mydocker.lifecycle.repair import put_right
from mydocker.linux import process


def remove(containers: Containers, word: str, force: bool = False) -> None:
    """Remove the container named by `word`; Conflict if it runs and `force` is not given."""
    container = put_right(containers, containers.find(word))
    if container is None:
        return
    if container.status in ("running", "paused", "restarting") or container.monitored():
        if not force:
            why = f"is {container.status}"
            raise Conflict("rm", word, why, hint=f"mydocker rm -f {word} kills it first")
        kill(container)
    cgroups.group(container.cgroup_parent, container.id).remove()
    containers.discard(container)


def kill(container: Container) -> None:
    """SIGKILL to the first process, hence to all of its pid namespace; then wait for the monitor.

    The monitor writes down the end, and is gone when nothing of the container is left.
    """
    if container.status == "paused":
        cgroups.group(container.cgroup_parent, container.id).thaw()
    process.pidfd_send_signal(container.pid, container.pid_started, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while container.alive() or container.monitored():
        if time.monotonic() > deadline:
            raise Error("rm", container.name, "its processes do not end", hint="see ps in state D")
        time.sleep(0.005)
