"""Controllers handed down: what a group of cgroup v2 needs from every level above it.

In version 2 a group's children have a controller only if the group hands it down: each level from
the top to the parent must list it in `cgroup.subtree_control` (cgroup-v2.rst in the kernel's
Documentation/admin-guide, "Enabling and Disabling"). And a group that hands controllers down may
not have processes of its own, which would compete with whole groups of others ("No Internal Process
Constraint"). Only the root of the whole hierarchy may.

A mydocker in a container sees as its top a group that is not that root, with itself in it. What
runs there has to move into a leaf first, as it does in Docker's own Docker-in-Docker image.
"""

from __future__ import annotations

from errno import EBUSY, ESRCH

from mydocker.errors import KernelError
from mydocker.linux import files

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
ATTEMPTS = 10
HINT = "on cgroup v2 a group with processes of its own cannot be a parent: see --cgroup-parent"


def hand_down(directory: str, top: str) -> None:
    """Give the children of a group the controllers that it has itself (cgroup.subtree_control)."""
    has = files.read(f"{directory}/cgroup.controllers").split()
    given = files.read(f"{directory}/cgroup.subtree_control").split()
    missing = [f"+{name}" for name in CONTROLLERS if name in has and name not in given]
    attempts = ATTEMPTS if directory == top else 1
    while missing:
        try:
            files.write(f"{directory}/cgroup.subtree_control", " ".join(missing))
            return
        except KernelError as error:
            attempts -= 1  # one that we moved may have forked just before: look again
            if error.errno != EBUSY:
                raise
            if not attempts:
                raise KernelError("enable controllers", directory, EBUSY, hint=HINT) from None
        move_into_leaf(directory)


def move_into_leaf(top: str) -> None:
    """Move the processes of the top group, ourselves among them, into a group `init` below it."""
    files.makedirs(f"{top}/init", 0o755)
    for pid in files.read(f"{top}/cgroup.procs").split():
        try:
            files.write(f"{top}/init/cgroup.procs", pid)
        except KernelError as error:
            if error.errno != ESRCH:  # gone meanwhile
                raise
