"""Remove a container and what it owns: its record, its name, its upper directory, its cgroup.

What it does not own stays: the image's layers, and the host's side of its volumes.
"""

from __future__ import annotations

import signal
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error, NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right
from mydocker.linux import process

PATIENCE = 10.0
"""Seconds to wait for a killed container and its monitor to be gone."""


def remove(containers: Containers, word: str, force: bool = False, volumes: bool = False) -> None:
    """Remove the container named by `word`; Conflict if it runs and `force` is not given.

    `volumes`: also its volumes without a name, those that no other container uses.

    One that ends or is removed by others meanwhile is no error: it is gone as was asked.
    """
    containers.sweep()
    container = put_right(containers, containers.find(word))
    if container is None:
        return
    if container.status != "exited" and container.monitored() and not force:
        why = "is being started" if container.status == "created" else f"is {container.status}"
        raise Conflict("rm", word, why, hint=f"mydocker rm -f {word} kills it first")
    end(containers, container)
    cgroups.group(container.cgroup_parent, container.id).remove()
    if volumes and container.anonymous:
        from mydocker.lifecycle.volumes import remove_anonymous

        remove_anonymous(containers, container)
    containers.discard(container)


def end(containers: Containers, container: Container) -> None:
    """SIGKILL to the first process, hence to all of its pid namespace; then wait for the monitor.

    The monitor writes down the end, and is gone when nothing of the container is left. One that
    is just starting is killed as soon as it has a process.
    """
    deadline, told = time.monotonic() + PATIENCE, 0
    while container.monitored():
        if container.pid != told and container.alive():
            told = container.pid
            process.pidfd_send_signal(container.pid, container.pid_started, signal.SIGKILL)
            group = cgroups.group(container.cgroup_parent, container.id)
            if group.frozen():  # v1 delivers a signal to a frozen process when it is thawed
                group.thaw()
        if time.monotonic() > deadline:
            raise Error("rm", container.name, "its processes do not end", hint="see ps in state D")
        time.sleep(0.005)
        try:
            container = containers.load(container.id)
        except NotFound:  # `--rm`: the monitor has removed it
            return
