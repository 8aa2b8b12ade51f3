"""Control groups, version 2: one tree for all controllers.

Version 2 (Documentation/admin-guide/cgroup-v2.rst) has a single hierarchy, so a container's group
is one directory and is joined at once. Its controllers must be handed down to it first, level by
level from the top (delegation.py).

The files: memory.max and memory.swap.max (swap alone, unlike v1), cpu.weight, cpu.max, cpuset.cpus,
pids.max, io.max, cgroup.freeze, cgroup.kill. There is no devices controller: a list of allowed
devices is an eBPF program there (BPF_CGROUP_DEVICE), and comes with the container's hardening.
"""

from __future__ import annotations

from errno import EBUSY

from mydocker.cgroups import convert, delegation, tree
from mydocker.cgroups.convert import PERIOD, UNLIMITED
from mydocker.cgroups.face import IN_USE, Cgroup, Statistics
from mydocker.errors import Error, KernelError, NotFound
from mydocker.linux import files, syscalls
from mydocker.linux.cleanup import Cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.cgroups.face import Limit
    from mydocker.spec import Resources

FILES = {
    "cpuset_cpus": "cpuset.cpus",
    "cpuset_mems": "cpuset.mems",
}
RATES = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}


class V2(Cgroup):
    """One container's directory in the hierarchy of cgroup v2."""

    LIMITS = (
        *("memory.max", "memory.swap.max", "memory.low", *FILES.values(), "cpu.weight", "cpu.max"),
        *("pids.max", "io.weight", "io.bfq.weight", "io.max"),
    )

    def create(self, resources: Resources) -> None:
        convert.check(resources)
        top = self.hierarchies[0].top
        with Cleanup() as undo:
            tree.make(top, self.path, lambda directory: delegation.hand_down(directory, top))
            undo.push(tree.remove, top, self.path)
            for name, text in self.limits(resources):
                self.write(name, text)
            undo.keep()

    def update(self, resources: Resources) -> None:
        convert.check(resources, self.number("memory.max"))
        held = self.fields("memory.stat")
        # v1 refuses a limit below what cannot be reclaimed; v2 would kill to reach it.
        if 0 < (resources.memory or 0) < held.get("anon", 0) + held.get("shmem", 0):
            raise KernelError("limit", f"memory.max={resources.memory}", EBUSY, hint=IN_USE)
        self.change(self.limits(resources))

    def fork(self) -> int:
        return syscalls.fork_into(self.directories()[0])

    def add(self, pid: int) -> None:
        if pid == 0 and f"0::{self.path}" in files.read("/proc/self/cgroup").splitlines():
            return  # born here (`fork`)
        files.write(f"{self.directories()[0]}/cgroup.procs", str(pid))

    def limits(self, wanted: Resources) -> Iterator[Limit]:
        """What to write where."""
        if wanted.memory or wanted.memory_swap:
            yield from self._memory(wanted)
        if wanted.memory_reservation:
            yield "memory.low", word(wanted.memory_reservation)
        yield from self._processors(wanted)
        if wanted.pids_limit is not None:
            yield "pids.max", word(wanted.pids_limit or UNLIMITED)
        if wanted.blkio_weight and self.has("io.bfq.weight"):  # the BFQ scheduler's: v1's range
            yield "io.bfq.weight", str(wanted.blkio_weight)
        elif wanted.blkio_weight:
            yield "io.weight", str(convert.blkio_to_io_weight(wanted.blkio_weight))
        for field, key in RATES.items():
            for disk in getattr(wanted, field):
                yield "io.max", f"{disk.major}:{disk.minor} {key}={disk.rate}"

    def _memory(self, wanted: Resources) -> Iterator[Limit]:
        """Memory, and swap by itself, which v2 limits apart."""
        now, swap_now = self.number("memory.max"), self.number("memory.swap.max")
        memory = wanted.memory or now
        swap = convert.swap_allowance(memory, wanted.memory_swap, now, swap_now)
        if self.has("memory.swap.max") or wanted.memory_swap:  # absent: a kernel without swap
            yield "memory.swap.max", word(swap)
        yield "memory.max", word(memory)

    def _processors(self, wanted: Resources) -> Iterator[Limit]:
        """Which processors, the weight against others, and `quota period` in one line."""
        for field, name in FILES.items():
            if value := getattr(wanted, field):
                yield name, word(value)
        if wanted.cpu_shares:
            yield "cpu.weight", str(convert.shares_to_weight(wanted.cpu_shares))
        if wanted.cpu_quota or wanted.cpu_period:
            quota, period = (self.read("cpu.max") or f"max {PERIOD}").split()
            yield "cpu.max", f"{word(wanted.cpu_quota or quota)} {wanted.cpu_period or period}"

    def freeze(self) -> None:
        self.write("cgroup.freeze", "1")
        if not tree.wait_until(lambda: self.fields("cgroup.events").get("frozen") == 1):
            self.thaw()
            raise Error("freeze", self.path, "a process in it cannot be stopped now")

    def thaw(self) -> None:
        self.write("cgroup.freeze", "0")

    def kill(self) -> None:
        if self.has("cgroup.kill"):  # since Linux 5.14: all at once, and none can fork away
            try:
                self.write("cgroup.kill", "1")
            except NotFound:
                pass
        else:
            super().kill()

    def frozen(self) -> bool:
        return self.read("cgroup.freeze") == "1"

    def oom_kills(self) -> int:
        return self.fields("memory.events").get("oom_kill", 0)

    def statistics(self) -> Statistics:
        moved = [pair.split("=") for pair in self.read("io.stat").split() if "=" in pair]
        idle = self.fields("memory.stat").get("inactive_file", 0)
        return Statistics(
            memory_usage=max(0, self.number("memory.current", 0) - idle),
            memory_limit=self.number("memory.max"),
            cpu_nanoseconds=self.fields("cpu.stat").get("usage_usec", 0) * 1000,
            pids=self.number("pids.current", 0),
            pids_limit=self.number("pids.max"),
            block_read=sum(int(count) for kind, count in moved if kind == "rbytes"),
            block_write=sum(int(count) for kind, count in moved if kind == "wbytes"),
        )


def word(limit: int | str) -> str:
    """A limit as v2 writes it: `max` where v1 has -1."""
    return "max" if limit == UNLIMITED else str(limit)
