"""Control groups: how much of the machine a container may use (cgroups(7); the book's 3.2).

`group(parent, name)` is one container's group, on whatever version of cgroups the machine has::

    group = cgroups.group("/mydocker", container_id)
    group.create(Resources(memory=100 << 20, cpu_shares=256))
    pid = group.fork()              # the child calls group.add(0), then runs the user's code
    …
    group.oom_kills()               # did the kernel kill for want of memory?
    group.remove()

hierarchies.py finds what is mounted, face.py is the face that both versions share, v1.py and v2.py
are the two versions, tree.py makes and removes directories, convert.py translates between the
versions' units, and sizes.py reads the values of the command line's flags.
"""

from __future__ import annotations

import os

from mydocker.cgroups import hierarchies, tree
from mydocker.cgroups.face import Cgroup, Statistics
from mydocker.errors import Usage

__all__ = ["Cgroup", "Statistics", "group", "idle_parents", "leftovers", "limit_files", "prune"]


def group(parent: str, name: str) -> Cgroup:
    """The group `name` below `parent`, which begins at the top of each mounted hierarchy.

    Only names it: nothing is made or read in it. Raises Usage for a name or parent that would lead
    elsewhere, Error where no cgroup hierarchy is mounted.
    """
    path = f"{_normal(parent)}/{name}"
    if name in ("", ".", "..") or "/" in name or "\n" in path:
        raise Usage("cgroup", name, "not the name of a cgroup")
    used = hierarchies.in_use()
    if used[0].version == 2:
        from mydocker.cgroups.v2 import V2

        return V2(path, used)
    from mydocker.cgroups.v1 import V1

    return V1(path, used)


def _normal(parent: str) -> str:
    parts = [part for part in parent.split("/") if part not in ("", ".")]
    if ".." in parts or "\n" in parent:
        raise Usage("--cgroup-parent", parent, "leads out of the cgroup hierarchy")
    return "".join(f"/{part}" for part in parts)


def leftovers(parent: str) -> list[str]:
    """The names of all groups directly below the parent, in whichever hierarchies they are."""
    found: set[str] = set()
    for hierarchy in hierarchies.mounted():
        directory = hierarchy.top + _normal(parent)
        found.update(os.path.basename(path) for path in tree.children(directory))
    return sorted(found)


def idle_parents(parent: str) -> list[str]:
    """The parent's directories that are empty: a mydocker was stopped before it removed them."""
    tops = [hierarchy.top for hierarchy in hierarchies.mounted()]
    return [top + _normal(parent) for top in tops if tree.idle(top + _normal(parent))]


def prune(parent: str) -> None:
    """Remove the parent, and what is above it, wherever it is ours and empty."""
    for hierarchy in hierarchies.mounted():
        tree.remove_parents(hierarchy.top, f"{_normal(parent)}/none")


def limit_files(parent: str, name: str) -> list[str]:
    """The paths of the files that hold a group's limits, for `inspect` and for a curious reader."""
    return group(parent, name).limit_files()
