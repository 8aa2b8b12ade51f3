"""What the limit flags accept: Docker's spellings, and nothing else."""

from __future__ import annotations

import os

import pytest

from mydocker.cgroups import sizes
from mydocker.errors import Usage

ONLINE = max(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("10", 10),
        ("10b", 10),
        ("100m", 100 << 20),
        ("100M", 100 << 20),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("1 kb", 1024),
        ("1.5g", 3 << 29),
        (".5g", 1 << 29),
        ("1.5", 1),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
        ("0.000001k", 0),
    ],
)
def test_a_size_is_read_as_docker_reads_it(text: str, size: int) -> None:
    assert sizes.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "m", "b", "-1", "-5m", "+5", "1 ", " 1", "1  k", "1 .5", "1m\n", "1.2.3", "5.g"),
        *(
            "1i",
            "1bb",
            "1bi",
            "1mm",
            "1e3",
            "0x10",
            "1_000",
            "nan",
            "inf",
            "１m",
            "٣k",
            "ten",
            "5mps",
        ),
    ],
)
def test_nonsense_is_refused_with_flag_value_and_reason(text: str) -> None:
    with pytest.raises(Usage) as caught:
        sizes.parse_size(text, "-m")
    assert str(caught.value) == f"-m: {text or repr('')}: not a size"


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "99999999999p", "9" * 5000, "1." + "1" * 5000]
)
def test_a_size_beyond_64_bits_is_too_large(text: str) -> None:
    with pytest.raises(Usage, match="too large"):
        sizes.parse_size(text, "-m")


def test_minus_one_is_unlimited_where_it_is_allowed() -> None:
    assert sizes.parse_size("-1", "--memory-swap", unlimited=True) == -1
    assert sizes.parse_memory("-1") == -1
    with pytest.raises(Usage):
        sizes.parse_size("-2", "--memory-swap", unlimited=True)


def test_a_memory_limit_has_dockers_minimum() -> None:
    assert sizes.parse_memory("6m") == 6 << 20
    assert sizes.parse_memory("0") == 0
    with pytest.raises(Usage, match="-m: 5m: the least is 6m"):
        sizes.parse_memory("5m", "-m")


@pytest.mark.parametrize(
    ("text", "quota"), [("0", -1), ("0.01", 1000), (".5", 50_000), ("1", 100_000), ("1.0", 100_000)]
)
def test_processors_become_a_quota_in_each_period(text: str, quota: int) -> None:
    assert sizes.parse_cpus(text) == (quota, 100_000)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.", "1,5", "1e1", "nan", "0.001", "100000", "9" * 5000]
)
def test_a_wrong_number_of_processors_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--cpus"):
        sizes.parse_cpus(text)


def test_a_list_of_processors_is_checked_against_those_online() -> None:
    assert sizes.parse_cpuset("0") == "0"
    assert sizes.parse_cpuset(f"0-{ONLINE}") == f"0-{ONLINE}"
    assert sizes.parse_cpuset("0,0-0") == "0,0-0"
    assert sizes.parse_cpuset("0", "--cpuset-mems", "node") == "0"
    with pytest.raises(Usage, match=r"-cpuset: 0-9999: cpu 0-9999 is not online, only 0"):
        sizes.parse_cpuset("0-9999", "-cpuset")


@pytest.mark.parametrize(
    "text", ["", ",", "0,", "a", "-1", "0-", "-", "1-0", "0 1", "0-1:1/2", "0;1"]
)
def test_what_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="not a list of numbers and ranges"):
        sizes.parse_cpuset(text)


def test_ranges_that_touch_are_one_range() -> None:
    assert sizes._covered(0, 5, [(0, 2), (3, 5)])
    assert not sizes._covered(0, 5, [(0, 2), (4, 5)])


def test_weights_and_counts_have_their_bounds() -> None:
    assert sizes.parse_shares("256") == 256
    assert sizes.parse_shares("0") == 0
    assert sizes.parse_blkio_weight("10") == 10
    assert sizes.parse_pids_limit("64") == 64
    assert sizes.parse_pids_limit("0") == sizes.parse_pids_limit("-1") == -1
    for parse, text in [
        (sizes.parse_shares, "1"),
        (sizes.parse_shares, "262145"),
        (sizes.parse_shares, "256m"),
        (sizes.parse_blkio_weight, "9"),
        (sizes.parse_blkio_weight, "1001"),
        (sizes.parse_pids_limit, "-2"),
        (sizes.parse_pids_limit, ""),
        (sizes.parse_pids_limit, "9" * 5000),
    ]:
        with pytest.raises(Usage):
            parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/dev/null:1mb", "not a block device"),
        ("/dev/no-such-disk:1mb", "no such file"),
        ("/dev/null", "not DEVICE:RATE"),
        ("null:1mb", "not DEVICE:RATE"),
        ("", "not DEVICE:RATE"),
        ("/dev/null:", "not a size"),
        ("/dev/null:fast", "not a size"),
        ("/dev/null:0", "must be more than 0"),
        ("/dev/nu\0ll:1", "not a path"),
    ],
)
def test_a_wrong_device_or_rate_is_refused(text: str, why: str) -> None:
    with pytest.raises(Usage, match=why) as caught:
        sizes.parse_device_rate(text, "--device-read-bps")
    assert str(caught.value).startswith("--device-read-bps: ")


def test_a_rate_of_operations_is_a_plain_number() -> None:
    with pytest.raises(Usage, match="--device-read-iops: 1mb: not a whole number"):
        sizes.parse_device_rate("/dev/null:1mb", "--device-read-iops")
