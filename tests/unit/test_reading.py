"""What the reading commands read: times, filters, log options, counters of the kernel's."""

from __future__ import annotations

import re
import time

import pytest

from mydocker.cli import logs as cli_logs
from mydocker.cli import stats as cli_stats
from mydocker.errors import Usage
from mydocker.lifecycle import logoptions, moments, select, stats
from mydocker.lifecycle.stats import Sample


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", "1970-01-01T00:00:00.000000000Z"),
        ("1767322800", "2026-01-02T03:00:00.000000000Z"),
        ("1767322800.5", "2026-01-02T03:00:00.500000000Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"),
        ("2026-01-02T03:04:05.678901234Z", "2026-01-02T03:04:05.678901234Z"),
        ("2026-01-02T03:04:05.5+01:00", "2026-01-02T02:04:05.500000000Z"),
        ("2026-01-02T03:04:05-0130", "2026-01-02T04:34:05.000000000Z"),
        ("2026-01-02T03:04Z", "2026-01-02T03:04:00.000000000Z"),
        ("2026-01-02Z", "2026-01-02T00:00:00.000000000Z"),
    ],
)
def test_a_moment_is_read_as_docker_reads_it(text: str, told: str) -> None:
    assert moments.parse(text, "--since") == told


def test_a_span_is_so_long_ago() -> None:
    for text, seconds in (("10m", 600), ("1h30m", 5400), ("1.5s", 1), ("2d", 172800), ("1ms", 0)):
        then = moments.parse(text, "--since")
        ago = time.time() - cli_stamp(then)
        assert seconds <= ago < seconds + 60, text
    assert moments.parse(None, "--since") == ""


def cli_stamp(text: str) -> float:
    """Seconds since 1970 of a moment as the records have it."""
    import calendar

    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def test_a_date_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert moments.parse("2026-01-02T08:00:00", "--since") == "2026-01-02T00:00:00.000000000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "x", "10", "10m ago", "-5m", "m", "2026-02-31Z", "2026-13-01", "1" * 30, "1.5.5", "٣"],
)
def test_what_is_no_moment_is_named(text: str) -> None:
    if text == "10":
        assert moments.parse(text, "--since").startswith("1970")
        return
    with pytest.raises(Usage, match=re.escape("--since")):
        moments.parse(text, "--since")


def test_filters_are_read_by_key() -> None:
    read = select.read(["label=a", "label!=b=c", "name=x"], ["label", "name"])
    assert read == {"label": ["a", "!b=c"], "name": ["x"]}
    for word in ("label", "nope=1", "name!=x", "=x"):
        with pytest.raises(Usage, match=re.escape(f"--filter: {word}")):
            select.read([word], ["label", "name"])


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [("a", True), ("a=1", True), ("a=2", False), ("b", False), ("!a", False), ("!a=2", True)],
)
def test_a_label_is_there_or_has_a_value(wanted: str, fits: bool) -> None:
    assert select.has_label({"a": "1"}, wanted) is fits


@pytest.mark.parametrize(
    ("driver", "options", "why"),
    [
        ("nope", {}, "--log-driver: nope"),
        ("none", {"max-size": "1m"}, "the driver none has no such option"),
        ("json-file", {"nope": "1"}, "--log-opt: nope"),
        ("json-file", {"max-size": "x"}, "--log-opt max-size: x"),
        ("json-file", {"max-size": "0"}, "is no room at all"),
        ("json-file", {"max-size": "1m", "max-file": "0"}, "not a count of files"),
        ("json-file", {"max-size": "1m", "max-file": "٣"}, "not a count of files"),
        ("json-file", {"max-file": "3"}, "means nothing without max-size"),
    ],
)
def test_log_options_that_make_no_sense_are_refused(
    driver: str, options: dict[str, str], why: str
) -> None:
    with pytest.raises(Usage, match=re.escape(why)):
        logoptions.check(driver, options)


def test_log_options_that_make_sense_are_not() -> None:
    logoptions.check("none", {})
    logoptions.check("json-file", {"max-size": "10m", "max-file": "3", "labels": "a", "env": "B"})


def test_a_tail_is_a_count_or_all() -> None:
    assert [cli_logs.count(text) for text in ("all", "-1", "0", "7")] == [-1, -1, 0, 7]
    for text in ("x", "1.5", "", "٣", "9" * 20):
        with pytest.raises(Usage, match="--tail"):
            cli_logs.count(text)


DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:    9000      90    0    0    0     0          0         0     9000      90    0
  eth0:    1200      10    0    0    0     0          0         0      340       5    0
  eth1:      34       1    0    0    0     0          0         0       60       1    0
"""


def test_the_loopback_is_no_traffic() -> None:
    assert stats.interfaces(DEV) == (1234, 400)
    assert stats.interfaces("\n") == (0, 0)


def test_a_share_of_the_processor_takes_two_looks() -> None:
    first, second = Sample(time=0), Sample(time=2 * 10**9)
    second.group.cpu_nanoseconds = 3 * 10**9
    assert stats.cpu_percent(first, second) == 150
    assert stats.cpu_percent(second, second) == 0
    second.group.cpu_nanoseconds, first.group.cpu_nanoseconds = 1, 5  # it was started anew
    assert stats.cpu_percent(first, second) == 0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (2028000, "1.934MiB"), (100 << 20, "100MiB")],
)
def test_memory_is_written_in_units_of_1024(count: int, text: str) -> None:
    assert cli_stats.binary(count) == text
