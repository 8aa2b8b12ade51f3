"""What a container wrote comes out again: all of it, as it was, whatever befalls the log."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LAUNCHER, Mydocker, has_open, settle, stock, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """A container that has written ten lines to stdout and one to stderr."""
    instance = Mydocker(tmp_path_factory.mktemp("zoo"))
    stock(instance, stocked_root)
    script = "echo wrong >&2; sleep 0.5; seq 1 9; sleep 0.5; printf ten"
    flags = ("-l", "app=web", "-e", "A=b c", "--log-opt", "labels=app,nope", "--log-opt", "env=A")
    instance.run("run", "--name", "bird", *flags, "sh", "-c", script)
    yield instance
    settle(instance)


def the_log(mydocker: Mydocker) -> Path:
    """The log of the one container."""
    (directory,) = (p for p in mydocker.root.glob("containers/*") if p.is_dir())
    return directory / "log.json"


# What is shown


def test_stdout_and_stderr_come_out_apart(zoo: Mydocker) -> None:
    done = zoo.run("logs", "bird")
    assert done.returncode == 0
    assert done.stdout.split() == [*"123456789", "ten"]
    assert not done.stdout.endswith("\n")
    assert done.stderr == "wrong\n"


@pytest.mark.parametrize(
    ("flags", "out", "err"),
    [
        (("--tail", "2"), "9\nten", ""),
        (("-n", "0"), "", ""),
        (("--tail=10",), "1\n2\n3\n4\n5\n6\n7\n8\n9\nten", ""),
        (("--tail=11",), "1\n2\n3\n4\n5\n6\n7\n8\n9\nten", "wrong\n"),
        (("--tail=all",), "1\n2\n3\n4\n5\n6\n7\n8\n9\nten", "wrong\n"),
        (("-n", "99999999"), "1\n2\n3\n4\n5\n6\n7\n8\n9\nten", "wrong\n"),
        (("--since", "1h", "-n", "1"), "ten", ""),
        (("--since", "2001-01-01", "-n", "1"), "ten", ""),
        (("--until", "1h"), "", ""),
        (("--since", "2101-01-01"), "", ""),
        (("-f", "-n", "1"), "ten", ""),
    ],
)
def test_a_part_of_it_can_be_asked_for(
    zoo: Mydocker, flags: tuple[str, ...], out: str, err: str
) -> None:
    done = zoo.run("logs", *flags, "bird")
    assert (done.returncode, done.stdout, done.stderr) == (0, out, err)


def test_each_line_has_its_time_and_a_time_cuts(zoo: Mydocker) -> None:
    done = zoo.run("logs", "-t", "bird")
    lines = [line.split(" ", 1) for line in (done.stderr + done.stdout).splitlines()]
    assert [text for _, text in lines] == ["wrong", *"123456789", "ten"]
    times = [time for time, _ in lines]
    assert all(re.fullmatch(TIME, time) for time in times)
    assert times == sorted(times)
    assert times[0] < times[1] < times[-1]
    assert zoo.ok("logs", "--since", times[-1], "bird") == "ten"
    assert zoo.run("logs", "--until", times[0], "bird").stderr == "wrong\n"
    assert zoo.ok("logs", "--since", times[1], "--until", times[1], "bird")[0] == "1"


def test_details_are_the_labels_and_variables_asked_for(zoo: Mydocker) -> None:
    assert zoo.ok("logs", "--details", "-n", "1", "bird") == "A=b c,app=web ten"
    told = zoo.ok("logs", "--details", "-t", "-n", "1", "bird")
    assert re.fullmatch(rf"{TIME} A=b c,app=web ten", told)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--tail", "x"), "--tail: x: not a number"),
        (("--since", "x"), "--since: x: not a time"),
        (("--until", ""), "--until: '': not a time"),
        (("--nope",), "no such option"),
    ],
)
def test_a_wrong_flag_is_named(zoo: Mydocker, flags: tuple[str, ...], why: str) -> None:
    assert why in zoo.fails(125, "logs", *flags, "bird")


def test_who_stops_reading_ends_it_quietly(zoo: Mydocker) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{LAUNCHER} logs bird 2>&1 >/dev/full | head -n 1"],
        env=zoo.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "wrong\n"


def test_a_terminals_output_is_kept_too_with_its_times(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--name", "bird", "-t", "sh", "-c", "echo a; echo b >&2")
    child.read()
    child.wait()
    done = subprocess.run(
        [LAUNCHER, "logs", "-t", "bird"],
        env=mydocker.environment,
        capture_output=True,
        check=True,
    )
    assert re.fullmatch(rf"{TIME} a\r\n{TIME} b\r\n", done.stdout.decode())
    assert done.stderr == b""


# What is written comes out as it was


@pytest.mark.parametrize(
    "data",
    [
        os.urandom(200_000),
        b"x" * 1_000_000,
        b"\0" * 100_000 + b"\r\r\n\n\xff\xfe\xed\xa0\x80" + "äöü".encode("latin-1"),
        "语言" .encode() * 40_000,
        b"\n" * 3000,
        b"a\x1e\x1c\x85\xe2\x80\xa8b\n",
    ],
    ids=["random", "endless", "odd bytes", "wide", "empty lines", "other line ends"],
)  # fmt: skip
def test_any_bytes_come_out_as_they_went_in(
    data: bytes, mydocker: Mydocker, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(data)
    source = f"{tmp_path}/data:/data"
    done = subprocess.run(
        [LAUNCHER, "run", "--name", "bird", "-v", source, "cat", "/data"],
        env=mydocker.environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout == data
    for flags in ([], ["-f"], ["--tail", "all"]):
        told = subprocess.run(
            [LAUNCHER, "logs", *flags, "bird"],
            env=mydocker.environment,
            capture_output=True,
            check=True,
        )
        assert hashlib.sha256(told.stdout).digest() == hashlib.sha256(data).digest()
    times = mydocker.run("logs", "-t", "bird").stdout
    assert len(re.findall(f"{TIME} ", times)) == data.count(b"\n") + (data[-1:] != b"\n")


# Following


def test_a_follower_sees_each_line_and_ends_with_the_container(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo a; read x < /go; echo b; printf c")
    # There is no /go: the shell says so, on stderr, and goes on.
    assert mydocker.run("logs", "-f", "bird").stdout == "a\nb\nc"
    mydocker.ok("rm", "bird")
    script = "mkfifo /go; echo ready; read x < /go; echo $x; printf last"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: mydocker.ok("logs", "bird") == "ready\n")
    following = mydocker.start("logs", "-f", "bird")
    late = mydocker.start("logs", "-f", "--tail", "0", "bird")
    assert following.stdout
    assert following.stdout.readline() == "ready\n"
    assert following.poll() is None
    (fifo,) = mydocker.root.glob("containers/*/upper/go")
    wait_until(lambda: has_open(late.pid, "log.json"))
    pid = json.loads(mydocker.ok("inspect", "bird"))[0]["pid"]
    Path(f"/proc/{pid}/root/go").write_text("now\n")
    assert fifo.is_fifo()
    assert following.communicate(timeout=20) == ("now\nlast", "")
    assert late.communicate(timeout=20) == ("now\nlast", "")
    assert (following.returncode, late.returncode) == (0, 0)


def test_a_follower_ends_when_the_container_is_removed(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo a; exec sleep 99")
    following = mydocker.start("logs", "-f", "bird")
    assert following.stdout
    assert following.stdout.readline() == "a\n"
    mydocker.ok("rm", "-f", "bird")
    assert following.communicate(timeout=20)[0] == ""
    assert following.returncode == 0


def test_a_follower_ends_when_its_time_has_come(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo a; exec sleep 99")
    wait_until(lambda: mydocker.ok("logs", "bird") == "a\n")
    until = f"{time.time() + 0.5:.3f}"
    assert mydocker.ok("logs", "-f", "--until", until, "bird") == "a\n"
    assert mydocker.ok("ps", "-q") != ""


def test_a_follower_can_be_stopped(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo a; exec sleep 99")
    following = mydocker.start("logs", "-f", "bird")
    assert following.stdout
    assert following.stdout.readline() == "a\n"
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=20) == ("", "")
    assert following.returncode == 130


def test_a_follower_reads_on_where_the_log_was_rotated(mydocker: Mydocker) -> None:
    """Each line once and in order, although no file holds more than some forty of them."""
    lines = "for i in $(seq 1 60); do seq $((i * 10)) $((i * 10 + 9)); usleep 20000; done"
    script = f"mkfifo /go; echo ready; read x < /go; {lines}"
    limits = ("--log-opt", "max-size=4k", "--log-opt", "max-file=8")
    mydocker.ok("run", "-d", "--name", "bird", *limits, "sh", "-c", script)
    following = mydocker.start("logs", "-f", "bird")
    assert following.stdout
    assert following.stdout.readline() == "ready\n"
    assert has_open(following.pid, "log.json")
    pid = mydocker.inspect("bird")["pid"]
    Path(f"/proc/{pid}/root/go").write_text("now\n")
    told, _ = following.communicate(timeout=60)
    assert told.split() == [str(number) for number in range(10, 610)]
    assert "10" not in mydocker.ok("logs", "bird").split()  # the first file is gone


def test_a_follower_stays_through_restarts_and_ends_with_the_last(mydocker: Mydocker) -> None:
    script = "echo life; printf end; exit 3"
    mydocker.ok("run", "-d", "--name", "bird", "--restart", "on-failure:2", "sh", "-c", script)
    assert mydocker.ok("logs", "-f", "bird") == "life\nend" * 3
    assert mydocker.ok("inspect", "-f", "{{.State.ExitCode}} {{.RestartCount}}", "bird") == "3 2\n"
    mydocker.ok("run", "-d", "--name", "fish", "sh", "-c", "echo life; exec sleep 99")
    following = mydocker.start("logs", "-f", "fish")
    assert following.stdout
    assert following.stdout.readline() == "life\n"
    assert mydocker.run("restart", "-t", "0", "fish").returncode == 0
    assert following.stdout.readline() == "life\n"
    assert mydocker.run("stop", "-t", "0", "fish").returncode == 0
    assert following.communicate(timeout=20)[0] == ""
    mydocker.ok("start", "fish")
    wait_until(lambda: mydocker.ok("logs", "fish") == "life\n" * 3)


# Rotation


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_full_log_is_rotated_and_the_newest_lines_are_there(
    count: int, mydocker: Mydocker
) -> None:
    limits = ("--log-opt", "max-size=8k", "--log-opt", f"max-file={count}")
    mydocker.ok("run", "--name", "bird", *limits, "seq", "1", "1000")
    log = the_log(mydocker)
    files = [log, *(log.with_name(f"log.json.{number}") for number in range(1, count))]
    assert sorted(log.parent.glob("log.json*")) == sorted(files)
    assert all(0 < file.stat().st_size <= 8192 for file in files)
    assert all(file.stat().st_size > 8000 for file in files[1:])
    lines = [int(line) for line in mydocker.ok("logs", "bird").split()]
    assert lines == [*range(1001 - len(lines), 1001)]
    assert len(lines) > 80 * (count - 1)
    for tail in (1, 50, 100, 150):
        told = mydocker.ok("logs", "--tail", str(tail), "bird").split()
        assert [int(line) for line in told] == lines[-tail:]


def test_an_entry_longer_than_the_limit_is_kept_whole(mydocker: Mydocker) -> None:
    limits = ("--log-opt", "max-size=100", "--log-opt", "max-file=2")
    mydocker.ok("run", "--name", "bird", *limits, "sh", "-c", "echo a; seq -s , 999 | tr -d '\\n'")
    assert mydocker.ok("logs", "--tail", "1", "bird").startswith("1,2,3,4")


def test_a_driver_that_keeps_nothing(mydocker: Mydocker) -> None:
    assert mydocker.ok("run", "--name", "bird", "--log-driver", "none", "echo", "a") == "a\n"
    assert the_log(mydocker).stat().st_size == 0
    assert "--log-driver none" in mydocker.fails(125, "logs", "bird")
    assert mydocker.ok("inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "bird") == "none\n"


# What befalls a log


def test_a_log_that_is_removed_begins_anew(mydocker: Mydocker) -> None:
    script = "mkfifo /go /on; echo a; read x < /go; echo b; read x < /on; echo c"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    log = the_log(mydocker)
    following = mydocker.start("logs", "-f", "bird")
    assert following.stdout
    assert following.stdout.readline() == "a\n"
    log.unlink()
    assert mydocker.ok("logs", "bird") == ""
    inside = Path(f"/proc/{mydocker.ok('inspect', '-f', '{{.pid}}', 'bird').strip()}/root")
    (inside / "go").write_text("\n")
    wait_until(log.exists)
    (inside / "on").write_text("\n")
    assert following.communicate(timeout=20) == ("b\nc\n", "")
    assert mydocker.ok("logs", "bird") == "b\nc\n"


def test_a_log_that_is_emptied_is_followed_on(mydocker: Mydocker) -> None:
    script = "mkfifo /go; seq 1 100; read x < /go; echo b"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    following = mydocker.start("logs", "-f", "bird")
    assert following.stdout
    assert [following.stdout.readline() for _ in range(100)][-1] == "100\n"
    os.truncate(the_log(mydocker), 0)
    pid = json.loads(mydocker.ok("inspect", "bird"))[0]["pid"]
    Path(f"/proc/{pid}/root/go").write_text("\n")
    assert following.communicate(timeout=20) == ("b\n", "")


@pytest.mark.parametrize(
    "damage",
    [
        b'{"log":"half',
        b'{"log":"half\n',
        b"\0\0\0\0\n",
        b'{"log":1,"stream":"stdout","time":"x"}\n',
        b'{"log":"x","stream":"nope","time":"x"}\n',
        b'["log"]\n',
        b"[" * 100_000 + b"\n",
        b"\n\n",
    ],
)
def test_a_line_that_a_crash_left_half_is_left_out(damage: bytes, mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "seq", "1", "3")
    log = the_log(mydocker)
    whole = log.read_bytes()
    log.write_bytes(whole + damage)
    for flags in ((), ("-f",), ("-t",)):
        told = mydocker.ok("logs", *flags, "bird")
        assert [line.split()[-1] for line in told.splitlines()] == ["1", "2", "3"]
    if damage.endswith(b"\n"):
        log.write_bytes(damage + whole)
        assert mydocker.ok("logs", "bird") == "1\n2\n3\n"


def test_no_log_at_all_is_an_empty_one(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "echo", "a")
    the_log(mydocker).unlink()
    assert mydocker.ok("logs", "bird") == ""
    assert mydocker.ok("logs", "-f", "bird") == ""


def test_the_last_line_is_there_as_soon_as_the_end_is(mydocker: Mydocker) -> None:
    """Who sees that the container has ended, may read all that it wrote."""
    for number in range(5):
        name = f"bird{number}"
        mydocker.ok("run", "-d", "--name", name, "sh", "-c", "seq 1 2000; printf last")
        record = mydocker.ok("inspect", "-f", "{{.directory}}", name).strip()
        path = Path(record) / "container.json"
        wait_until(lambda path=path: json.loads(path.read_text())["status"] == "exited")  # type: ignore[misc]  # a default in a lambda
        assert mydocker.ok("logs", name).endswith("2000\nlast")


# A lot of it


@pytest.mark.parametrize(
    "megabytes", [16, pytest.param(1024, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_flood_neither_blocks_nor_fills_memory(megabytes: int, mydocker: Mydocker) -> None:
    """The container comes to its end with nobody reading, the monitor stays small, and so does
    the log; the lines at its end are the last ones."""
    line = "x" * 100
    script = f"yes {line} | head -c {megabytes}m; echo; seq 1 500; sleep 99"
    limits = ("--log-opt", "max-size=1m", "--log-opt", "max-file=3")
    mydocker.ok("run", "-d", "--name", "bird", *limits, "sh", "-c", script)
    log = the_log(mydocker)

    def over() -> bool:  # between two steps of a rotation there is no such file
        done = subprocess.run(["tail", "-n", "1", str(log)], capture_output=True, check=False)
        return b'"500\\n"' in done.stdout

    wait_until(over, seconds=800)
    monitor = json.loads(mydocker.ok("inspect", "bird"))[0]["monitorPid"]
    status = Path(f"/proc/{monitor}/status").read_text()
    peak = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0])
    assert peak < 40 << 10
    assert sum(file.stat().st_size for file in log.parent.glob("log.json*")) <= 3 << 20
    told = mydocker.ok("logs", "-n", "501", "bird").splitlines()
    assert told[-500:] == [str(number) for number in range(1, 501)]
    assert told[0].startswith("x")


@pytest.mark.parametrize("kind", ["zero", "urandom"])
def test_an_endless_line_neither_blocks_nor_fills_memory(kind: str, mydocker: Mydocker) -> None:
    script = f"head -c 4m /dev/{kind} | tr '\\n' x; sleep 99"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)

    def all_of_it() -> bool:
        done = subprocess.run(
            [LAUNCHER, "logs", "bird"], env=mydocker.environment, capture_output=True, check=True
        )
        return len(done.stdout) > (4 << 20) - (1 << 17)  # less what waits for the line's end

    wait_until(all_of_it, seconds=60)
    monitor = json.loads(mydocker.ok("inspect", "bird"))[0]["monitorPid"]
    peak = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{monitor}/status").read_text())[0]
    assert int(peak) < 40 << 10
