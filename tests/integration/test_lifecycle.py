"""Every way from one state of a container to another, and every way that is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from mydocker import cgroups
from mydocker.linux import process
from tests.conftest import LAUNCHER, Mydocker, has_open, settled, wait_until

WAITS = ("sh", "-c", "trap 'exit 5' TERM; trap 'exit 6' INT; echo up; while :; do sleep 0.02; done")
"""A command that hears SIGTERM and SIGINT."""
DEAF = ("sh", "-c", "trap '' TERM INT; while :; do sleep 99; done")


def record(mydocker: Mydocker, name: str = "bird") -> dict[str, Any]:
    """The record, as it lies on the disk."""
    identity = os.readlink(mydocker.root / "names" / name)
    path = mydocker.root / "containers" / identity / "container.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def status(mydocker: Mydocker, name: str = "bird") -> str:
    return str(record(mydocker, name)["status"])


def rewrite(mydocker: Mydocker, name: str = "bird", **fields: object) -> None:
    """Change fields of a record, as if history had been another."""
    known = record(mydocker, name)
    path = mydocker.root / "containers" / known["id"] / "container.json"
    path.write_text(json.dumps(known | fields))


def group(mydocker: Mydocker, name: str = "bird") -> cgroups.Cgroup:
    return cgroups.group(mydocker.cgroup_parent, record(mydocker, name)["id"])


def log(mydocker: Mydocker, name: str = "bird") -> str:
    return mydocker.run("logs", name).stdout


def wait_up(mydocker: Mydocker, name: str = "bird", times: int = 1) -> None:
    """Wait until the container's command has said so."""
    wait_until(lambda: log(mydocker, name).count("up") >= times)


def alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie: nobody may reap it here."""
    return process.alive(pid, process.start_time(pid), process.boot_id())


def ends(front: subprocess.Popen[str]) -> int:
    """Wait for its end; its exit code."""
    front.communicate(timeout=20)
    return front.returncode


def actions(mydocker: Mydocker, name: str = "bird") -> list[str]:
    """What the events tell of a container, in order."""
    lines = (mydocker.root / "events.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [event["action"] for event in found if event["attributes"]["name"] == name]


# create and start


def test_created_started_ended_and_started_again(mydocker: Mydocker) -> None:
    script = "echo run >> /count; cat /count | wc -l; exit 3"
    identity = mydocker.ok("create", "--name", "bird", "sh", "-c", script).strip()
    created = record(mydocker)
    assert (created["id"], created["status"], created["pid"]) == (identity, "created", 0)
    assert not group(mydocker).processes()
    assert mydocker.ok("ps", "-q") == ""
    assert mydocker.ok("start", "bird") == "bird\n"
    assert mydocker.ok("wait", "bird") == "3\n"
    assert mydocker.ok("start", identity[:12]) == f"{identity[:12]}\n"
    wait_until(lambda: log(mydocker) == "1\n2\n")  # its files are those of its first life
    assert mydocker.ok("wait", "bird") == "3\n"
    expected = ["create", "start", "die", "start", "die"]
    assert actions(mydocker) == expected


def test_create_takes_the_words_of_run(mydocker: Mydocker, tmp_path: Path) -> None:
    flags = ("--name", "bird", "-e", "A=B", "-m", "50m", "--cidfile", f"{tmp_path}/cid")
    identity = mydocker.ok("create", *flags, "sh", "-c", "echo $A").strip()
    assert (tmp_path / "cid").read_text() == identity
    mydocker.ok("start", "bird")
    mydocker.ok("wait", "bird")
    assert log(mydocker) == "B\n"
    assert "no such option" in mydocker.fails(125, "create", "-d", "true")
    assert "is taken by" in mydocker.fails(125, "create", "--name", "bird", "true")


def test_start_of_one_that_runs_is_no_error_and_changes_nothing(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    before = record(mydocker)
    assert mydocker.ok("start", "bird", "bird") == "bird\nbird\n"
    assert record(mydocker) == before


def test_start_of_several_starts_the_others_although_one_fails(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "b1", "top")
    mydocker.ok("create", "--name", "b2", "--entrypoint", "/nope", "busybox")
    mydocker.ok("create", "--name", "b3", "top")
    done = mydocker.run("start", "b1", "b2", "nope", "b3")
    assert (done.returncode, done.stdout) == (1, "b1\nb3\n")
    assert "mydocker: exec: /nope: " in done.stderr
    assert "mydocker: container: nope: no such container\n" in done.stderr
    assert (status(mydocker, "b1"), status(mydocker, "b3")) == ("running", "running")
    assert (status(mydocker, "b2"), record(mydocker, "b2")["exitCode"]) == ("exited", 127)


def test_start_in_front_passes_output_input_signals_and_the_exit_code(mydocker: Mydocker) -> None:
    mydocker.ok("create", "-i", "--name", "bird", "sh", "-c", "cat; echo err >&2; exit 4")
    done = mydocker.run("start", "-ai", "bird", input="hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (4, "hello\n", "err\n")
    mydocker.ok("create", "--name", "fish", *WAITS)
    front = mydocker.start("start", "-a", "fish")
    assert front.stdout
    assert front.stdout.readline() == "up\n"
    assert "runs already" in mydocker.fails(125, "start", "-a", "fish")
    front.send_signal(signal.SIGINT)
    assert ends(front) == 6
    assert "only one container" in mydocker.fails(125, "start", "-a", "bird", "fish")


def test_start_of_a_paused_and_of_a_dead_one_is_refused(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("pause", "bird")
    done = mydocker.run("start", "bird")
    assert done.returncode == 1
    assert done.stderr == "mydocker: start: bird: is paused\nhint: mydocker unpause bird\n"
    mydocker.ok("create", "--name", "fish", "top")
    rewrite(mydocker, "fish", status="dead")
    assert "could not be removed whole" in mydocker.fails(1, "start", "fish")
    mydocker.ok("rm", "fish")


# stop


@pytest.mark.v2
def test_stop_asks_and_the_exit_code_is_the_commands(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *WAITS)
    wait_up(mydocker)
    assert mydocker.ok("stop", "bird") == "bird\n"
    ended = record(mydocker)
    assert (ended["status"], ended["exitCode"], ended["pid"]) == ("exited", 5, 0)
    assert not alive(ended["monitorPid"])
    assert actions(mydocker) == ["create", "start", "kill", "die", "stop"]
    assert mydocker.ok("stop", "bird") == "bird\n"  # as with Docker, that is no error


def test_stop_kills_one_that_does_not_hear_and_says_so(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *DEAF)
    done = mydocker.run("stop", "-t", "1", "bird")
    told = "bird: did not end on SIGTERM in 1 s, and was killed\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "bird\n", told)
    assert record(mydocker)["exitCode"] == 137


@pytest.mark.parametrize(
    ("run_flags", "stop_flags"),
    [(("--stop-signal", "INT"), ()), ((), ("-s", "2")), (("--stop-signal", "KILL"), ("-s", "INT"))],
)
def test_the_stop_signal_is_the_one_asked_for(
    run_flags: tuple[str, ...], stop_flags: tuple[str, ...], mydocker: Mydocker
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *run_flags, *WAITS)
    wait_up(mydocker)
    mydocker.ok("stop", *stop_flags, "bird")
    assert record(mydocker)["exitCode"] == 6


def test_the_stop_timeout_is_the_containers_unless_one_is_given(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--stop-timeout", "1", *DEAF)
    assert "in 1 s, and was killed" in mydocker.run("stop", "bird").stderr
    mydocker.ok("start", "bird")
    assert mydocker.ok("stop", "-t0", "bird") == "bird\n"  # at once, as was asked
    assert record(mydocker)["exitCode"] == 137


def test_stop_without_end_waits_until_it_has_ended(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *DEAF)
    stopping = mydocker.start("stop", "-t", "-1", "bird")
    with pytest.raises(subprocess.TimeoutExpired):
        stopping.wait(0.5)
    mydocker.ok("kill", "bird")
    assert stopping.communicate(timeout=20) == ("bird\n", "")


@pytest.mark.v2
def test_stop_of_a_paused_one_lets_it_hear_the_signal(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *WAITS)
    wait_up(mydocker)
    mydocker.ok("pause", "bird")
    assert mydocker.ok("stop", "bird") == "bird\n"
    assert record(mydocker)["exitCode"] == 5


def test_stop_of_one_that_removes_itself_waits_until_it_is_gone(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--rm", "--name", "bird", *WAITS)
    wait_up(mydocker)
    assert mydocker.ok("stop", "bird") == "bird\n"
    assert not list(mydocker.root.glob("containers/*"))


def test_stop_of_one_in_front_of_somebody_ends_that_too(mydocker: Mydocker) -> None:
    front = mydocker.start("run", "--name", "bird", *WAITS)
    assert front.stdout
    assert front.stdout.readline() == "up\n"
    assert mydocker.ok("stop", "bird") == "bird\n"
    assert ends(front) == 5


def test_stop_when_the_monitor_is_killed_meanwhile(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *DEAF)
    stopping = mydocker.start("stop", "-t", "30", "bird")
    wait_until(lambda: record(mydocker)["stoppedByHand"])
    os.kill(record(mydocker)["monitorPid"], signal.SIGKILL)
    assert stopping.communicate(timeout=20) == ("bird\n", "")
    assert (status(mydocker), record(mydocker)["exitCode"]) == ("exited", 137)


# kill


def test_kill_ends_and_waits_and_another_signal_is_just_sent(mydocker: Mydocker) -> None:
    script = "trap 'echo one' USR1; echo up; while :; do sleep 0.02; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_up(mydocker)
    assert mydocker.ok("kill", "-s", "USR1", "bird") == "bird\n"
    wait_until(lambda: log(mydocker) == "up\none\n")
    assert status(mydocker) == "running"
    assert mydocker.ok("kill", "bird") == "bird\n"
    assert (status(mydocker), record(mydocker)["exitCode"]) == ("exited", 137)
    assert mydocker.fails(1, "kill", "bird") == "mydocker: kill: bird: is not running"
    assert "no such signal" in mydocker.fails(125, "kill", "-s", "NOPE", "bird")


@pytest.mark.v2
def test_kill_ends_a_paused_one(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *DEAF)
    mydocker.ok("pause", "bird")
    mydocker.ok("kill", "bird")
    assert status(mydocker) == "exited"


# pause and unpause


def test_a_paused_container_stands_still(mydocker: Mydocker) -> None:
    script = "i=0; while :; do i=$((i+1)); echo up $i; sleep 0.01; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_up(mydocker)
    assert mydocker.ok("pause", "bird") == "bird\n"
    assert (status(mydocker), group(mydocker).frozen()) == ("paused", True)
    assert "(Paused)" in mydocker.ok("ps")
    before = settled(lambda: log(mydocker))  # its monitor may still be reading what it had written
    time.sleep(0.2)
    assert log(mydocker) == before
    assert mydocker.fails(1, "pause", "bird") == "mydocker: pause: bird: is paused already"
    assert mydocker.ok("unpause", "bird") == "bird\n"
    wait_until(lambda: log(mydocker) != before)
    assert mydocker.fails(1, "unpause", "bird") == "mydocker: unpause: bird: is not paused"
    assert actions(mydocker) == ["create", "start", "pause", "unpause"]


@pytest.mark.v2
def test_pause_and_unpause(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("pause", "bird")
    assert group(mydocker).frozen()
    mydocker.ok("unpause", "bird")
    assert not group(mydocker).frozen()
    mydocker.ok("pause", "bird")
    mydocker.ok("rm", "-f", "bird")


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_one_that_does_not_run_can_be_neither(verb: str, mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "true")
    why = "is not running" if verb == "pause" else "is not paused"
    assert mydocker.fails(1, verb, "bird") == f"mydocker: {verb}: bird: {why}"
    mydocker.ok("start", "bird")
    mydocker.ok("wait", "bird")
    assert mydocker.fails(1, verb, "bird") == f"mydocker: {verb}: bird: {why}"


def test_a_paused_container_whose_monitor_was_killed_is_over(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("pause", "bird")
    os.kill(record(mydocker)["monitorPid"], signal.SIGKILL)
    wait_until(lambda: mydocker.ok("ps", "-q") == "")
    assert status(mydocker) == "exited"
    mydocker.ok("start", "bird")
    assert status(mydocker) == "running"


# restart


def test_restart_keeps_the_monitor_and_gives_a_new_process(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *WAITS)
    wait_up(mydocker)
    before = record(mydocker)
    assert mydocker.ok("restart", "bird") == "bird\n"
    after = record(mydocker)
    assert after["status"] == "running"
    assert after["pid"] != before["pid"]
    assert after["monitorPid"] == before["monitorPid"]
    assert after["restartCount"] == 0
    wait_up(mydocker, times=2)
    assert mydocker.ok("stop", "bird") == "bird\n"
    assert mydocker.ok("restart", "bird") == "bird\n"
    assert status(mydocker) == "running"


def test_restart_of_one_that_removes_itself_keeps_it(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--rm", "--name", "bird", *WAITS)
    wait_up(mydocker)
    mydocker.ok("restart", "-t", "5", "bird")
    wait_up(mydocker, times=2)
    mydocker.ok("stop", "bird")
    assert mydocker.ok("ps", "-aq") == ""


def test_restart_in_front_of_somebody_stays_there(mydocker: Mydocker) -> None:
    front = mydocker.start("run", "--name", "bird", *WAITS)
    assert front.stdout
    assert front.stdout.readline() == "up\n"
    mydocker.ok("restart", "bird")
    assert front.stdout.readline() == "up\n"
    front.send_signal(signal.SIGINT)
    assert ends(front) == 6


def test_a_restart_that_fails_says_why(mydocker: Mydocker) -> None:
    script = "trap 'rm /bin/sh; exit' TERM; echo up; while :; do sleep 0.02; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_up(mydocker)
    assert "command not found" in mydocker.fails(1, "restart", "bird")
    assert status(mydocker) == "exited"


# --restart


def test_on_failure_restarts_so_often_and_no_more(mydocker: Mydocker) -> None:
    policy = ("--restart", "on-failure:2")
    mydocker.ok("run", "-d", "--name", "bird", *policy, "sh", "-c", "echo up; exit 9")
    wait_until(lambda: status(mydocker) == "exited")
    ended = record(mydocker)
    assert (ended["exitCode"], ended["restartCount"], log(mydocker)) == (9, 2, "up\n" * 3)
    mydocker.ok("run", "-d", "--name", "fish", *policy, "true")
    mydocker.ok("wait", "fish")
    wait_until(lambda: status(mydocker, "fish") == "exited")
    assert record(mydocker, "fish")["restartCount"] == 0


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_restarts_until_it_is_stopped_by_hand(policy: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--restart", policy, *WAITS)
    wait_up(mydocker)
    os.kill(record(mydocker)["pid"], signal.SIGKILL)
    wait_up(mydocker, times=2)
    wait_until(lambda: status(mydocker) == "running")
    assert record(mydocker)["restartCount"] == 1
    mydocker.ok("stop", "bird")
    assert status(mydocker) == "exited"
    mydocker.ok("start", "bird")
    wait_up(mydocker, times=3)
    assert record(mydocker)["restartCount"] == 0
    os.kill(record(mydocker)["pid"], signal.SIGKILL)
    wait_up(mydocker, times=4)


def restarting(mydocker: Mydocker, name: str = "bird") -> None:
    """A container in the pause between two lives."""
    mydocker.ok("run", "-d", "--name", name, "--restart", "always", "false")
    wait_until(lambda: record(mydocker, name)["restartCount"] >= 6)  # the next pause is 3.2 s
    wait_until(lambda: status(mydocker, name) == "restarting")


@pytest.mark.parametrize("words", [("stop", "bird"), ("kill", "bird")])
def test_the_pause_between_two_lives_can_be_ended(
    words: tuple[str, ...], mydocker: Mydocker
) -> None:
    restarting(mydocker)
    monitor = record(mydocker)["monitorPid"]
    mydocker.ok(*words)
    ended = record(mydocker)
    assert (ended["status"], ended["exitCode"]) == ("exited", 1)
    wait_until(lambda: not alive(monitor))


def test_what_one_can_do_between_two_lives(mydocker: Mydocker) -> None:
    restarting(mydocker)
    assert mydocker.fails(1, "pause", "bird").startswith("mydocker: pause: bird: is ")
    assert mydocker.fails(1, "rm", "bird").startswith("mydocker: rm: bird: is ")
    assert mydocker.ok("start", "bird") == "bird\n"
    mydocker.ok("update", "--restart", "no", "bird")
    wait_until(lambda: status(mydocker) == "exited")
    mydocker.ok("update", "--restart", "always", "bird")
    mydocker.ok("start", "bird")
    mydocker.ok("rm", "-f", "bird")
    assert not list(mydocker.root.glob("containers/*"))


def test_a_monitor_killed_between_two_lives_is_put_right(mydocker: Mydocker) -> None:
    restarting(mydocker)
    os.kill(record(mydocker)["monitorPid"], signal.SIGKILL)
    wait_until(lambda: mydocker.ok("ps", "-aq", "--no-trunc") and status(mydocker) == "exited")
    assert record(mydocker)["exitCode"] == 1  # it had been seen
    mydocker.ok("rm", "bird")


def test_restart_does_not_go_with_rm_and_a_policy_must_be_one(mydocker: Mydocker) -> None:
    mydocker.fails(125, "run", "--rm", "--restart", "always", "true")
    assert "no such policy" in mydocker.fails(125, "run", "--restart", "maybe", "true")
    mydocker.ok("run", "-d", "--rm", "--name", "bird", "top")
    assert "(--rm)" in mydocker.fails(1, "update", "--restart", "always", "bird")


# wait


def test_wait_tells_the_exit_codes_one_a_line(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "b1", "sh", "-c", "sleep 0.2; exit 3")
    mydocker.ok("run", "-d", "--name", "b2", "true")
    done = mydocker.run("wait", "b1", "nope", "b2")
    assert (done.returncode, done.stdout) == (1, "3\n0\n")
    assert done.stderr.startswith("mydocker: container: nope: no such container\n")


def test_wait_for_one_that_removes_itself_still_has_its_code(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--rm", "--name", "bird", *WAITS)
    wait_up(mydocker)
    waiting = [mydocker.start("wait", "bird") for _ in range(3)]
    wait_until(lambda: all(has_open(each.pid, "[pidfd]") for each in waiting))
    mydocker.ok("stop", "bird")
    for each in waiting:
        assert each.communicate(timeout=20) == ("5\n", "")


def test_wait_ends_when_the_monitor_is_killed(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    waiting = mydocker.start("wait", "bird")
    os.kill(record(mydocker)["monitorPid"], signal.SIGKILL)
    assert waiting.communicate(timeout=20) == ("137\n", "")


# rename


def test_rename_while_it_runs_and_to_its_end(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", *WAITS)
    wait_up(mydocker)
    assert mydocker.ok("rename", "bird", "fish") == ""
    assert sorted(os.listdir(mydocker.root / "names")) == ["fish"]
    mydocker.ok("stop", "fish")
    assert (record(mydocker, "fish")["name"], status(mydocker, "fish")) == ("fish", "exited")
    mydocker.ok("run", "--rm", "--name", "bird", "true")


def test_a_name_that_is_taken_malformed_or_its_own_is_refused(mydocker: Mydocker) -> None:
    for name in ("bird", "fish"):
        mydocker.ok("create", "--name", name, "true")
    assert "is taken by" in mydocker.fails(1, "rename", "bird", "fish")
    assert "is its name already" in mydocker.fails(1, "rename", "bird", "bird")
    assert "no such container" in mydocker.fails(1, "rename", "nope", "cat")
    for name in ("", "a", "../x", "f" * 64):
        mydocker.fails(1, "rename", "bird", name)
    assert sorted(os.listdir(mydocker.root / "names")) == ["bird", "fish"]


def test_a_rename_that_was_killed_is_done_by_the_next_or_undone_by_check(
    mydocker: Mydocker,
) -> None:
    mydocker.ok("create", "--name", "bird", "true")
    (mydocker.root / "names/fish").symlink_to(record(mydocker)["id"])
    assert "name: fish" in mydocker.run("system", "check").stdout
    mydocker.ok("rename", "bird", "fish")
    (mydocker.root / "names/bird").symlink_to(record(mydocker, "fish")["id"])
    mydocker.ok("rename", "bird", "fish")
    assert sorted(os.listdir(mydocker.root / "names")) == ["fish"]
    (mydocker.root / "names/bird").symlink_to(record(mydocker, "fish")["id"])
    assert mydocker.run("system", "check", "--repair").returncode == 0
    assert sorted(os.listdir(mydocker.root / "names")) == ["fish"]


# update


@pytest.mark.v2
def test_limits_change_while_it_runs_and_stay_for_its_next_life(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-m", "100m", *WAITS)
    wait_up(mydocker)
    assert group(mydocker).statistics().memory_limit == 100 << 20
    flags = ("-m", "50m", "--memory-swap", "60m", "--pids-limit", "7", "--cpus", "0.5")
    assert mydocker.ok("update", *flags, "--cpu-shares", "512", "bird") == "bird\n"
    for _ in range(2):
        counted = group(mydocker).statistics()
        assert (counted.memory_limit, counted.pids_limit) == (50 << 20, 7)
        mydocker.ok("restart", "bird")
    assert json.loads(mydocker.ok("inspect", "bird"))


def test_limits_of_one_that_does_not_run_hold_when_it_does(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "top")
    mydocker.ok("update", "--pids-limit", "9", "-cpuset", "0", "bird")
    mydocker.ok("start", "bird")
    assert group(mydocker).statistics().pids_limit == 9
    assert group(mydocker).read("cpuset.cpus") == "0"


def test_a_limit_that_is_refused_changes_nothing(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-m", "100m", "top")
    path = mydocker.root / "containers" / record(mydocker)["id"] / "config.json"
    before = path.read_text()
    mydocker.fails(1, "update", "-m", "50m", "--memory-swap", "40m", "--pids-limit", "3", "bird")
    assert path.read_text() == before
    counted = group(mydocker).statistics()
    assert (counted.memory_limit, counted.pids_limit) == (100 << 20, -1)
    assert "nothing to change" in mydocker.fails(125, "update", "bird")
    assert "no such container" in mydocker.fails(1, "update", "-m", "1g", "nope")


# rm


@pytest.mark.parametrize("state", ["created", "running", "paused", "exited"])
def test_rm_f_removes_it_in_every_state(state: str, mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "top")
    if state != "created":
        mydocker.ok("start", "bird")
    if state == "paused":
        mydocker.ok("pause", "bird")
    if state == "exited":
        mydocker.ok("kill", "bird")
    if state in ("running", "paused"):
        assert mydocker.fails(1, "rm", "bird") == f"mydocker: rm: bird: is {state}"
    assert mydocker.ok("rm", "-fv", "bird") == "bird\n"
    assert not list(mydocker.root.glob("containers/*"))
    assert actions(mydocker)[-1] == "destroy"


def test_what_cannot_be_removed_whole_is_dead_until_it_can(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    mydocker.ok("create", "--name", "bird", "true")
    (tmp_path / "data").mkdir()
    script = f"""
        mount --bind {tmp_path}/data {mydocker.root}/containers/{record(mydocker)["id"]}/rootfs
        {LAUNCHER} rm bird
        {LAUNCHER} ps -a
        umount {mydocker.root}/containers/{record(mydocker)["id"]}/rootfs
    """
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env=mydocker.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is still mounted" in done.stderr
    assert "Dead" in done.stdout
    assert status(mydocker) == "dead"
    mydocker.ok("rm", "bird")


# What the record says at the end


def test_an_out_of_memory_kill_is_noted_and_forgotten_in_the_next_life(mydocker: Mydocker) -> None:
    script = "[ -e /once ] && exit 0; touch /once; exec tail /dev/zero"
    flags = ("-m", "12m", "--restart", "on-failure")
    mydocker.ok("create", "--name", "bird", *flags, "sh", "-c", script)
    assert mydocker.run("start", "-a", "bird").returncode == 0
    lines = (mydocker.root / "events.jsonl").read_text().splitlines()
    codes = [json.loads(line)["attributes"].get("exitCode") for line in lines if '"die"' in line]
    assert codes == ["137", "0"]
    assert (record(mydocker)["oomKilled"], record(mydocker)["exitCode"]) == (False, 0)
    mydocker.run("run", "--name", "fish", "-m", "12m", "tail", "/dev/zero")
    assert (record(mydocker, "fish")["oomKilled"], record(mydocker, "fish")["exitCode"]) == (
        True,
        137,
    )
