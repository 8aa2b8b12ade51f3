"""Where the cgroups are: the hierarchies that are mounted, and which controllers each one has.

A hierarchy is a tree of groups that some controllers account and limit by. Version 1 has many of
them side by side, each with a few controllers (cgroups(7), CGROUPS VERSION 1); version 2 has one
for all (CGROUPS VERSION 2). A machine may have both: systemd's "hybrid" layout has the controllers
on v1 and an empty v2 tree beside them. None of this has fixed names: what is mounted where
is told by /proc/self/mountinfo (proc_pid_mountinfo(5)).

A mount need not show its hierarchy from the root on. In a container, or after a bind mount, its top
is some group further down, and mountinfo's root field says which. All paths here begin at the top
*as it is seen*, so a mydocker in a container makes its groups below the container's own group.

The book's 3.2 looks for the words `rw,memory` in mountinfo; this is that idea, made to last.
"""

from __future__ import annotations

import os

from mydocker.errors import Error
from mydocker.linux import files
from mydocker.linux.mountinfo import MountEntry

CONTROLLERS = (
    "cpu cpuacct cpuset memory pids blkio devices freezer "
    "hugetlb net_cls net_prio perf_event rdma misc"
).split()
"""The controllers that a v1 hierarchy may have; its mount options list them among other words."""


class Hierarchy:
    """One mounted tree: the path of its top, its controllers, and its version, 1 or 2."""

    def __init__(self, top: str, controllers: list[str], version: int) -> None:
        self.top = top.rstrip("/")
        self.controllers = controllers
        self.version = version


def mounted() -> list[Hierarchy]:
    """All hierarchies that can be seen: the v1 ones that have a controller, and the v2 one.

    Controllers mounted together (cpu,cpuacct) are one hierarchy, whatever links lead to it.
    """
    text = files.read("/proc/self/mountinfo")
    entries = [MountEntry(line) for line in text.splitlines() if " - cgroup" in line]
    # The same tree may be mounted twice: the usual place first, then the one that shows most of it.
    entries.sort(key=lambda e: (not e.mountpoint.startswith("/sys/fs/cgroup"), len(e.root)))
    found: dict[str, Hierarchy] = {}
    for entry in entries:
        if entry.device in found or not _visible(entry):
            continue
        if entry.fstype == "cgroup2":
            controllers = files.read(f"{entry.mountpoint}/cgroup.controllers").split()
            found[entry.device] = Hierarchy(entry.mountpoint, controllers, 2)
        elif entry.fstype == "cgroup":
            controllers = [word for word in entry.super_options if word in CONTROLLERS]
            if controllers:  # a tree with a name only (name=systemd) is its owner's alone
                found[entry.device] = Hierarchy(entry.mountpoint, controllers, 1)
    return list(found.values())


def _visible(entry: MountEntry) -> bool:
    """Whether the mount point shows this very filesystem: another may be mounted over it."""
    major, _, minor = entry.device.partition(":")
    try:
        return os.stat(entry.mountpoint).st_dev == os.makedev(int(major), int(minor))
    except OSError:
        return False


def in_use() -> list[Hierarchy]:
    """The hierarchies for a container's group: those of v1, or the one of v2.

    The memory controller decides, because a controller is in one hierarchy at a time: where it is,
    the machine's limits are. In the hybrid layout that is v1, and the v2 tree is left alone: it
    could limit nothing there, and joining it costs more than all of v1 (see v1.py, `add`).
    """
    hierarchies = mounted()
    first = [h for h in hierarchies if h.version == 1]
    second = [h for h in hierarchies if h.version == 2]
    if second and (not first or "memory" in second[0].controllers):
        return second
    if first:
        return first
    raise Error(
        "cgroup",
        "/sys/fs/cgroup",
        "no cgroup hierarchy is mounted",
        hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )
