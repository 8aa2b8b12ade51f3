"""One request, two kernels' words: what Docker's limits mean, and how v2 writes what v1 called so.

OCI's runtime specification was written for cgroup v1, so a v2 runtime converts (config-linux.md,
Control groups). Everything here is arithmetic: no file is touched.
"""

from __future__ import annotations

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.spec import Resources

UNLIMITED = -1
LEAST_MEMORY = 6 << 20  # Docker's: with less a container cannot even be started
PERIOD = 100_000  # microseconds: the kernel's own default for cpu.cfs_period_us and cpu.max


def shares_to_weight(shares: int) -> int:
    """v1's cpu.shares (2 to 262144, 1024 is usual) as v2's cpu.weight (1 to 10000, 100 is usual).

    The ranges are powers, 2^1 to 2^18 and 10^0 to 10^4, so the curve is drawn through their
    logarithms: a parabola that leads least to least, usual to usual, and most to most. It is what
    runc 1.3.2, crun 1.23 and their successors do. Before, all runtimes drew a straight line,
    1 + (shares - 2) * 9999 / 262142, which made the usual 1024 a mere 39, so that a container lost
    against every process outside of it (kubernetes issue 131216).

    The price: ratios are not kept exactly. 256 against 512 shares are 35 against 59, and 1 : 1.7.
    """
    import math  # here, because only v2 needs it

    if shares <= 2:
        return 1
    if shares >= 1 << 18:
        return 10_000
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def blkio_to_io_weight(weight: int) -> int:
    """v1's blkio.weight (10 to 1000) as v2's io.weight (1 to 10000), along a straight line."""
    return 1 + (weight - 10) * 9999 // 990


def swap_allowance(
    memory: int, memory_swap: int | None, memory_now: int = UNLIMITED, now: int = UNLIMITED
) -> int:
    """The bytes that may go to swap: OCI's memory_swap is memory *and* swap, v2 wants swap alone.

    A first limit without `--memory-swap` allows 0, where Docker allows as much as the memory: on a
    machine with swap, a process above its limit would only become slow, and what the book's 3.2
    shows could not be seen. A later one (`update`) leaves the allowance as it is `now`.
    """
    if memory == UNLIMITED or memory_swap == UNLIMITED:
        return UNLIMITED
    if memory_swap:
        return memory_swap - memory
    return 0 if memory_now == UNLIMITED else now


def memory_and_total(wanted: Resources, memory_now: int, total_now: int) -> tuple[int, int]:
    """v1's pair of limits, memory and memory plus swap (memsw), from those asked and those now."""
    swap_now = UNLIMITED if total_now == UNLIMITED else total_now - memory_now
    memory = wanted.memory or memory_now
    swap = swap_allowance(memory, wanted.memory_swap, memory_now, swap_now)
    return memory, UNLIMITED if swap == UNLIMITED else memory + swap


def check(resources: Resources, memory_now: int = UNLIMITED) -> None:
    """Refuse limits that contradict each other or the memory limit there is, as Docker does."""
    memory, swap = resources.memory or memory_now, resources.memory_swap or UNLIMITED
    reservation = resources.memory_reservation or 0
    if memory != UNLIMITED and memory < LEAST_MEMORY:
        raise Usage("--memory", str(memory), f"the least is {LEAST_MEMORY} (6m)")
    if memory == UNLIMITED and swap != UNLIMITED:
        raise Usage("--memory-swap", str(swap), "needs --memory: it limits the two together")
    if swap != UNLIMITED and swap < memory:
        raise Usage("--memory-swap", str(swap), f"is less than --memory, {memory}")
    if memory != UNLIMITED and reservation > memory:
        raise Usage("--memory-reservation", str(reservation), f"is more than --memory, {memory}")
