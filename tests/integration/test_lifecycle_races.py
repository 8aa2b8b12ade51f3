"""Many commands on one container, many containers at once, and processes killed in between.

Whatever wins, in the end the record says the truth and `system check` finds nothing (the fixture).
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mydocker import cgroups
from mydocker.linux import process
from tests.conftest import Mydocker, settled, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

SENTENCES = re.compile(
    r"mydocker: (container: (bird|[0-9a-f]{12}): no such container"
    r"|name: \w+: is taken by [0-9a-f]{12}"
    r"|rename: \w+: is its name already"
    r"|(start|stop|kill|pause|unpause|exec|rm|update|restart|attach|wait): bird: "
    r"(is (just )?(not )?(being )?(running|paused|started|restarting|created|exited)\b.*"
    r"|does not run|has just ended|was (stopped|removed|given up).*)"
    r"|(run|exec|restart): .*(was stopped meanwhile|was given up, its maker was killed).*)"
)
"""What a command may say to who comes too early or too late."""


def records(mydocker: Mydocker) -> list[dict[str, Any]]:
    """All records, as they lie on the disk."""
    found = []
    for path in mydocker.root.glob("containers/*/container.json"):
        found.append(json.loads(path.read_text()))
    return found


def consistent(mydocker: Mydocker) -> None:
    """Wait until all is quiet, then compare the records with what the kernel has."""
    mydocker.ok("ps", "-a")
    for known in records(mydocker):
        group = cgroups.group(mydocker.cgroup_parent, known["id"])
        started, boot = known["pidStarted"], known["bootId"]
        if known["status"] in ("running", "paused"):
            assert process.alive(known["pid"], started, boot), known
            assert process.alive(known["monitorPid"], known["monitorStarted"], boot), known
            assert group.frozen() == (known["status"] == "paused"), known
        else:
            assert known["status"] in ("created", "exited"), known
            assert known["pid"] == 0, known
            wait_until(lambda group=group: not group.processes())  # type: ignore[misc]
    names = {name: os.readlink(mydocker.root / "names" / name) for name in names_of(mydocker)}
    assert names == {known["name"]: known["id"] for known in records(mydocker)}


def names_of(mydocker: Mydocker) -> list[str]:
    return os.listdir(mydocker.root / "names")


def storm(mydocker: Mydocker, commands: list[tuple[str, ...]], seed: int) -> None:
    """Run the commands from 20 processes at once, in an order that the seed says."""
    order = random.Random(seed)
    order.shuffle(commands)
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda words: mydocker.run(*words), commands))
    for words, each in zip(commands, done, strict=True):
        lines = [x for x in each.stderr.splitlines() if not x.startswith("hint: ")]
        assert "bug" not in each.stderr, (words, each.stderr)
        for line in lines:
            assert SENTENCES.fullmatch(line), (words, line)


COMMANDS: list[tuple[str, ...]] = [
    *[("start", "bird")] * 5,
    *[("stop", "-t", "0", "bird")] * 4,
    *[("kill", "bird")] * 2,
    *[("restart", "-t", "0", "bird")] * 2,
    *[("exec", "bird", "true")] * 3,
    *[("pause", "bird")] * 2,
    *[("unpause", "bird")] * 2,
    *[("update", "--pids-limit", "50", "bird")] * 2,
    ("rm", "bird"),
    ("ps", "-a"),
]


@pytest.mark.parametrize("flags", [(), ("--restart", "always"), ("--rm",)], ids=" ".join)
def test_everything_at_once_on_one_container(flags: tuple[str, ...], mydocker: Mydocker) -> None:
    for seed in range(2):
        mydocker.ok("run", "-d", "--name", "bird", *flags, "top")
        storm(mydocker, list(COMMANDS), seed)
        consistent(mydocker)
        mydocker.run("rm", "-f", "bird")
        assert mydocker.ok("ps", "-aq") == ""


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("flags", [(), ("--restart", "always"), ("--rm",)], ids=" ".join)
def test_everything_at_once_again_and_again(flags: tuple[str, ...], mydocker: Mydocker) -> None:
    for seed in range(40):
        mydocker.run("run", "-d", "--name", "bird", *flags, "top")
        storm(mydocker, list(COMMANDS) * 2, seed)
        consistent(mydocker)
        mydocker.run("rm", "-f", "bird")


def test_of_many_starts_exactly_one_starts_it(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "sh", "-c", "echo up; exec sleep 1000")
    storm(mydocker, [("start", "bird")] * 20, 0)
    wait_until(lambda: mydocker.ok("logs", "bird") == "up\n")
    consistent(mydocker)
    lines = (mydocker.root / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["create", "start"]


def test_many_stops_are_one_stop(mydocker: Mydocker) -> None:
    script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: mydocker.ok("logs", "bird") == "up\n")
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda _: mydocker.ok("stop", "bird"), range(20)))
    assert told == ["bird\n"] * 20
    assert [(known["status"], known["exitCode"]) for known in records(mydocker)] == [("exited", 5)]


def test_many_renames_end_with_one_name(mydocker: Mydocker) -> None:
    for name in ("bird", "fish"):
        mydocker.ok("create", "--name", name, "true")
    ids = sorted(known["id"] for known in records(mydocker))
    words: list[tuple[str, ...]] = [
        ("rename", i[:12], f"n{number}") for i in ids for number in range(8)
    ]
    storm(mydocker, words, 0)
    consistent(mydocker)
    assert len(names_of(mydocker)) == 2


def at_once(mydocker: Mydocker, count: int) -> None:
    """Start so many containers at the same time; all must run, and end when they are told to."""
    words = ("--pids-limit", "20", "sh", "-c", "echo up; exec sleep 1000")

    def start(number: int) -> str:
        return mydocker.ok("run", "-d", "--name", f"bird{number}", *words).strip()

    with ThreadPoolExecutor(count) as pool:
        ids = list(pool.map(start, range(count)))
    assert len(set(ids)) == count
    assert sorted(mydocker.ok("ps", "-q", "--no-trunc").split()) == sorted(ids)
    consistent(mydocker)
    wait_until(lambda: all(mydocker.ok("logs", each) == "up\n" for each in ids), 60)
    names = [f"bird{number}" for number in range(count)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: mydocker.ok("rm", "-f", name), names))
    assert mydocker.ok("ps", "-aq") == ""


def test_thirty_containers_started_at_once_all_run(mydocker: Mydocker) -> None:
    at_once(mydocker, 30)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_containers_started_at_once_all_run(mydocker: Mydocker) -> None:
    at_once(mydocker, 100)


# Killed in between


def kill_all_over(mydocker: Mydocker, words: tuple[str, ...], find: Callable[[], int]) -> None:
    """Run the command again and again, and kill the process that `find` finds, ever later."""
    for number in range(8):
        command = mydocker.start(*words)
        time.sleep(0.012 * number)
        pid = find() or command.pid
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        command.communicate(timeout=30)
        consistent_after(mydocker)


def consistent_after(mydocker: Mydocker) -> None:
    """The next command puts right what a kill has left: then the record tells the truth."""

    def quiet() -> bool:
        mydocker.ok("ps", "-a")
        return all(
            known["status"] in ("created", "exited")
            or process.alive(known["monitorPid"], known["monitorStarted"], known["bootId"])
            for known in records(mydocker)
        )

    wait_until(quiet)


@pytest.mark.parametrize(
    "words",
    [
        ("start", "bird"),
        ("restart", "-t", "0", "bird"),
        ("stop", "-t", "0", "bird"),
        ("pause", "bird"),
        ("unpause", "bird"),
        ("update", "--pids-limit", "9", "bird"),
    ],
    ids=lambda words: str(words[0]),
)
def test_a_command_killed_at_any_time(words: tuple[str, ...], mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    kill_all_over(mydocker, words, lambda: 0)
    mydocker.run("system", "check", "--repair")
    mydocker.run("unpause", "bird")
    mydocker.ok("start", "bird")
    consistent(mydocker)


def test_a_monitor_killed_at_any_time_of_a_start(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "top")

    def monitor() -> int:
        (known,) = records(mydocker)
        return int(known["monitorPid"])

    kill_all_over(mydocker, ("start", "bird"), monitor)
    mydocker.ok("start", "bird")
    consistent(mydocker)


def test_a_monitor_killed_at_any_time_of_a_restart_loop(mydocker: Mydocker) -> None:
    for number in range(6):
        mydocker.ok("run", "-d", "--name", "bird", "--restart", "always", "true")
        time.sleep(0.05 * number)
        (known,) = records(mydocker)
        os.kill(known["monitorPid"], signal.SIGKILL)
        consistent_after(mydocker)
        mydocker.ok("rm", "bird")


# Again and again


def footprint(mydocker: Mydocker) -> dict[str, int]:
    """What there is of files, groups and processes."""
    parent = mydocker.cgroup_parent.strip("/")
    groups = [*Path("/sys/fs/cgroup").glob(f"*/{parent}*"), *Path("/sys/fs/cgroup").glob(parent)]
    files = subprocess.run(["find", mydocker.root], capture_output=True, text=True, check=True)
    token = mydocker.cgroup_parent.encode()
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            pids += [entry.name] if token in (entry / "environ").read_bytes() else []
        except OSError:
            continue
    return {"files": len(files.stdout.splitlines()), "groups": len(groups), "pids": len(pids)}


def cycles(mydocker: Mydocker, count: int) -> None:
    for _ in range(count):
        mydocker.ok("create", "--name", "bird", "true")
        mydocker.ok("start", "bird")
        mydocker.ok("wait", "bird")
        mydocker.ok("rm", "bird")
        mydocker.ok("run", "--rm", "--name", "fish", "true")


def grows_nothing(mydocker: Mydocker, count: int) -> None:
    """A monitor that lives through all its lives keeps no descriptor of any of them, and the host
    keeps nothing of containers that came and went."""
    mydocker.ok("run", "-d", "--name", "long", "top")
    cycles(mydocker, 2)
    long = next(known for known in records(mydocker) if known["name"] == "long")
    fds = f"/proc/{long['monitorPid']}/fd"
    before, open_before = settled(lambda: (footprint(mydocker), len(os.listdir(fds))))
    for _ in range(count // 10):
        cycles(mydocker, 10)
        mydocker.ok("restart", "-t", "0", "long")
    wait_until(lambda: footprint(mydocker) == before)
    wait_until(lambda: len(os.listdir(fds)) == open_before)


def test_forty_containers_come_and_go_and_leave_nothing(mydocker: Mydocker) -> None:
    grows_nothing(mydocker, 20)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_thousand_containers_come_and_go_and_leave_nothing(mydocker: Mydocker) -> None:
    grows_nothing(mydocker, 500)
