"""Bring a container that was created, or that has ended, to life (again): `start`.

What it changed of its files is still there, in its upper directory; its process, its namespaces and
its cgroup are made anew, from the same spec.

Invariant: of many who start one container at once exactly one does; the others find it started.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import Conflict, Error
from mydocker.lifecycle import state
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.monitor import Monitor, hold_signals
from mydocker.lifecycle.repair import real, remove_group
from mydocker.lifecycle.run import launch
from mydocker.lifecycle.stdio import Stdio, check_terminal

PATIENCE = 20.0
"""Seconds to wait for others to bring a change of this container to its end."""

REFUSED = {
    "paused": ("is paused", "mydocker unpause {}"),
    "dead": ("could not be removed whole, and cannot be started", "mydocker rm {}"),
}


def start(containers: Containers, word: str) -> None:
    """Start it in the background; one that runs already is no error."""
    container = claim(containers, word)
    if container:
        stdio = Stdio(container.tty, container.open_stdin, foreground=False)
        launch(Monitor(containers, container, container.spec()), stdio)


def start_attached(containers: Containers, word: str, stdin: bool, sig_proxy: bool = True) -> int:
    """Start it in front of the user, as `run` does, and return its exit code."""
    container = real(containers, word)
    stdin = stdin and container.open_stdin
    check_terminal(container.tty, stdin)
    claimed = claim(containers, word)
    if claimed is None:
        raise Conflict("start", word, "runs already", hint=f"mydocker attach {word}")
    stdio = Stdio(claimed.tty, stdin, foreground=True)
    return launch(Monitor(containers, claimed, claimed.spec()), stdio, sig_proxy)


def claim(containers: Containers, word: str) -> Container | None:
    """Make this process the one that answers for the container; None if it runs already."""
    hold_signals()
    deadline = time.monotonic() + PATIENCE
    while True:
        found = quiet(containers, word, deadline)
        if found.status in REFUSED:
            why, hint = REFUSED[found.status]
            raise Conflict("start", word, why, hint=hint.format(word))
        if found.status in state.UP:
            return None
        with containers.changing(found) as container:
            if container.monitored() or container.status not in ("created", "exited"):
                continue  # another was quicker
            group = cgroups.group(container.cgroup_parent, container.id)
            if any(map(os.path.isdir, group.directories())):  # left by a monitor that was killed
                remove_group(container.cgroup_parent, container.id)
            if container.status == "exited":
                container.become("created")
            container.watched_by(os.getpid())
            container.stopped_by_hand = container.restart_asked = False
            container.restart_count = container.exit_code = 0
            container.error = ""
            return container


def quiet(containers: Containers, word: str, deadline: float) -> Container:
    """The container when nobody is just starting it or taking it down."""
    while True:
        container = real(containers, word)
        if container.status in state.UP or not container.monitored():
            return container
        if time.monotonic() > deadline:
            why = "is being started" if container.status == "created" else "is being taken down"
            raise Error("container", word, f"{why}, and that does not end")
        time.sleep(0.005)
