"""OCI's limits in the words of cgroup v2, and what contradicts itself."""

from __future__ import annotations

import pytest

from mydocker.cgroups import convert
from mydocker.cgroups.convert import UNLIMITED
from mydocker.errors import Usage
from mydocker.spec import Resources

M = 1 << 20


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(2, 1), (256, 35), (512, 59), (1024, 100), (2000, 170), (102_400, 4429), (262_144, 10_000)],
)
def test_shares_become_the_weight_that_runc_and_crun_give(shares: int, weight: int) -> None:
    assert convert.shares_to_weight(shares) == weight


def test_more_shares_never_weigh_less_and_no_weight_is_out_of_range() -> None:
    weights = [convert.shares_to_weight(shares) for shares in range(0, 262_200, 7)]
    assert weights == sorted(weights)
    assert weights[0] == 1
    assert weights[-1] == 10_000


@pytest.mark.parametrize(("blkio", "io"), [(10, 1), (100, 910), (500, 4950), (1000, 10_000)])
def test_block_io_weights_are_stretched_to_the_range_of_v2(blkio: int, io: int) -> None:
    assert convert.blkio_to_io_weight(blkio) == io


def test_a_first_memory_limit_leaves_no_way_around_through_swap() -> None:
    assert convert.swap_allowance(100 * M, None) == 0


def test_memory_swap_includes_the_memory() -> None:
    assert convert.swap_allowance(100 * M, 100 * M) == 0
    assert convert.swap_allowance(100 * M, 150 * M) == 50 * M
    assert convert.swap_allowance(100 * M, UNLIMITED) == UNLIMITED
    assert convert.swap_allowance(UNLIMITED, None) == UNLIMITED


def test_a_later_memory_limit_leaves_the_swap_as_it_was() -> None:
    assert convert.swap_allowance(200 * M, None, memory_now=100 * M, now=50 * M) == 50 * M
    assert convert.swap_allowance(200 * M, None, memory_now=100 * M, now=UNLIMITED) == UNLIMITED
    assert convert.swap_allowance(UNLIMITED, None, memory_now=100 * M, now=0) == UNLIMITED


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        (Resources(memory=5 * M), "--memory: 5242880: the least"),
        (Resources(memory_swap=100 * M), "--memory-swap: 104857600: needs --memory"),
        (Resources(memory=UNLIMITED, memory_swap=100 * M), "needs --memory"),
        (Resources(memory=100 * M, memory_swap=99 * M), "is less than --memory"),
        (Resources(memory=100 * M, memory_reservation=101 * M), "is more than --memory"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(resources: Resources, why: str) -> None:
    with pytest.raises(Usage, match=why):
        convert.check(resources)


def test_limits_that_agree_pass() -> None:
    for resources in (
        Resources(),
        Resources(memory=0, memory_swap=0),
        Resources(memory=6 * M),
        Resources(memory=UNLIMITED, memory_swap=UNLIMITED),
        Resources(memory_swap=UNLIMITED),
        Resources(memory=100 * M, memory_swap=100 * M, memory_reservation=100 * M),
    ):
        convert.check(resources)


def test_an_update_of_the_swap_alone_is_held_against_the_memory_limit_there_is() -> None:
    convert.check(Resources(memory_swap=100 * M), memory_now=50 * M)
    with pytest.raises(Usage, match="is less than --memory"):
        convert.check(Resources(memory_swap=100 * M), memory_now=150 * M)
