"""Stop all of a container's processes where they are, and let them go on: `pause`, `unpause`.

SIGSTOP would not do: a process sees it (its parent is told), and can be made to continue by another
inside. The freezer of the control groups is not seen from inside: v1's freezer.state, v2's
cgroup.freeze (the kernel's freezer-subsystem.rst and cgroup-v2.rst).

Invariant: the processes stand still exactly while the record says `paused`. A crash between the two
steps leaves processes that stand still under a record that says `running`, which `system check`
finds (leftovers.py).
"""

from __future__ import annotations

import time

from mydocker import cgroups
from mydocker.errors import Conflict
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.start import PATIENCE, quiet


def pause(containers: Containers, word: str) -> None:
    """Stop its processes; Conflict unless it is running."""
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    with containers.changing(container) as now:
        if now.status != "running" or not now.alive():
            known = {"paused": "is paused already", "restarting": "is restarting"}
            raise Conflict("pause", word, known.get(now.status, "is not running"))
        group = cgroups.group(now.cgroup_parent, now.id)
        group.freeze()
        now.become("paused")


def unpause(containers: Containers, word: str) -> None:
    """Let them go on; Conflict unless it is paused."""
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    with containers.changing(container) as now:
        if now.status != "paused":
            raise Conflict("unpause", word, "is not paused")
        now.become("running")
        cgroups.group(now.cgroup_parent, now.id).thaw()
