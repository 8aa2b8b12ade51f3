"""Volumes: the host's files in a container, and still there however the container ends (4.3)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Mydocker, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory of the host with something in it, in more than one level."""
    directory = tmp_path / "volume"
    (directory / "inner").mkdir(parents=True)
    (directory / "data").write_text("the host's\n")
    (directory / "inner/data").write_text("the host's too\n")
    return directory


def intact(volume: Path) -> bool:
    """Whether the host's files are as they were."""
    inner = (volume / "inner/data").read_text()
    return ((volume / "data").read_text(), inner) == ("the host's\n", "the host's too\n")


# What a volume shows


def test_a_directory_is_seen_and_written_both_ways(mydocker: Mydocker, volume: Path) -> None:
    script = "cat /v/data; echo new > /v/written; rm /v/inner/data"
    assert mydocker.ok("run", "--rm", "-v", f"{volume}:/v", "sh", "-c", script) == "the host's\n"
    assert (volume / "written").read_text() == "new\n"
    assert not (volume / "inner/data").exists()


def test_a_file_is_a_volume_too(mydocker: Mydocker, volume: Path) -> None:
    script = "cat /etc/note; echo more >> /etc/note"
    run = ("run", "--rm", "-v", f"{volume}/data:/etc/note", "sh", "-c", script)
    assert mydocker.ok(*run) == "the host's\n"
    assert (volume / "data").read_text() == "the host's\nmore\n"


def test_a_file_may_cover_one_of_the_image(mydocker: Mydocker, volume: Path) -> None:
    run = ("run", "--rm", "-v", f"{volume}/data:/etc/passwd:ro", "cat", "/etc/passwd")
    assert mydocker.ok(*run) == "the host's\n"


@pytest.mark.parametrize(
    "flag",
    ["-v={}:/v:ro", "--mount=type=bind,source={},target=/v,readonly", "--mount=src={},dst=/v,ro"],
)
def test_a_read_only_volume_cannot_be_written(flag: str, mydocker: Mydocker, volume: Path) -> None:
    done = mydocker.run("run", "--rm", flag.format(volume), "sh", "-c", "echo x > /v/inner/data")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert intact(volume)


def test_a_read_only_file_cannot_be_written(mydocker: Mydocker, volume: Path) -> None:
    done = mydocker.run("run", "--rm", "-v", f"{volume}/data:/d:ro", "sh", "-c", "echo x > /d")
    assert "Read-only file system" in done.stderr
    assert intact(volume)


def test_several_volumes_nest_whatever_their_order(mydocker: Mydocker, tmp_path: Path) -> None:
    for name in ("outer", "middle", "inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    flags = [
        f"-v={tmp_path}/inner:/v/m/i",
        f"-v={tmp_path}/outer:/v",
        f"--mount=type=bind,source={tmp_path}/middle,target=/v/m",
    ]
    listing = ("ls", "/v", "/v/m", "/v/m/i")
    shown = mydocker.ok("run", "--rm", *flags, *listing)
    assert shown == mydocker.ok("run", "--rm", *reversed(flags), *listing)
    assert shown.split() == "/v: m outer /v/m: i middle /v/m/i: inner".split()


def test_one_directory_may_be_shown_at_two_places(mydocker: Mydocker, volume: Path) -> None:
    flags = (f"-v={volume}:/a", f"-v={volume}:/b:ro")
    assert mydocker.ok("run", "--rm", *flags, "sh", "-c", "echo x > /a/x; cat /b/x") == "x\n"


def test_one_target_cannot_show_two(mydocker: Mydocker, volume: Path) -> None:
    flags = (f"-v={volume}:/a", f"-v={volume}/inner:/a/")
    assert "/a" in mydocker.fails(125, "run", "--rm", *flags, "true")


def test_two_containers_share_a_volume(mydocker: Mydocker, volume: Path) -> None:
    flag = f"-v={volume}:/v"
    follow = "while ! [ -e /v/word ]; do sleep 0.02; done"
    mydocker.ok("run", "-d", "--name", "bird", flag, "sh", "-c", f"{follow}; mv /v/word /v/heard")
    mydocker.ok("run", "--rm", flag, "touch", "/v/word")
    wait_until((volume / "heard").exists)


def test_what_the_container_mounts_is_not_seen_on_the_host(
    mydocker: Mydocker, volume: Path
) -> None:
    script = "mount -t tmpfs x /v/inner && touch /v/inner/there && ls /v/inner"
    flags = ("--rm", "--privileged", "-v", f"{volume}:/v")
    assert mydocker.ok("run", *flags, "sh", "-c", script) == "there\n"
    assert intact(volume)


# What is missing


def test_a_missing_host_directory_is_made(mydocker: Mydocker, tmp_path: Path) -> None:
    source = tmp_path / "not/yet/there"
    mydocker.ok("run", "--rm", "-v", f"{source}:/v", "touch", "/v/file")
    assert (source / "file").exists()
    assert source.stat().st_mode & 0o777 == 0o755


def test_with_mount_a_missing_source_is_an_error(mydocker: Mydocker, tmp_path: Path) -> None:
    mount = f"type=bind,source={tmp_path}/nope,target=/v"
    assert f"{tmp_path}/nope" in mydocker.fails(125, "run", "--rm", "--mount", mount, "true")
    assert not (tmp_path / "nope").exists()


def test_a_missing_target_is_made_with_its_parents(mydocker: Mydocker, volume: Path) -> None:
    run = ("run", "--rm", "-v", f"{volume}:/not/yet/there", "cat", "/not/yet/there/data")
    assert mydocker.ok(*run) == "the host's\n"


def test_a_file_does_not_fit_on_a_directory(mydocker: Mydocker, volume: Path) -> None:
    assert "/etc" in mydocker.fails(125, "run", "--rm", f"-v={volume}/data:/etc", "true")
    line = mydocker.fails(125, "run", "--rm", f"-v={volume}:/etc/passwd", "true")
    assert "/etc/passwd" in line
    assert intact(volume)


# tmpfs


def test_tmpfs_has_its_options(mydocker: Mydocker) -> None:
    script = "grep ' /t ' /proc/mounts; stat -c %a /t; df -k /t | tail -n 1"
    shown = mydocker.ok("run", "--rm", "--tmpfs", "/t:size=1m,mode=700", "sh", "-c", script)
    mounted, mode, space = shown.splitlines()
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(mounted.split()[3].split(","))
    assert mode == "700"
    assert space.split()[1] == "1024"


def test_tmpfs_may_allow_what_it_forbids(mydocker: Mydocker) -> None:
    script = "cp /bin/busybox /t/true && /t/true && echo executed"
    assert mydocker.ok("run", "--rm", "--tmpfs", "/t:exec", "sh", "-c", script) == "executed\n"
    assert mydocker.run("run", "--rm", "--tmpfs", "/t", "sh", "-c", script).returncode == 126


def test_mount_makes_a_tmpfs_of_a_size(mydocker: Mydocker) -> None:
    mount = "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1700"
    shown = mydocker.ok("run", "--rm", "--mount", mount, "sh", "-c", "stat -c %a /t; df -k /t")
    assert shown.splitlines()[0] == "1700"
    assert shown.splitlines()[-1].split()[1] == "1024"


def test_a_volume_below_a_tmpfs_is_seen(mydocker: Mydocker, volume: Path) -> None:
    flags = ("--rm", "-v", f"{volume}:/t/v", "--tmpfs", "/t")
    assert mydocker.ok("run", *flags, "cat", "/t/v/data") == "the host's\n"


# The host's data, however a container ends


def processes(mydocker: Mydocker) -> dict[str, int]:
    """The pids of the one container, and of its monitor."""
    record = mydocker.inspect("bird")
    return {"container": record["pid"], "monitor": record["monitorPid"]}


def by_exit(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "fish", "true")
    mydocker.ok("rm", "-f", "bird")


def by_kill(name: str) -> Callable[[Mydocker], None]:
    def end(mydocker: Mydocker) -> None:
        os.kill(processes(mydocker)[name], signal.SIGKILL)
        wait_until(lambda: "Exited (137)" in mydocker.ok("ps", "-a"))

    return end


def by_removal(mydocker: Mydocker) -> None:
    mydocker.ok("rm", "-f", "bird")


def by_both(mydocker: Mydocker) -> None:
    os.kill(processes(mydocker)["monitor"], signal.SIGKILL)
    mydocker.ok("rm", "-f", "bird")
    mydocker.ok("system", "check", "--repair")


@pytest.mark.parametrize(
    "end",
    [by_kill("container"), by_kill("monitor"), by_removal, by_both],
    ids=["kill", "kill of the monitor", "rm -f", "kill of the monitor, then rm -f"],
)
def test_the_hosts_files_outlive_the_container(
    end: Callable[[Mydocker], None], mydocker: Mydocker, volume: Path
) -> None:
    flags = ("-d", "--name", "bird", "-v", f"{volume}:/v", "-v", f"{volume}/data:/d", "-w", "/v")
    mydocker.ok("run", *flags, "top")
    end(mydocker)
    assert intact(volume)
    mydocker.run("rm", "bird")
    assert intact(volume)
    assert not list(mydocker.root.glob("containers/*"))


def test_the_hosts_files_outlive_an_exit(mydocker: Mydocker, volume: Path) -> None:
    mydocker.ok("run", "--rm", "-v", f"{volume}:/v", "true")
    assert mydocker.run("run", "--rm", "-v", f"{volume}:/v", "false").returncode == 1
    assert intact(volume)


def test_the_hosts_files_outlive_a_failed_start(mydocker: Mydocker, volume: Path) -> None:
    mydocker.fails(127, "run", "--rm", "-v", f"{volume}:/v", "no-such-command")
    mydocker.fails(125, "run", "--rm", "-v", f"{volume}:/v", "-u", "nobody-here", "true")
    mydocker.fails(125, "run", "--rm", "-v", f"{volume}:/v", "-v", f"{volume}:/etc/passwd", "true")
    assert intact(volume)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_hosts_files_outlive_mydocker_in_the_foreground(
    number: signal.Signals, mydocker: Mydocker, volume: Path
) -> None:
    script = "trap 'exit 3' TERM HUP INT; touch /v/ready; while :; do sleep 0.05; done"
    run = mydocker.start("run", "--rm", "-v", f"{volume}:/v", "sh", "-c", script)
    wait_until((volume / "ready").exists)
    run.send_signal(number)
    run.communicate(timeout=20)
    assert run.returncode == (-9 if number == signal.SIGKILL else 3)
    assert intact(volume)
    wait_until(lambda: mydocker.ok("ps", "-aq") == "")
    assert intact(volume)


def test_removing_a_container_stops_at_a_mount(mydocker: Mydocker, volume: Path) -> None:
    """Not even a mount that somebody made below the container's own directory is emptied."""
    mydocker.ok("run", "--name", "bird", "true")
    (directory,) = mydocker.root.glob("containers/*/rootfs")
    pid = os.fork()
    if pid == 0:  # in a mount namespace of its own: the host's mounts stay as they are
        script = (
            'mount --bind "$1" "$2" && ! "$3" rm bird && ls "$1/data" && "$3" system check --repair'
        )
        words = ["unshare", "-m", "sh", "-c", script, "sh"]
        words += [str(volume), str(directory), str(Path("build/mydocker").resolve())]
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execvpe("unshare", words, mydocker.environment)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert intact(volume)
    mydocker.ok("rm", "bird")
    assert intact(volume)
