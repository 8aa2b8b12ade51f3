"""Volumes: the host's files in a container, and still there however the container ends (4.3)."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.linux import syscalls
from tests.conftest import Mydocker, wait_until
from tests.integration.private_mounts import privately, tmpfs

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
    mydocker.ok("run", *flags, "-v", "data:/named", "sh", "-c", "echo kept > /named/x; exec top")
    wait_until((data(mydocker) / "x").exists)
    end(mydocker)
    assert intact(volume)
    mydocker.run("rm", "-v", "bird")
    assert intact(volume)
    assert (data(mydocker) / "x").read_text() == "kept\n"
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


# Named volumes


def data(mydocker: Mydocker, name: str = "data") -> Path:
    """Where a named volume has its files."""
    return mydocker.root / "volumes" / name / "_data"


def test_a_named_volume_outlives_its_containers(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--rm", "-v", "data:/v", "sh", "-c", "echo one > /v/x")
    assert mydocker.ok("run", "--rm", "-v", "data:/v:ro", "cat", "/v/x") == "one\n"
    assert mydocker.ok("volume", "ls", "-q") == "data\n"


MADE = """
mkdir -p /pre/sub; cd /pre; echo x > a; ln a b; ln -s a c; mkfifo d; mknod e c 1 3; chmod 4711 a
chown 7:8 d sub; chmod 1770 sub; chown 9:10 /pre; chmod 2750 /pre; touch -d @1000000000 a sub /pre
"""


def test_a_new_volume_gets_what_the_image_has_there(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", MADE)
    mydocker.ok("commit", "bird", "made")
    look = "cd /pre; stat -c '%n %F %a %u:%g %Y %h' . a b c d e sub; readlink c; cat a"
    flags = ("-v", "data:/pre")
    assert mydocker.ok("run", "--rm", *flags, "made", "sh", "-c", look) == mydocker.ok(
        "run", "--rm", "made", "sh", "-c", look
    )
    assert sorted(os.listdir(mydocker.root / "volumes/data")) == ["_data", "volume.json"]


def test_what_is_in_a_volume_is_never_overwritten(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--rm", "-v", "data:/etc", "sh", "-c", "echo mine > /etc/passwd")
    assert mydocker.ok("run", "--rm", "-v", "data:/etc", "cat", "/etc/passwd") == "mine\n"
    mydocker.ok("run", "--rm", "-v", "data:/etc", "rm", "/etc/group")
    assert mydocker.ok("run", "--rm", "-v", "data:/etc", "ls", "/etc") == "passwd\n"


@pytest.mark.parametrize(
    "flag",
    ["-v=data:/etc:nocopy", "--mount=type=volume,source=data,target=/etc,volume-nocopy"],
)
def test_a_volume_need_not_be_filled(flag: str, mydocker: Mydocker) -> None:
    assert mydocker.ok("run", "--rm", flag, "ls", "/etc") == ""


def test_a_link_in_the_image_as_the_target_stays_inside(mydocker: Mydocker, tmp_path: Path) -> None:
    """Filled from, and mounted on, what the link means in the container."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("the host's")
    mydocker.ok("run", "--name", "bird", "sh", "-c", f"mkdir -p {victim}; ln -s {victim} /l")
    mydocker.ok("commit", "bird", "linked")
    script = f"touch /l/new; ls /l {victim}"
    shown = mydocker.ok("run", "--rm", "-v", "data:/l", "linked", "sh", "-c", script)
    assert shown == f"/l:\nnew\n\n{victim}:\nnew\n"
    assert sorted(os.listdir(victim)) == ["secret"]
    assert os.listdir(data(mydocker)) == ["new"]


def test_twenty_containers_at_once_fill_a_volume_once(mydocker: Mydocker) -> None:
    script = "cat /etc/passwd; echo x >> /etc/count"
    runs = [mydocker.start("run", "--rm", "-v", "data:/etc", "sh", "-c", script) for _ in range(20)]
    expected = mydocker.ok("run", "--rm", "cat", "/etc/passwd")
    assert {run.communicate(timeout=100) for run in runs} == {(expected, "")}
    assert (data(mydocker) / "count").read_text() == "x\n" * 20
    assert sorted(os.listdir(data(mydocker))) == ["count", "group", "passwd"]


def test_a_file_of_the_image_does_not_fill_a_volume(mydocker: Mydocker) -> None:
    line = mydocker.fails(125, "run", "--rm", "-v", "data:/etc/passwd", "true")
    assert "/etc/passwd" in line
    assert os.listdir(data(mydocker)) == []


def test_with_a_user_namespace_a_volume_is_the_containers_own(mydocker: Mydocker) -> None:
    run = ("run", "--rm", "--userns", "auto", "-v", "data:/etc", "sh", "-c")
    assert mydocker.ok(*run, "stat -c %u /etc/passwd; echo x > /etc/new") == "0\n"
    assert (data(mydocker) / "new").stat().st_uid == 0
    assert mydocker.ok("run", "--rm", "-v", "data:/etc", "stat", "-c", "%u", "/etc/new") == "0\n"


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("-v=a/b:/v", "a/b"),
        ("-v=x:/v", "'x'"),
        ("-v=.:/", "root itself"),
        ("-v=data:/v:rslave", "propagation"),
        ("-v=data:/v:foo", "foo"),
        ("-v=/tmp:/v:nocopy", "nocopy"),
        ("-v=nothing", "nothing"),
        ("-v=:/v", "empty"),
        ("--mount=type=volume,src=data,dst=/v,volume-subpath=../x", "../x"),
        ("--mount=type=volume,src=data,dst=/v,volume-driver=nfs", "nfs"),
        ("--mount=type=volume,src=data,dst=/v,bind-propagation=rslave", "bind-propagation"),
        ("--mount=type=volume,src=data,dst=/v,readonly=maybe", "maybe"),
        ("--mount=type=bind,src=/tmp,dst=/v,bind-recursive=odd", "odd"),
        ("--mount=type=tmpfs,src=x,dst=/v", "no source"),
        ("--volumes-from=fish", "fish"),
    ],
)
def test_a_volume_that_cannot_be_is_refused(flag: str, word: str, mydocker: Mydocker) -> None:
    assert word in mydocker.fails(125, "run", "--rm", flag, "true")
    assert mydocker.ok("volume", "ls", "-q") == ""


def test_a_part_of_a_volume(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the host's")
    script = f"mkdir -p /v/a/b; echo deep > /v/a/b/c; ln -s {tmp_path} /v/out; ln -s /a/b /v/in"
    mydocker.ok("run", "--rm", "-v", "data:/v", "sh", "-c", script)
    part = "type=volume,source=data,target=/p,volume-subpath={}"
    for path in ("a/b", "in"):
        assert mydocker.ok("run", "--rm", "--mount", part.format(path), "cat", "/p/c") == "deep\n"
    read_only = part.format("a/b/c") + ",ro"
    script = "cat /p; ! echo x > /p"
    assert mydocker.run("run", "--rm", "--mount", read_only, "sh", "-c", script).stdout == "deep\n"
    for path in ("out", "nope"):  # the link leads to where the host's secret is
        assert path in mydocker.fails(125, "run", "--rm", "--mount", part.format(path), "true")


# Volumes without a name


def test_a_volume_without_a_name_goes_with_rm_v(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-v", "/v", "-v", "data:/d", "sh", "-c", "echo > /v/x")
    names = mydocker.ok("volume", "ls", "-q").split()
    (anonymous,) = [name for name in names if name != "data"]
    assert len(anonymous) == 64
    assert os.listdir(data(mydocker, anonymous)) == ["x"]
    mydocker.ok("rm", "-v", "bird")
    assert mydocker.ok("volume", "ls", "-q") == "data\n"


def test_without_v_it_stays_until_prune(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-v", "/v", "true")
    mydocker.ok("rm", "bird")
    (name,) = mydocker.ok("volume", "ls", "-q").split()
    assert mydocker.ok("volume", "prune", "-f").split()[2] == name
    assert mydocker.ok("volume", "ls", "-q") == ""


def test_with_rm_it_goes_at_the_end(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--rm", "-v", "/v", "-v", "data:/d", "true")
    assert mydocker.run("run", "--rm", "-v", "/v", "false").returncode == 1
    mydocker.fails(127, "run", "--rm", "-v", "/v", "no-such-command")
    mydocker.ok("run", "-d", "--rm", "--name", "bird", "-v", "/v", "top")
    mydocker.ok("rm", "-f", "bird")
    assert mydocker.ok("volume", "ls", "-q") == "data\n"


def test_with_rm_it_goes_also_after_a_crash(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--rm", "--name", "bird", "-v", "/v", "-v", "data:/d", "top")
    os.kill(processes(mydocker)["monitor"], signal.SIGKILL)
    wait_until(lambda: mydocker.ok("ps", "-aq") == "")
    assert mydocker.ok("volume", "ls", "-q") == "data\n"


def test_an_images_volumes_are_made_and_filled(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    mydocker.ok("commit", "-c", "VOLUME /etc /x", "bird", "with")
    mydocker.ok("rm", "bird")
    mydocker.ok("run", "--name", "bird", "with", "sh", "-c", "ls /etc; echo > /x/y; echo > /own")
    assert len(mydocker.ok("volume", "ls", "-q").split()) == 2
    assert mydocker.ok("diff", "bird") == "A /own\n"
    mydocker.ok("rm", "-v", "bird")
    # What is asked for takes the place of what the image asks for.
    flags = ("-v", "mine:/etc", "--tmpfs", "/x")
    mydocker.ok("run", "--name", "bird", *flags, "with", "true")
    assert mydocker.ok("volume", "ls", "-q") == "mine\n"
    mydocker.ok("rm", "bird")


# --volumes-from


def test_the_volumes_of_another_container(mydocker: Mydocker, volume: Path) -> None:
    flags = ("-v", "/v", "-v", "data:/d", "-v", f"{volume}:/h:ro", "--tmpfs", "/t")
    mydocker.ok(
        "run", "--name", "bird", *flags, "sh", "-c", "echo > /v/x; echo > /d/y; echo > /t/z"
    )
    script = "ls /v /d /h; ! [ -e /t/z ]; echo > /v/more; ! touch /h/no 2>/dev/null"
    run = ("run", "--rm", "--volumes-from", "bird", "sh", "-c", script)
    assert mydocker.ok(*run).split() == "/d: y /h: data inner /v: x".split()
    script = "ls /v; ls /d; ! touch /v/no 2>/dev/null"
    read_only = ("--volumes-from", "bird:ro", "-v", "other:/d")
    assert mydocker.ok("run", "--rm", *read_only, "sh", "-c", script).split() == ["more", "x"]
    # Those without a name stay as long as somebody has them.
    mydocker.ok("run", "--name", "fish", "--volumes-from", "bird", "true")
    mydocker.ok("rm", "-v", "bird")
    assert len(mydocker.ok("volume", "ls", "-q").split()) == 3
    mydocker.ok("rm", "-v", "fish")
    assert mydocker.ok("volume", "ls", "-q").split() == ["data", "other"]


# mydocker volume


def test_volumes_are_made_listed_shown_and_removed(mydocker: Mydocker) -> None:
    assert mydocker.ok("volume", "create", "--label", "a=b", "--label", "c", "one") == "one\n"
    assert mydocker.ok("volume", "create", "one") == "one\n"
    unnamed = mydocker.ok("volume", "create").strip()
    lines = mydocker.ok("volume", "ls").splitlines()
    assert [line.split() for line in lines[1:]] == [["local", n] for n in sorted([unnamed, "one"])]
    (shown,) = json.loads(mydocker.ok("volume", "inspect", "one"))
    assert shown["Labels"] == {"a": "b", "c": ""}
    assert shown["Mountpoint"] == str(data(mydocker, "one"))
    assert shown["Driver"] == "local"
    assert "no such volume" in mydocker.fails(125, "volume", "inspect", "two")
    assert mydocker.ok("volume", "rm", "one", unnamed) == f"one\n{unnamed}\n"
    assert "no such volume" in mydocker.fails(1, "volume", "rm", "one")
    assert mydocker.ok("volume", "rm", "-f", "one") == "one\n"
    assert "two or more of" in mydocker.run("volume", "create", "a/b").stderr
    assert "no such subcommand" in mydocker.run("volume", "creat").stderr


def test_a_template_shows_what_is_asked_for(mydocker: Mydocker) -> None:
    mydocker.ok("volume", "create", "--label", "a=b", "one")
    ls = ("volume", "ls", "--format")
    assert mydocker.ok(*ls, "{{.Name}} {{.Driver}} {{.Labels}}") == "one local a=b\n"
    assert mydocker.ok(*ls, 'table {{.Name}}\t{{.Label "a"}}').split()[-2:] == ["one", "b"]
    assert json.loads(mydocker.ok(*ls, "json"))["Name"] == "one"
    path = str(data(mydocker, "one"))
    for words in (("volume", "inspect"), ("inspect",), ("inspect", "--type", "volume")):
        assert mydocker.ok(*words, "-f", "{{.Mountpoint}}", "one") == f"{path}\n"
    assert "Nope" in mydocker.fails(125, *ls, "{{.Nope}}")


def test_a_volume_in_use_stays(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "-v", "data:/d", "sh", "-c", "echo kept > /d/x")
    for words in (("rm", "data"), ("rm", "-f", "data")):
        assert "is used by the container bird" in mydocker.fails(1, "volume", *words)
    assert "0B" in mydocker.ok("volume", "prune", "-a", "-f")
    assert (data(mydocker) / "x").read_text() == "kept\n"
    mydocker.ok("rm", "bird")
    assert (data(mydocker) / "x").read_text() == "kept\n"
    mydocker.ok("volume", "rm", "data")
    assert not (mydocker.root / "volumes/data").exists()


def test_filters_choose_among_volumes(mydocker: Mydocker) -> None:
    for name, label in (("ab", "x=1"), ("bc", "x=2"), ("cd", "y=")):
        mydocker.ok("volume", "create", "--label", label, name)
    mydocker.ok("run", "--name", "bird", "-v", "bc:/d", "true")

    def chosen(*filters: str) -> list[str]:
        flags = [word for text in filters for word in ("-f", text)]
        return mydocker.ok("volume", "ls", "-q", *flags).split()

    assert chosen("label=x") == ["ab", "bc"]
    assert chosen("label=x=2") == chosen("dangling=false") == ["bc"]
    assert chosen("label!=x") == ["cd"]
    assert chosen("name=b", "dangling=true") == ["ab"]
    assert chosen("name=a", "name=cd") == ["ab", "cd"]
    assert chosen("driver=nfs") == []
    assert "no filter" in mydocker.fails(125, "volume", "ls", "-f", "size=3")


def test_prune_asks_and_takes_those_without_a_name(mydocker: Mydocker) -> None:
    mydocker.ok("volume", "create", "--label", "keep", "named")
    unnamed = mydocker.ok("volume", "create").strip()
    (data(mydocker, unnamed) / "x").write_bytes(bytes(2000))
    refused = mydocker.run("volume", "prune", input="n\n")
    assert (refused.returncode, unnamed in mydocker.ok("volume", "ls")) == (1, True)
    pruned = mydocker.ok("volume", "prune", input="y\n")
    assert pruned.endswith(f"Deleted Volumes:\n{unnamed}\n\nTotal reclaimed space: 2kB\n")
    assert mydocker.ok("volume", "prune", "-a", "-f", "--filter", "label!=keep").endswith(" 0B\n")
    assert "named" in mydocker.ok("volume", "prune", "-a", "-f")


def test_rm_of_a_volume_and_a_run_that_wants_it_at_once(mydocker: Mydocker) -> None:
    """Either it is removed before and made anew, or it is in use; never gone under a container."""
    for _ in range(3):
        mydocker.ok("volume", "create", "data")
        removal = mydocker.start("volume", "rm", "data")
        script = "echo x > /d/x && cat /d/x"
        assert mydocker.ok("run", "--name", "bird", "-v", "data:/d", "sh", "-c", script) == "x\n"
        removal.communicate(timeout=60)
        assert (data(mydocker) / "x").read_text() == "x\n"
        mydocker.ok("rm", "bird")
        mydocker.ok("volume", "rm", "data")


# What is mounted below, and what is mounted later


def mounted(path: Path) -> None:
    path.mkdir(exist_ok=True)
    tmpfs(str(path), "1m")


def test_read_only_holds_for_what_is_mounted_below(mydocker: Mydocker, volume: Path) -> None:
    def work() -> None:
        mounted(volume / "inner")
        write = ("sh", "-c", "touch /v/inner/x")
        for flag in ("-v={}:/v:ro", "--mount=src={},dst=/v,ro,bind-recursive=readonly"):
            done = mydocker.run("run", "--rm", flag.format(volume), *write)
            assert "Read-only file system" in done.stderr
        mydocker.ok(
            "run", "--rm", f"--mount=src={volume},dst=/v,ro,bind-recursive=writable", *write
        )
        assert (volume / "inner/x").exists()
        flag = f"--mount=src={volume},dst=/v,bind-recursive=disabled"
        assert mydocker.ok("run", "--rm", flag, "ls", "/v/inner") == "data\n"

    privately(work)


def test_a_slave_sees_what_the_host_mounts_later(mydocker: Mydocker, volume: Path) -> None:
    flags = ("-v", f"{volume}:/slave:rslave", "-v", f"{volume}:/private")
    script = "until [ -e /v/go ]; do sleep 0.02; done; ls /slave/inner /private/inner"
    run = mydocker.start("run", "--rm", *flags, "-v", f"{volume}:/v", "sh", "-c", script)
    wait_until(lambda: mydocker.ok("ps", "-q"))
    mounted(volume / "inner")
    try:
        (volume / "inner/seen").write_text("")
        (volume / "go").write_text("")
        assert run.communicate(timeout=20)[0] == "/private/inner:\ndata\n\n/slave/inner:\nseen\n"
    finally:
        syscalls.umount2(str(volume / "inner"))


def test_a_shared_mount_carries_what_the_container_mounts(mydocker: Mydocker, volume: Path) -> None:
    script = "mount -t tmpfs x /v/inner && touch /v/inner/there"
    flags = ("--rm", "--privileged", "-v", f"{volume}:/v:rshared")
    mydocker.ok("run", *flags, "sh", "-c", script)
    try:
        assert os.listdir(volume / "inner") == ["there"]
    finally:
        syscalls.umount2(str(volume / "inner"))
    assert intact(volume)


def test_what_cannot_be_shared_is_refused(mydocker: Mydocker, volume: Path) -> None:
    def work() -> None:  # every mount is private in there
        for mode, kind in (("rshared", "a shared mount"), ("rslave", "a shared or slave mount")):
            line = mydocker.fails(125, "run", "--rm", "-v", f"{volume}:/v:{mode}", "true")
            assert f"is not {kind}" in line

    privately(work)


# Volumes and crashes


def test_half_a_volume_is_found_and_put_right(mydocker: Mydocker) -> None:
    mydocker.ok("volume", "create", "data")
    volumes = mydocker.root / "volumes"
    for name in (".new-1/_data", ".removed-2/_data", "data/fill.new/x", "data/fill/y"):
        (volumes / name).mkdir(parents=True)
    assert len(mydocker.run("system", "check").stdout.splitlines()) == 3
    mydocker.ok("system", "check", "--repair")
    assert sorted(os.listdir(volumes)) == [".lock", "data"]
    assert os.listdir(data(mydocker)) == ["y"]


def test_a_full_disk_leaves_no_half_volume(mydocker: Mydocker, tmp_path: Path) -> None:
    script = "mkdir /big; for n in 1 2 3; do head -c 1m /dev/urandom > /big/$n; done"
    mydocker.ok("run", "--name", "bird", "sh", "-c", script)
    mydocker.ok("commit", "bird", "big")
    mydocker.ok("volume", "create", "other")

    def work() -> None:
        tmpfs(str(mydocker.root / "volumes"), "2m")
        line = mydocker.fails(125, "run", "--rm", "-v", "data:/big", "big", "true")
        assert "no space left" in line
        assert os.listdir(data(mydocker)) == []
        assert mydocker.ok("volume", "ls", "-q") == "data\n"
        mydocker.ok("run", "--rm", "-v", "data:/v", "touch", "/v/x")
        mydocker.ok("system", "check")

    privately(work)
