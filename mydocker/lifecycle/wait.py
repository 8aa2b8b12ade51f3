"""Wait for the end of a container and tell its exit code: `wait`."""

from __future__ import annotations

import time

from mydocker.errors import NotFound
from mydocker.lifecycle import events, state
from mydocker.lifecycle.container import LOST
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right, real
from mydocker.linux import process


def wait(containers: Containers, word: str) -> int:
    """The exit code, when this life of the container is over; at once if it does not run.

    That of a container which was removed at its end is taken from the events.
    """
    container = real(containers, word)
    while container.status in state.UP or container.unfinished():
        process.wait_for(container.pid, container.pid_started, None)
        try:
            now = put_right(containers, containers.load(container.id))
        except NotFound:
            now = None
        if now is None:
            return events.exit_code(containers.root, container.id, LOST)
        if container.status in state.UP and now.started_at != container.started_at:
            return now.exit_code
        if now.status == "restarting" and container.status != "restarting":
            return now.exit_code
        container = now
        time.sleep(0.005)
    return container.exit_code
