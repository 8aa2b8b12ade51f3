"""Records and the truth: ps against /proc, names, rm, and many commands at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LAUNCHER, Mydocker, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


def rewrite(mydocker: Mydocker, **fields: object) -> None:
    """Change fields of the one record, as if history had been another."""
    (path,) = mydocker.root.glob("containers/*/container.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def status(mydocker: Mydocker, name: str = "bird") -> str:
    """The STATUS that `ps -a` shows; empty if it is not listed."""
    header, *lines = mydocker.ok("ps", "-a").splitlines()
    for line in lines:
        if line.split()[-1] == name:
            return line[header.index("STATUS") : header.index("PORTS")].strip()
    return ""


# ps tells the truth


def test_a_running_container_is_up(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    assert status(mydocker).startswith("Up ")
    assert mydocker.ok("ps", "-q").strip() == mydocker.inspect("bird")["id"][:12]


def test_an_ended_container_shows_its_code_and_only_with_a(mydocker: Mydocker) -> None:
    assert mydocker.run("run", "--name", "bird", "sh", "-c", "exit 3").returncode == 3
    assert status(mydocker).startswith("Exited (3) ")
    assert mydocker.ok("ps", "-q") == ""
    assert mydocker.ok("ps", "-aq").strip() == mydocker.inspect("bird")["id"][:12]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_container_shows_the_signal(number: signal.Signals, mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--init", "top")
    mydocker.ok("run", "-d", "--name", "fish", "top")
    os.kill(mydocker.inspect("bird")["pid"], number)
    os.kill(mydocker.inspect("fish")["pid"], signal.SIGKILL)
    wait_until(lambda: status(mydocker).startswith(f"Exited ({128 + number}) "))
    wait_until(lambda: status(mydocker, "fish").startswith("Exited (137) "))
    assert not mydocker.inspect("bird")["error"]


def test_a_container_dies_with_its_monitor_and_ps_knows(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    pids = mydocker.inspect("bird")
    os.kill(pids["monitorPid"], signal.SIGKILL)
    wait_until(lambda: status(mydocker).startswith("Exited (137) "))
    wait_until(lambda: not alive(pids["pid"]))
    assert "monitor was killed" in mydocker.inspect("bird")["error"]
    assert mydocker.run("system", "check").returncode == 0


def alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_a_set_user_id_program_does_not_outlive_its_monitor_either(mydocker: Mydocker) -> None:
    """execve(2) of such a program takes the death signal away: the next command puts it right."""
    script = (
        "cp /bin/busybox /tmp/sleep; chown 7 /tmp/sleep; chmod 4755 /tmp/sleep; exec /tmp/sleep 99"
    )
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    pids = mydocker.inspect("bird")
    wait_until(lambda: b"/tmp/sleep" in Path(f"/proc/{pids['pid']}/cmdline").read_bytes())
    os.kill(pids["monitorPid"], signal.SIGKILL)
    wait_until(lambda: status(mydocker).startswith("Exited (137) "))
    assert not alive(pids["pid"])


@pytest.mark.parametrize("auto_remove", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"bootId": "00000000-0000-0000-0000-000000000000"},
        {"pidStarted": 1, "monitorStarted": 1},
        {"pid": 2**22 + 1, "monitorPid": 2**22 + 1},
        {"pid": os.getpid(), "monitorPid": os.getppid()},
    ],
    ids=["another boot", "another start time", "no such pid", "pids of others"],
)
def test_a_record_from_another_life_is_not_believed(
    fields: dict[str, object], auto_remove: bool, mydocker: Mydocker
) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    lives = {"status": "running", "pid": os.getpid(), "monitorPid": os.getpid()}
    rewrite(mydocker, **(lives | {"autoRemove": auto_remove} | fields))
    assert mydocker.ok("ps", "-q") == ""
    assert status(mydocker)[:13] == ("" if auto_remove else "Exited (137) ")
    assert mydocker.run("system", "check").returncode == 0


def test_a_zombie_is_not_running(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    child = subprocess.Popen(["true"])
    pid = child.pid
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z")
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    process = {"pid": pid, "pidStarted": started, "monitorPid": pid, "monitorStarted": started}
    rewrite(mydocker, status="running", bootId=boot, **process)
    assert status(mydocker).startswith("Exited (137) ")
    child.wait()


def test_a_creation_whose_command_was_killed_shows_as_ended(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    rewrite(mydocker, status="created", monitorPid=2**22 + 1, exitCode=0)
    assert status(mydocker).startswith("Exited (137) ")


def test_many_ps_at_once_correct_one_record_once(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    rewrite(mydocker, status="running", pid=2**22 + 1, monitorPid=2**22 + 1)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: status(mydocker)[:12], range(16)))
    assert set(seen) == {"Exited (137)"}


def test_many_ps_at_once_remove_what_was_to_be_removed(mydocker: Mydocker) -> None:
    for _ in range(3):
        mydocker.ok("run", "--name", "bird", "true")
        rewrite(mydocker, status="running", pid=2**22 + 1, monitorPid=2**22 + 1, autoRemove=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: mydocker.ok("ps", "-aq"), range(8)))
        assert mydocker.ok("ps", "-aq") == ""


def test_ps_shows_dockers_columns(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo a long command indeed")
    header, line = mydocker.ok("ps", "-a").splitlines()
    columns = "CONTAINER ID, IMAGE, COMMAND, CREATED, STATUS, PORTS, NAMES".split(", ")
    assert re.split(r" {2,}", header) == columns
    assert '"sh -c echo a long c…"' in line
    whole = mydocker.ok("ps", "-a", "--no-trunc").splitlines()[1]
    assert '"sh -c echo a long command indeed"' in whole
    assert whole.startswith(mydocker.inspect("bird")["id"])


def test_the_newest_is_first(mydocker: Mydocker) -> None:
    for name in ("first", "second", "third"):
        mydocker.ok("run", "--name", name, "true")
    lines = mydocker.ok("ps", "-a").splitlines()[1:]
    assert [line.split()[-1] for line in lines] == ["third", "second", "first"]


def test_a_command_with_control_characters_does_not_reach_the_terminal(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true", "\x1b[31m\r\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", mydocker.ok("ps", "-a", "--no-trunc"))


# Names and ids


@pytest.mark.parametrize("state", ["running", "exited"])
def test_a_name_that_is_taken_is_refused(state: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top" if state == "running" else "true")
    line = mydocker.fails(125, "run", "--name", "bird", "true")
    assert line == f"mydocker: name: bird: is taken by {mydocker.inspect('bird')['id'][:12]}"
    assert len(mydocker.ok("ps", "-aq").split()) == 1
    mydocker.ok("rm", "-f", "bird")
    mydocker.ok("run", "--rm", "--name", "bird", "true")


def test_a_container_without_a_name_gets_one_that_works(mydocker: Mydocker) -> None:
    mydocker.ok("run", "true")
    name = mydocker.ok("ps", "-a").split()[-1]
    assert re.fullmatch(r"[a-z]+_[a-z]+", name)
    mydocker.ok("rm", name)


def test_a_prefix_that_only_one_id_has_is_enough(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    identity = mydocker.inspect("bird")["id"]
    for length in (1, 12, 64):
        assert mydocker.inspect(identity[:length])["name"] == "bird"
    assert "no such container" in mydocker.fails(125, "logs", identity[:6] + "x")
    assert mydocker.ok("rm", identity[:4]) == f"{identity[:4]}\n"


def test_a_prefix_that_several_ids_have_is_refused(mydocker: Mydocker) -> None:
    for name in ("bird", "fish"):
        mydocker.ok("run", "--name", name, "true")
    twin = mydocker.inspect("bird")["id"]
    other = mydocker.inspect("fish")["id"]
    alike = twin[:6] + other[6:]
    (mydocker.root / "containers" / other).rename(mydocker.root / "containers" / alike)
    (mydocker.root / "names/fish").unlink()
    (mydocker.root / "names/fish").symlink_to(alike)
    path = mydocker.root / "containers" / alike / "container.json"
    path.write_text(path.read_text().replace(other, alike))
    assert "fits 2 containers" in mydocker.fails(1, "rm", twin[:6])
    mydocker.ok("rm", alike[:20], "bird")


def test_a_name_wins_over_the_beginning_of_an_id(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    prefix = mydocker.inspect("bird")["id"][:8]
    mydocker.ok("run", "--name", prefix, "true")
    assert mydocker.inspect(prefix)["name"] == prefix


def test_names_left_by_a_crash_are_free(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    mydocker.ok("rm", "bird")
    (mydocker.root / "names/bird").symlink_to("0" * 64)
    assert "no such container" in mydocker.fails(125, "logs", "bird")
    mydocker.ok("run", "--rm", "--name", "bird", "true")


# rm


def test_rm_of_a_running_container_is_refused(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    done = mydocker.run("rm", "bird")
    assert (done.returncode, done.stdout) == (1, "")
    expected = "mydocker: rm: bird: is running\nhint: mydocker rm -f bird kills it first\n"
    assert done.stderr == expected
    assert status(mydocker).startswith("Up ")


def test_rm_f_kills_and_removes(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "trap '' TERM INT; sleep 99 & wait")
    pid = mydocker.inspect("bird")["pid"]
    assert mydocker.ok("rm", "-f", "bird") == "bird\n"
    assert not alive(pid)
    assert not list(mydocker.root.glob("containers/*"))
    assert not list(mydocker.root.glob("names/*"))


def test_rm_removes_several_and_names_the_one_that_is_not_there(mydocker: Mydocker) -> None:
    for name in ("a1", "b2"):
        mydocker.ok("run", "--name", name, "true")
    done = mydocker.run("rm", "a1", "nope", "b2")
    assert (done.returncode, done.stdout) == (1, "a1\nb2\n")
    assert done.stderr.startswith("mydocker: container: nope: no such container\n")


def test_rm_right_after_the_end_does_not_meet_the_monitor(mydocker: Mydocker) -> None:
    for _ in range(10):
        mydocker.ok("run", "-d", "--name", "bird", "true")
        wait_until(lambda: not mydocker.ok("ps", "-q"))
        mydocker.ok("rm", "bird")


def test_rm_f_of_one_that_is_just_starting_waits_for_it(mydocker: Mydocker) -> None:
    for _ in range(5):
        starting = mydocker.start("run", "-d", "--name", "bird", "top")
        wait_until(lambda: os.path.lexists(mydocker.root / "names/bird"))
        mydocker.run("rm", "-f", "bird")
        starting.communicate(timeout=20)
        mydocker.run("rm", "-f", "bird")
        assert mydocker.ok("ps", "-aq") == ""


@pytest.mark.parametrize("flags", [(), ("--rm",)])
def test_many_rm_of_one_container_all_end_well(flags: tuple[str, ...], mydocker: Mydocker) -> None:
    for _ in range(2):
        mydocker.ok("run", "-d", "--name", "bird", *flags, "top")
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _: mydocker.run("rm", "-f", "bird"), range(8)))
        for each in done:
            gone = each.stderr.startswith("mydocker: container: bird: no such container\n")
            assert each.stdout == "bird\n" or gone, each
        assert mydocker.ok("ps", "-aq") == ""
        assert not list(mydocker.root.glob("containers/*"))


def test_a_container_that_removes_itself_is_gone_with_all_it_owns(mydocker: Mydocker) -> None:
    assert mydocker.run("run", "--rm", "--name", "bird", "false").returncode == 1
    mydocker.ok("run", "-d", "--rm", "--name", "fish", "true")
    wait_until(lambda: not list(mydocker.root.glob("containers/*")))
    wait_until(lambda: not list(mydocker.root.glob("names/*")))


# --cidfile


def test_the_cidfile_holds_the_id(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "--name", "bird", "--cidfile", f"{tmp_path}/cid", "true")
    assert (tmp_path / "cid").read_text() == mydocker.inspect("bird")["id"]


def test_a_cidfile_that_exists_is_refused_and_kept(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "cid").write_text("another's")
    line = mydocker.fails(125, "run", "--cidfile", f"{tmp_path}/cid", "true")
    assert line == f"mydocker: --cidfile: {tmp_path}/cid: file exists"
    assert (tmp_path / "cid").read_text() == "another's"
    assert mydocker.ok("ps", "-aq") == ""


def test_a_cidfile_on_a_full_device_is_named(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    script = f"""
        mount -t tmpfs -o size=4k tmpfs {tmp_path}/full
        echo x > {tmp_path}/full/filler
        {LAUNCHER} run --cidfile {tmp_path}/full/cid true
        echo "exit $?"; ls {tmp_path}/full
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=mydocker.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "exit 125\nfiller\n"
    assert "no space left on device" in done.stderr
    assert mydocker.ok("ps", "-aq") == ""


# Many at once


def test_of_many_runs_with_one_name_exactly_one_wins(mydocker: Mydocker) -> None:
    with ThreadPoolExecutor(20) as pool:
        done = list(
            pool.map(lambda _: mydocker.run("run", "-d", "--name", "bird", "top"), range(20))
        )
    assert sorted(each.returncode for each in done) == [0] + [125] * 19
    for each in done:
        if each.returncode:
            assert each.stderr.startswith("mydocker: name: bird: is taken by "), each.stderr
    assert len(mydocker.ok("ps", "-aq").split()) == 1
    assert status(mydocker).startswith("Up ")


def test_of_many_runs_exactly_one_wins_a_name_that_a_crash_left(mydocker: Mydocker) -> None:
    (mydocker.root / "names").mkdir()
    for _ in range(3):
        (mydocker.root / "names/bird").symlink_to("0" * 64)
        with ThreadPoolExecutor(8) as pool:
            runs = pool.map(lambda _: mydocker.run("run", "-d", "--name", "bird", "top"), range(8))
            assert sorted(each.returncode for each in runs) == [0] + [125] * 7
        mydocker.ok("rm", "-f", "bird")


def test_many_runs_at_once_all_come_and_go(mydocker: Mydocker) -> None:
    def run(number: int) -> str:
        return mydocker.ok("run", "--rm", "-m", "50m", "sh", "-c", f"echo {number}; echo $$")

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(run, range(30))) == [f"{number}\n1\n" for number in range(30)]
    assert not list(mydocker.root.glob("containers/*"))


def test_checks_and_repairs_do_not_disturb_those_who_work(mydocker: Mydocker) -> None:
    def work(number: int) -> None:
        for _ in range(4):
            mydocker.ok("run", "--rm", "--name", f"bird{number}", "true")
            mydocker.ok("run", "-d", "--name", f"fish{number}", "top")
            mydocker.ok("rm", "-f", f"fish{number}")

    def check(_: int) -> None:
        for _ in range(6):
            done = mydocker.run("system", "check", "--repair")
            assert (done.returncode, done.stdout[:5]) == (0, "clean"), done

    jobs: list[Callable[[int], None]] = [work, check, work, check, work]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job, number) for number, job in enumerate(jobs)]:
            future.result()


# Signals at the wrong time


def test_a_signal_during_the_start_reaches_the_container_or_ends_all(mydocker: Mydocker) -> None:
    """Whenever it comes: nothing is left, and a record says how it ended."""
    for delay in (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1):
        script = "trap 'exit 5' INT TERM; while :; do sleep 0.01; done"
        for number in (signal.SIGINT, signal.SIGTERM):
            run = mydocker.start("run", "--name", "bird", "sh", "-c", script)
            try:
                run.wait(delay)
            except subprocess.TimeoutExpired:
                run.send_signal(number)
            # A shell that has not set its trap yet does not hear of it: it is PID 1.
            for _ in range(200):
                try:
                    run.wait(0.1)
                    break
                except subprocess.TimeoutExpired:
                    run.send_signal(number)
            _, told = run.communicate()
            assert run.returncode in (5, 128 + number, -number) or "frozen" in told, told
            # The interpreter's own first milliseconds are not ours to guard.
            assert len(told.splitlines()) <= 1 or "/mydocker/cli/" not in told, told
            assert mydocker.run("system", "check").returncode == 0
            mydocker.run("rm", "bird")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_sig_proxy_the_container_ends_with_mydocker(
    number: signal.Signals, mydocker: Mydocker
) -> None:
    flags = ("--name", "bird", "--sig-proxy=false")
    run = mydocker.start("run", *flags, "sh", "-c", "trap '' INT TERM HUP; echo ready; sleep 99")
    assert run.stdout
    assert run.stdout.readline() == "ready\n"
    run.send_signal(number)
    _, told = run.communicate(timeout=20)
    assert run.returncode == 128 + number
    assert len(told.splitlines()) == 1
    assert status(mydocker).startswith(f"Exited ({128 + number}) ")


def test_a_detached_run_that_is_killed_while_it_waits_leaves_the_container(
    mydocker: Mydocker,
) -> None:
    """The container runs, with or without somebody who was told so."""
    for step in range(1, 4):
        killed = mydocker.run(
            "run", "-d", "--name", "bird", "top", MYDOCKER_FAULT=f"init:{step}:EIO"
        )
        assert killed.returncode == 125
        mydocker.ok("rm", "bird")
    starting = mydocker.start("run", "-d", "--name", "bird", "top")
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper")))
    starting.kill()
    starting.communicate(timeout=20)
    wait_until(lambda: status(mydocker).startswith("Up "))
    mydocker.ok("rm", "-f", "bird")


def test_a_container_in_the_background_holds_nothing_of_the_callers(mydocker: Mydocker) -> None:
    reading, writing = os.pipe()
    started = mydocker.start("run", "-d", "--name", "bird", "top", pass_fds=(writing,))
    os.close(writing)
    assert started.communicate(timeout=20)[1] == ""
    assert os.read(reading, 1) == b""  # end of file, although the container runs
    os.close(reading)
    pids = mydocker.inspect("bird")
    assert os.readlink(f"/proc/{pids['monitorPid']}/cwd") == "/"
    for fd in (0, 1, 2):
        assert os.readlink(f"/proc/{pids['monitorPid']}/fd/{fd}") == "/dev/null"
