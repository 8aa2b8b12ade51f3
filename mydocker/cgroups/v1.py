"""Control groups, version 1: a tree for each controller.

The kernel began with a hierarchy per controller, or per few of them, so a container's group is one
directory in each, under the same path, and the process joins them one by one. It is what the book's
3.2 shows. The kernel's Documentation/admin-guide/cgroup-v1/ has a page for each controller, whose
name begins the names of its files: memory.limit_in_bytes (memory.rst), cpu.shares, cpuset.cpus
(cpusets.rst), pids.max (pids.rst), blkio.throttle.* (blkio-controller.rst), devices.allow
(devices.rst), freezer.state (freezer-subsystem.rst).

Invariant: the group exists in every hierarchy or in none, and is joined in all of them.
"""

from __future__ import annotations

import os

from mydocker.cgroups import convert, tree
from mydocker.cgroups.face import Cgroup, Statistics
from mydocker.errors import Error
from mydocker.linux import files
from mydocker.linux.cleanup import Cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.cgroups.face import Limit
    from mydocker.spec import Resources

MEMSW = "memory.memsw.limit_in_bytes"
SOFT = "memory.soft_limit_in_bytes"
FILES = {
    "cpu_shares": "cpu.shares",
    "cpu_period": "cpu.cfs_period_us",
    "cpu_quota": "cpu.cfs_quota_us",
    "cpuset_cpus": "cpuset.cpus",
    "cpuset_mems": "cpuset.mems",
}
RATES = ("read_bps", "write_bps", "read_iops", "write_iops")


class V1(Cgroup):
    """One container's directories in the hierarchies of cgroup v1."""

    LIMITS = (
        *("memory.limit_in_bytes", MEMSW, SOFT, *FILES.values(), "pids.max", "devices.list"),
        *("blkio.weight", "blkio.bfq.weight", *(f"blkio.throttle.{rate}_device" for rate in RATES)),
    )

    def create(self, resources: Resources) -> None:
        convert.check(resources)
        with Cleanup() as undo:
            for hierarchy in self.hierarchies:
                tree.make(hierarchy.top, self.path, inherit_cpuset)
                undo.push(tree.remove, hierarchy.top, self.path)
                inherit_cpuset(hierarchy.top + self.path)
            for name, text in [*self.limits(resources), *device_rules(resources.devices)]:
                self.write(name, text)
            undo.keep()

    def update(self, resources: Resources) -> None:
        convert.check(resources, self.number("memory.limit_in_bytes"))
        self.change(self.limits(resources))

    def add(self, pid: int) -> None:
        # Whoever moves another process must hold the whole machine's forks and exits, and waits for
        # that: an RCU grace period, 5 to 20 ms. A thread that moves itself need not (see
        # cgroup_procs_write_start in kernel/cgroup/cgroup.c): `tasks` takes threads, 0 is the
        # writer, and a process that was just forked has no other thread.
        name = "cgroup.procs" if pid else "tasks"
        for directory in self.directories():
            files.write(f"{directory}/{name}", str(pid))

    def limits(self, wanted: Resources) -> Iterator[Limit]:
        """What to write where, in the order in which the kernel accepts it."""
        if wanted.memory or wanted.memory_swap:
            yield from self._memory(wanted)
        if wanted.memory_reservation:
            yield SOFT, str(wanted.memory_reservation)
        yield from self._processors(wanted)
        if wanted.pids_limit is not None:
            yield "pids.max", str(wanted.pids_limit) if wanted.pids_limit > 0 else "max"
        if wanted.blkio_weight:
            old = self.has("blkio.weight")  # the scheduler CFQ's; BFQ came after it
            yield "blkio.weight" if old else "blkio.bfq.weight", str(wanted.blkio_weight)
        for rate in RATES:
            for disk in getattr(wanted, rate):
                yield f"blkio.throttle.{rate}_device", f"{disk.major}:{disk.minor} {disk.rate}"

    def _memory(self, wanted: Resources) -> Iterator[Limit]:
        """Memory, and memory plus swap (memsw): not for a moment may the second be the smaller."""
        now, total_now = self.number("memory.limit_in_bytes"), self.number(MEMSW)
        memory, total = convert.memory_and_total(wanted, now, total_now)
        pair = [("memory.limit_in_bytes", str(memory)), (MEMSW, str(total))]
        if not self.has(MEMSW) and not wanted.memory_swap:
            pair.pop()  # a kernel that keeps no account of swap (swapaccount=0)
        elif total == -1 or -1 != total_now < total:
            pair.reverse()  # to raise both, raise the outer one first
        yield from pair

    def _processors(self, wanted: Resources) -> Iterator[Limit]:
        """The share of the processors, the quota in each period, and which processors at all.

        cpu.shares counts only against others who want to run too: alone, a group gets everything.
        """
        for field, name in FILES.items():
            if value := getattr(wanted, field):
                yield name, str(value)

    def freeze(self) -> None:
        def stopped() -> bool:
            # FREEZING until the last one has stopped; one that forks meanwhile needs a new push.
            self.write("freezer.state", "FROZEN")
            return self.read("freezer.state") == "FROZEN"

        if not tree.wait_until(stopped):
            self.thaw()
            raise Error("freeze", self.path, "a process in it cannot be stopped now")

    def thaw(self) -> None:
        self.write("freezer.state", "THAWED")

    def frozen(self) -> bool:
        return self.read("freezer.state") in ("FREEZING", "FROZEN")

    def oom_kills(self) -> int:
        return self.fields("memory.oom_control").get("oom_kill", 0)

    def statistics(self) -> Statistics:
        lines = self.read("blkio.throttle.io_service_bytes_recursive").splitlines()
        moved = [(words[1], int(words[-1])) for words in map(str.split, lines)]  # 8:0 Read 4096
        idle = self.fields("memory.stat").get("total_inactive_file", 0)
        return Statistics(
            memory_usage=max(0, self.number("memory.usage_in_bytes", 0) - idle),
            memory_limit=self.number("memory.limit_in_bytes"),
            cpu_nanoseconds=self.number("cpuacct.usage", 0),
            pids=self.number("pids.current", 0),
            pids_limit=self.number("pids.max"),
            block_read=sum(count for kind, count in moved if kind == "Read"),
            block_write=sum(count for kind, count in moved if kind == "Write"),
        )


def inherit_cpuset(directory: str) -> None:
    """Give a group its parent's processors and memory nodes, if it has none yet.

    A new cpuset is empty, and no process may join an empty one (ENOSPC; cgroup-v1/cpusets.rst):
    so each level needs both, from the top down. Other hierarchies have no such files.
    """
    parent = os.path.dirname(directory)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if os.path.exists(f"{directory}/{name}") and not files.read(f"{directory}/{name}").strip():
            files.write(f"{directory}/{name}", files.read(f"{parent}/{name}").strip())


def device_rules(rules: list[str]) -> list[Limit]:
    """The allow-list of devices: first nothing is allowed, then each rule such as `c 1:3 rwm`."""
    if not rules or "a *:* rwm" in rules:
        return []
    return [("devices.deny", "a *:* rwm"), *[("devices.allow", rule) for rule in rules]]
