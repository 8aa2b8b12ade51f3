"""What a container is on the inside, asked of the kernel through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mydocker

KINDS = ("mnt", "uts", "ipc", "pid", "net", "cgroup")


@pytest.mark.v2
def test_every_namespace_is_a_new_one(mydocker: Mydocker) -> None:
    script = f"for kind in {' '.join(KINDS)}; do readlink /proc/self/ns/$kind; done"
    inside = mydocker.ok("run", "--rm", "sh", "-c", script).split()
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS]
    assert len(inside) == len(KINDS)
    assert not set(inside) & set(outside)


@pytest.mark.v2
def test_the_command_is_pid_1_and_sees_only_its_own(mydocker: Mydocker) -> None:
    assert mydocker.ok("run", "--rm", "sh", "-c", "echo $$; ls -d /proc/[0-9]*").split()[:2] == [
        "1",
        "/proc/1",
    ]


@pytest.mark.parametrize(
    "word", ["", "a b", "'", '"', "$HOME", "a\nb", "héllo 世界", "\udcff", "*"]
)
def test_an_argument_arrives_as_it_was_given(mydocker: Mydocker, word: str) -> None:
    assert mydocker.ok("run", "--rm", "printf", "[%s]", word) == f"[{word}]"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$; sleep 1", 0), ("false", 1)]
)
def test_the_exit_code_is_the_commands(mydocker: Mydocker, script: str, code: int) -> None:
    # PID 1 cannot kill itself from inside: the kernel ignores it (pid_namespaces(7)).
    assert mydocker.run("run", "--rm", "sh", "-c", script).returncode == code


def test_a_killed_command_gives_128_and_the_signal(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "--init", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137


def test_a_missing_command_is_127_and_a_file_that_cannot_run_126(mydocker: Mydocker) -> None:
    line = mydocker.fails(127, "run", "--rm", "nosuch")
    assert "neither a local image nor a command" in line
    assert "nosuch" in mydocker.fails(127, "run", "--rm", "busybox", "nosuch")
    assert "/etc/passwd" in mydocker.fails(126, "run", "--rm", "busybox", "/etc/passwd")


def test_the_environment_is_never_the_hosts(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "vars").write_text("# a comment\nFROM_FILE=1\n\n")
    words = ("-e", "GIVEN=a b", "-e", "PASSED", "-e", "ABSENT", "--env-file", f"{tmp_path}/vars")
    out = mydocker.ok("run", "--rm", *words, "env", SECRET="host", PASSED="through")
    names = dict(line.split("=", 1) for line in out.splitlines())
    assert names.pop("HOSTNAME")
    assert names == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "GIVEN": "a b",
        "PASSED": "through",
        "FROM_FILE": "1",
    }


def test_the_users_python_variables_do_not_reach_the_runtime(mydocker: Mydocker) -> None:
    out = mydocker.ok("run", "--rm", "-e", "PYTHONHOME=/nosuch", "-e", "LD_PRELOAD=/no.so", "env")
    assert "PYTHONHOME=/nosuch" in out


def test_user_workdir_hostname_and_entrypoint(mydocker: Mydocker) -> None:
    assert mydocker.ok("run", "--rm", "-u", "1234:5", "id", "-u") == "1234\n"
    assert "nobody-at-all" in mydocker.fails(125, "run", "--rm", "-u", "nobody-at-all", "id")
    assert mydocker.ok("run", "--rm", "-w", "/made/here", "pwd") == "/made/here\n"
    assert mydocker.ok("run", "--rm", "-h", "bird", "hostname") == "bird\n"
    assert mydocker.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b\n"


def test_docker_s_fourteen_capabilities_and_none_to_inherit(mydocker: Mydocker) -> None:
    status = mydocker.ok("run", "--rm", "grep", "Cap", "/proc/self/status")
    masks = dict(line.split(":\t") for line in status.splitlines())
    assert masks == {
        "CapInh": "0" * 16,
        "CapPrm": "00000000a80425fb",
        "CapEff": "00000000a80425fb",
        "CapBnd": "00000000a80425fb",
        "CapAmb": "0" * 16,
    }
    dropped = mydocker.ok("run", "--rm", "--cap-drop", "ALL", "grep", "CapEff", "/proc/self/status")
    assert dropped.split()[1] == "0" * 16
    user = mydocker.ok("run", "--rm", "-u", "7", "grep", "CapEff", "/proc/self/status")
    assert user.split()[1] == "0" * 16


def test_no_new_privileges_only_when_asked(mydocker: Mydocker) -> None:
    words = ("grep", "NoNewPrivs", "/proc/self/status")
    assert mydocker.ok("run", "--rm", *words).split()[1] == "0"
    asked = mydocker.ok("run", "--rm", "--security-opt", "no-new-privileges", *words)
    assert asked.split()[1] == "1"


def test_what_must_not_be_written_or_seen_is_covered(mydocker: Mydocker) -> None:
    script = "echo 1 > /proc/sys/kernel/panic; echo x > /sys/kernel/profiling; wc -c < /proc/keys"
    done = mydocker.run("run", "--rm", "sh", "-c", script)
    assert done.stderr.count("Read-only file system") == 2
    assert done.stdout == "0\n"
    assert mydocker.run("run", "--rm", "--read-only", "touch", "/x").returncode == 1


def test_no_descriptor_and_no_directory_of_the_host_leaks(mydocker: Mydocker) -> None:
    out = mydocker.ok("run", "--rm", "sh", "-c", "ls /proc/1/fd; readlink /proc/1/cwd")
    assert out.split() == ["0", "1", "2", "/"]


def test_the_process_that_enters_cannot_lead_to_a_writable_interpreter(mydocker: Mydocker) -> None:
    words = ("run", "--rm", "-i", "sh", "-c", "echo up; read x")
    process = mydocker.start(*words, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    try:
        executable = f"/proc/{process.pid}/exe"
        with pytest.raises(OSError, match=r"Read-only file system|Text file busy"):
            os.close(os.open(executable, os.O_WRONLY))
        # Busy is only for as long as it runs; the mount says so for good.
        assert os.statvfs(executable).f_flag & os.ST_RDONLY
    finally:
        process.communicate("\n")


def test_a_user_namespace_maps_root_and_leaves_the_files_unshifted(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    words = ("--userns", "auto", "-v", f"{tmp_path}:/data", "--name", "mapped")
    script = "id -u; cat /proc/self/uid_map; echo x > /file; ls /data"
    out = mydocker.ok("run", *words, "sh", "-c", script).split()
    assert out[:4] == ["0", "0", "100000", "65536"]
    upper = next((mydocker.root / "containers").glob("*/upper/file"))
    assert upper.stat().st_uid == 0


def test_init_reaps_forwards_and_returns_the_code(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"
    process = mydocker.start("run", "--rm", "--init", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 7


def test_rm_name_cidfile_and_a_taken_name(mydocker: Mydocker, tmp_path: Path) -> None:
    cidfile = tmp_path / "id"
    mydocker.ok("run", "--name", "bird", "--cidfile", str(cidfile), "true")
    identity = cidfile.read_text()
    assert len(identity) == 64
    assert identity[:12] in mydocker.ok("ps", "-a")
    assert "bird" in mydocker.fails(125, "run", "--name", "bird", "true")
    mydocker.ok("rm", identity[:6])
    mydocker.ok("run", "--rm", "--name", "bird", "true")
    assert mydocker.ok("ps", "-aq") == ""


def test_detached_it_runs_on_and_its_log_can_be_read(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    identity = mydocker.ok(
        "run", "-d", "--name", "bird", "sh", "-c", "echo out; exec sleep 1000"
    ).strip()
    assert len(identity) == 64
    assert "Up" in mydocker.ok("ps")
    eventually(lambda: mydocker.ok("logs", "bird") == "out\n")
    assert "is running" in mydocker.fails(1, "rm", "bird")
    mydocker.ok("rm", "-f", "bird")
    assert mydocker.ok("ps", "-aq") == ""


def test_a_pipe_goes_in_and_comes_out_whole(mydocker: Mydocker) -> None:
    data = "0123456789abcdef" * 65536
    assert mydocker.ok("run", "--rm", "-i", "cat", input=data) == data
    assert mydocker.ok("run", "--rm", "cat", input="not for it") == ""


def test_stdout_and_stderr_stay_apart(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_a_killed_mydocker_takes_its_container_along(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    process = mydocker.start("run", "--rm", "sh", "-c", "echo up; sleep 1000")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    eventually(lambda: mydocker.ok("ps", "-aq") == "")


def test_explain_tells_the_story_in_order(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "--explain", "true")
    calls = ["unshare(", '"overlay"', "pivot_root(", "umount2(", "sethostname(", "capset("]
    places = [done.stderr.index(call) for call in [*calls, "execve("]]
    assert places == sorted(places)
    assert mydocker.ok("run", "--rm", "true") == ""


def test_limits_are_in_the_files_before_the_command_runs(mydocker: Mydocker) -> None:
    files = "memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares"
    paths = " ".join(f"/sys/fs/cgroup/{name}" for name in files.split())
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("the names of the files are those of cgroup v1; test_cgroups.py has v2's")
    words = ("-m", "100m", "--pids-limit", "20", "-cpushare", "256")
    assert mydocker.ok("run", "--rm", *words, "cat", *paths.split()).split() == [
        str(100 << 20),
        "20",
        "256",
    ]


def test_a_process_over_its_memory_limit_is_killed_and_that_is_recorded(mydocker: Mydocker) -> None:
    stress = ("stress", "--vm-bytes", "64m", "--vm-keep", "--vm", "1")
    done = mydocker.run("run", "--name", "hog", "-m", "20m", *stress)
    assert done.returncode == 1
    assert "got signal 9" in done.stderr
    assert '"oomKilled": true' in mydocker.ok("inspect", "hog")
