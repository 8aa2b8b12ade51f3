"""What a container uses, measured: processor, memory, network, disks, processes.

The kernel counts for us. Its control group knows processor time, memory, block io and processes
(cgroups(7); cgroups/face.py); the network namespace knows the bytes of its interfaces, which any
process in it shows as /proc/PID/net/dev (proc_pid_net(5)). Most are sums since the start, so how
fast something is used takes two looks.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.cgroups import Statistics
from mydocker.errors import KernelError
from mydocker.lifecycle.container import Container
from mydocker.linux import files
from mydocker.spec import Struct


class Sample(Struct):
    """One look at a container: when (nanoseconds), what its group counted, bytes in and out."""

    time: int = 0
    group: Statistics = Statistics()
    received: int = 0
    sent: int = 0


def sample(container: Container) -> Sample:
    """Look now; zeros for a container that does not run."""
    found = Sample(time=time.monotonic_ns())
    if container.alive():
        found.group = cgroups.group(container.cgroup_parent, container.id).statistics()
        found.received, found.sent = network(container.pid)
        if not container.alive():  # the pid may be another's by now
            found.received = found.sent = 0
    return found


def cpu_percent(before: Sample, after: Sample) -> float:
    """How much of one processor it used between two looks: 200 is two of them, all the time."""
    span = after.time - before.time
    used = after.group.cpu_nanoseconds - before.group.cpu_nanoseconds
    return 100 * max(0, used) / span if span > 0 else 0.0


def memory_limit(found: Sample) -> int:
    """The most memory it can have: its limit, or all that the machine has."""
    limit, total = found.group.memory_limit, memory_total()
    return limit if 0 < limit < total else total


def memory_total() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by the interfaces of a process's network namespace, without lo.

    Nothing where that is the host's: it would be the host's own traffic.
    """
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return 0, 0
        return interfaces(files.read(f"/proc/{pid}/net/dev"))
    except (OSError, KernelError):  # it has ended meanwhile
        return 0, 0


def interfaces(text: str) -> tuple[int, int]:
    """The sums of a /proc/PID/net/dev: two lines of heading, then `name: received … sent …`."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            columns = numbers.split()
            received, sent = received + int(columns[0]), sent + int(columns[8])
    return received, sent
