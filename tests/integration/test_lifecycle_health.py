"""Health checks: their verdicts, their limits, and that they are in nobody's way."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from mydocker.rootfs.store import Store
from tests.conftest import Mydocker, settled, wait_until

OFTEN = ("--health-interval", "50ms")


def record(mydocker: Mydocker, name: str = "bird") -> dict[str, Any]:
    """The record, as it lies on the disk."""
    identity = os.readlink(mydocker.root / "names" / name)
    path = mydocker.root / "containers" / identity / "container.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def health(mydocker: Mydocker) -> str:
    return str(record(mydocker)["health"])


def test_starting_healthy_unhealthy_and_healthy_again(mydocker: Mydocker) -> None:
    flags = ("--health-cmd", "cat /state; test -e /ok", "--health-retries", "2", *OFTEN)
    mydocker.ok("run", "-d", "--name", "bird", *flags, "sh", "-c", "echo well > /state; exec top")
    assert health(mydocker) in ("starting", "unhealthy")
    wait_until(lambda: health(mydocker) == "unhealthy")
    assert record(mydocker)["healthStreak"] >= 2
    assert "(unhealthy)" in mydocker.ok("ps")
    mydocker.ok("exec", "bird", "touch", "/ok")
    wait_until(lambda: health(mydocker) == "healthy")
    answer = record(mydocker)["healthLog"][-1]
    assert (answer["exitCode"], answer["output"]) == (0, "well\n")
    assert len(record(mydocker)["healthLog"]) <= 5
    assert "(healthy)" in mydocker.ok("ps")
    assert mydocker.ok("ps", "-q", "--filter", "health=healthy")
    told = json.loads(mydocker.ok("inspect", "bird"))[0]["State"]["Health"]
    assert (told["Status"], told["FailingStreak"]) == ("healthy", 0)
    script = "{{.Action}}"
    flags = ("--since", "1m", "--until", "0s", "--filter", "event=health_status")
    told = mydocker.ok("events", *flags, "--format", script)
    assert told == "health_status: unhealthy\nhealth_status: healthy\n"


def test_a_check_that_takes_too_long_has_failed_and_nothing_of_it_stays(mydocker: Mydocker) -> None:
    flags = ("--health-cmd", "sleep 77", "--health-timeout", "50ms", "--health-retries", "1")
    mydocker.ok("run", "-d", "--name", "bird", *flags, *OFTEN, "top")
    wait_until(lambda: health(mydocker) == "unhealthy")
    answer = record(mydocker)["healthLog"][0]
    assert answer["exitCode"] == -1
    assert "0.05 seconds" in answer["output"]
    assert mydocker.ok("stop", "bird") == "bird\n"


def test_failures_in_the_start_period_do_not_count(mydocker: Mydocker) -> None:
    flags = ("--health-cmd", "false", "--health-retries", "1", "--health-start-period", "1h")
    mydocker.ok("run", "-d", "--name", "bird", *flags, *OFTEN, "top")
    wait_until(lambda: len(record(mydocker)["healthLog"]) >= 3)
    assert (health(mydocker), record(mydocker)["healthStreak"]) == ("starting", 0)
    assert "(health: starting)" in mydocker.ok("ps")


def test_nobody_asks_while_it_is_paused_and_a_new_life_begins_anew(mydocker: Mydocker) -> None:
    flags = ("--health-cmd", "true", *OFTEN)
    mydocker.ok("run", "-d", "--name", "bird", *flags, "top")
    wait_until(lambda: health(mydocker) == "healthy")
    mydocker.ok("pause", "bird")
    before = settled(lambda: record(mydocker)["healthLog"])  # one may have been under way
    time.sleep(0.2)
    assert record(mydocker)["healthLog"] == before
    mydocker.ok("unpause", "bird")
    wait_until(lambda: record(mydocker)["healthLog"] != before)
    mydocker.ok("restart", "bird")
    wait_until(lambda: health(mydocker) == "healthy")


def test_the_images_check_is_used_changed_and_switched_off(mydocker: Mydocker) -> None:
    (blob,) = (mydocker.root / "images/blobs/sha256").iterdir()
    config = json.loads(blob.read_text())
    test = ["CMD", "test", "-e", "/etc/passwd"]
    check = {"Test": test, "Interval": 50_000_000, "Retries": 7}
    config["config"]["Healthcheck"] = check
    imported = "checked:latest"
    Store(str(mydocker.root)).publish(json.dumps(config).encode(), [], [imported])
    mydocker.ok("run", "-d", "--name", "bird", imported, "top")
    wait_until(lambda: health(mydocker) == "healthy")
    assert record(mydocker)["healthcheck"]["retries"] == 7
    mydocker.ok("rm", "-f", "bird")
    mydocker.ok("create", "--name", "bird", "--health-retries", "2", imported, "top")
    changed = record(mydocker)["healthcheck"]
    assert (changed["retries"], changed["test"]) == (2, test)
    mydocker.ok("create", "--name", "fish", "--no-healthcheck", imported, "top")
    assert record(mydocker, "fish")["healthcheck"]["test"] == []


def test_checks_are_in_nobodys_way(mydocker: Mydocker) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done; sleep 0.3"
    flags = ("--health-cmd", "true", "--health-interval", "1ms")
    mydocker.ok("run", "-d", "--name", "bird", *flags, "sh", "-c", script)
    assert mydocker.ok("wait", "bird") == "0\n"
    assert mydocker.ok("logs", "bird") == "".join(f"{i}\n" for i in range(1, 3001))
    wait_until(lambda: mydocker.ok("ps", "-q") == "")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--health-cmd", "true", "--health-interval", "soon"), "--health-interval: soon: not a"),
        (("--health-cmd", "true", "--health-interval", "1us"), "less than a millisecond"),
        (("--health-cmd", "true", "--health-retries", "-1"), "--health-retries: -1: not between"),
        (("--no-healthcheck", "--health-cmd", "true"), "does not go with the other"),
    ],
)
def test_what_is_no_check_is_refused(flags: tuple[str, ...], told: str, mydocker: Mydocker) -> None:
    assert told in mydocker.fails(125, "create", *flags, "true")
