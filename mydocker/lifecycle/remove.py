"""Remove a container and what it owns: its record, its name, its upper directory, its cgroup.

What it does not own stays: the image's layers, and the host's side of its volumes.

Invariant: nobody can start a container that is being removed: the record is locked from the last
look at it until it is gone.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error, KernelError, NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right
from mydocker.lifecycle.stop import mark, send

PATIENCE = 10.0
"""Seconds to wait for a killed container and its monitor to be gone."""


def remove(containers: Containers, word: str, force: bool = False, volumes: bool = False) -> None:
    """Remove the container named by `word`; Conflict if it runs and `force` is not given.

    `volumes`: also its volumes without a name, those that no other container uses.

    One that ends or is removed by others meanwhile is no error: it is gone as was asked.
    """
    containers.sweep()
    container = put_right(containers, containers.find(word))
    while container is not None:
        if container.status not in ("exited", "dead") and container.monitored() and not force:
            why = "is being started" if container.status == "created" else f"is {container.status}"
            raise Conflict("rm", word, why, hint=f"mydocker rm -f {word} kills it first")
        end(containers, container)
        if _discard(containers, container, volumes):
            return
        try:
            container = put_right(containers, containers.load(container.id))
        except NotFound:
            return


def _discard(containers: Containers, container: Container, volumes: bool) -> bool:
    """Remove one that nobody answers for; False if somebody was quicker and has started it."""
    try:
        with container.lock():
            now = containers.load(container.id)
            if now.monitored():
                return False
            _take_away(containers, now, volumes)
    except NotFound:
        return True
    except KernelError:
        if os.path.isdir(container.directory):
            raise
    return True


def _take_away(containers: Containers, container: Container, volumes: bool) -> None:
    """What cannot be taken away whole is dead: it is there, but cannot be started any more."""
    try:
        cgroups.group(container.cgroup_parent, container.id).remove()
        if volumes and container.anonymous:
            from mydocker.lifecycle.volumes import remove_anonymous

            remove_anonymous(containers, container)
        containers.discard(container)
    except Error as error:
        if os.path.isdir(container.directory):
            if container.status in ("created", "exited"):
                container.become("dead")
            container.error = str(error)
            container.save()
        raise


def end(containers: Containers, container: Container) -> None:
    """SIGKILL to the first process, hence to all of its pid namespace; then wait for the monitor.

    The monitor writes down the end, and is gone when nothing of the container is left. One that
    is just starting is killed as soon as it has a process; one between two lives gets no other.
    """
    deadline, told = time.monotonic() + PATIENCE, 0
    while container.monitored():
        if container.status == "restarting" or (container.pid != told and container.alive()):
            container, told = mark(containers, container), container.pid
            send(containers, container, "SIGKILL")
        if time.monotonic() > deadline:
            raise Error("rm", container.name, "its processes do not end", hint="see ps in state D")
        time.sleep(0.005)
        try:
            container = containers.load(container.id)
        except NotFound:  # `--rm`: the monitor has removed it
            return
