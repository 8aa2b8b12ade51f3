"""`mydocker exec`: a second command that is to be like the container's own, and gets no further."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker import cgroups
from mydocker.lifecycle.check import LIMIT, Check, capture
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.linux import process as processes
from mydocker.sandbox import join
from mydocker.sandbox.channel import Channel
from tests.conftest import CHECKOUT, LAUNCHER, Mydocker, wait_until
from tests.integration.test_terminal import Terminal, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROMPT = "/ # "


@pytest.fixture(scope="module")
def bird(shared: Mydocker) -> Iterator[Mydocker]:
    """A container `bird` that just runs, for the many tests that do not change it."""
    shared.ok("run", "-d", "--name", "bird", "top")
    yield shared
    shared.ok("rm", "-f", "bird")


@pytest.fixture
def at_terminal(bird: Mydocker) -> Iterator[Callable[..., Terminal]]:
    """`at_terminal(words…)`: mydocker with these words, at a terminal."""
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal([str(LAUNCHER), *words], bird.environment))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


def container(mydocker: Mydocker, name: str = "bird") -> Container:
    return Containers(str(mydocker.root)).find(name)


def group_of(mydocker: Mydocker, name: str = "bird") -> cgroups.Cgroup:
    found = container(mydocker, name)
    return cgroups.group(found.cgroup_parent, found.id)


def pid_of(mydocker: Mydocker, name: str = "bird") -> int:
    return container(mydocker, name).pid


# What it is: the same as the container's own process

KINDS: list[tuple[str, ...]] = [
    ("--userns", "auto"),
    ("-u", "daemon"),
    ("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--security-opt", "no-new-privileges"),
    ("--privileged", "--ulimit", "nofile=100:200", "--ulimit", "core=0"),
    ("--init", "--oom-score-adj", "300", "-w", "/tmp", "--read-only"),
]

KINDS_V2: list[tuple[str, ...]] = [(), ("--network", "host")]

SAME = """
for ns in cgroup ipc mnt net pid uts user; do readlink /proc/self/ns/$ns; done
grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status
grep -E '^Max (open files|core)' /proc/self/limits
cat /proc/self/oom_score_adj
hostname; pwd
"""


@pytest.mark.parametrize("flags", KINDS, ids=" ".join)
def test_an_execed_command_is_in_all_things_like_the_containers_own(
    mydocker: Mydocker, flags: tuple[str, ...]
) -> None:
    alike(mydocker, flags)


@pytest.mark.v2
@pytest.mark.parametrize("flags", KINDS_V2, ids=" ".join)
def test_an_execed_command_is_like_the_containers_own(
    mydocker: Mydocker, flags: tuple[str, ...]
) -> None:
    alike(mydocker, flags)


def alike(mydocker: Mydocker, flags: tuple[str, ...]) -> None:
    """What two processes tell of themselves is the same, and their cgroups are."""
    script = f"{SAME} env | grep -v SHLVL | sort; exec sleep 1000"
    mydocker.ok("run", "-d", "--name", "bird", *flags, "-e", "A=B", "sh", "-c", script)
    inside = mydocker.ok("exec", "bird", "sh", "-c", f"{SAME} env | grep -v SHLVL | sort")
    wait_until(lambda: len(mydocker.ok("logs", "bird")) >= len(inside))
    assert inside == mydocker.ok("logs", "bird")
    assert len(inside.splitlines()) > 20
    mydocker.ok("exec", "-d", "bird", "sleep", "999")
    group = group_of(mydocker)
    wait_until(lambda: [pid for pid in group.processes() if "999" in words(pid)])
    first = Path(f"/proc/{pid_of(mydocker)}/cgroup").read_text()
    for pid in group.processes():
        assert Path(f"/proc/{pid}/cgroup").read_text() == first


@pytest.mark.v2
def test_it_joins_a_container_that_has_groups_of_its_own(mydocker: Mydocker) -> None:
    """On v2 the container's own group can hold no process then."""
    script = (
        "cd /sys/fs/cgroup; mkdir own; echo $$ > own/cgroup.procs;"
        "echo +memory > cgroup.subtree_control; cd /; echo ready; exec sleep 1000"
    )
    mydocker.ok("run", "-d", "--privileged", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: "ready" in mydocker.run("logs", "bird").stdout)
    if group_of(mydocker).hierarchies[0].version == 2:
        assert mydocker.ok("exec", "bird", "cat", "/proc/self/cgroup") == "0::/own\n"
    else:
        assert mydocker.ok("exec", "bird", "true") == ""


def words(pid: int) -> list[str]:
    """The command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def test_the_environment_is_the_containers_and_what_was_asked_for(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-e", "A=1", "-e", "B=2", "top")
    (tmp_path / "file").write_text("# a comment\nC=file\nD=file\n")
    flags = (
        "-e",
        "B=other",
        "-e",
        "D=flag",
        "-e",
        "HOST",
        "-e",
        "A",
        f"--env-file={tmp_path}/file",
    )
    out = mydocker.ok(
        "exec", *flags, "bird", "env", HOST="taken", SECRET="not taken", LD_PRELOAD=""
    )
    found = dict(line.split("=", 1) for line in out.splitlines())
    assert found.pop("PATH").startswith("/usr/local/sbin:")
    assert found.pop("HOSTNAME") == container(mydocker).short_id
    expected = {"B": "other", "C": "file", "D": "flag", "HOST": "taken", "HOME": "/root"}
    assert found == expected  # -e A: not set here, so not there


@pytest.mark.parametrize("flag", ["-e", "--env-file"])
def test_a_variable_or_a_file_of_them_that_is_wrong_is_named(bird: Mydocker, flag: str) -> None:
    assert "=nothing" in bird.fails(125, "exec", flag, "=nothing", "bird", "true")


def test_a_user_is_looked_up_inside(bird: Mydocker) -> None:
    out = bird.ok("exec", "-u", "daemon", "bird", "sh", "-c", "id -u; id -G; echo $HOME")
    passwd = bird.ok("exec", "bird", "grep", "^daemon:", "/etc/passwd").strip().split(":")
    uid, groups, home = out.splitlines()
    assert (uid, groups.split()[0], home) == (passwd[2], passwd[3], passwd[5])
    assert bird.ok("exec", "-u", "7:8", "bird", "id").startswith("uid=7 gid=8")
    assert "not in the container's" in bird.fails(125, "exec", "-u", "nobody2", "bird", "true")


def test_privileged_has_what_the_host_has(bird: Mydocker) -> None:
    script = "grep -E 'CapEff|CapBnd' /proc/self/status"
    masks = bird.ok("exec", "--privileged", "bird", "sh", "-c", script).split()[1::2]
    ours = re.findall(r"CapBnd:\t(\w+)", Path("/proc/self/status").read_text())
    assert set(masks) == set(ours)
    assert ours[0] not in bird.ok("exec", "bird", "sh", "-c", script)


def test_the_directory_is_the_containers_or_another_that_is_there(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-w", "/made/by/run", "top")
    assert mydocker.ok("exec", "bird", "pwd") == "/made/by/run\n"
    assert mydocker.ok("exec", "-w", "/etc", "bird", "pwd") == "/etc\n"
    line = mydocker.fails(125, "exec", "-w", "/nope", "bird", "true")
    assert line == "mydocker: working directory: /nope: no such file or directory"
    mydocker.fails(125, "exec", "-w", "/etc/passwd", "bird", "true")


def test_it_is_counted_and_limited_with_the_container(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-m", "60m", "sleep", "1000")
    done = mydocker.run("exec", "bird", "stress", "--vm-bytes", "100m", "--vm", "1", "-t", "9")
    assert "got signal 9" in done.stdout + done.stderr
    assert group_of(mydocker).oom_kills() > 0


# How it ends


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 42"), 42),
        (("sh", "-c", "exit 255"), 255),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("sh", "-c", "kill -KILL $$"), 137),
    ],
)
def test_the_exit_code_is_the_commands(bird: Mydocker, command: tuple[str, ...], code: int) -> None:
    for flags in ((), ("-t",), ("-i",)):
        done = bird.run("exec", *flags, "bird", *command)
        assert (done.returncode, done.stderr) == (code, "")


def test_what_cannot_be_executed_is_126_and_what_is_not_there_127(bird: Mydocker) -> None:
    line = bird.fails(127, "exec", "bird", "nope")
    assert line == "mydocker: exec: nope: command not found in the container's PATH"
    assert "/nope" in bird.fails(127, "exec", "-t", "bird", "/nope")
    assert "/etc/passwd" in bird.fails(126, "exec", "bird", "/etc/passwd")
    assert "nope" in bird.fails(127, "exec", "-d", "bird", "nope")
    assert bird.ok("exec", "bird", "true") == ""


def test_words_stay_words(bird: Mydocker) -> None:
    script = 'for word; do echo "[$word]"; done'
    out = bird.ok("exec", "bird", "sh", "-c", script, "sh", "a b", "", "*", "-i", "--", "$HOME")
    assert out == "[a b]\n[]\n[*]\n[-i]\n[--]\n[$HOME]\n"


def test_too_few_words_are_told(bird: Mydocker) -> None:
    for given in ((), ("bird",), ("-t", "bird")):
        assert "too few arguments" in bird.fails(125, "exec", *given)


# Containers that do not run


def test_an_unknown_container_is_named(bird: Mydocker) -> None:
    line = bird.fails(125, "exec", "nobody", "true")
    assert line == "mydocker: container: nobody: no such container"


def test_into_a_container_that_has_ended_there_is_no_way(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    line = mydocker.fails(125, "exec", "bird", "true")
    assert line == "mydocker: exec: bird: is exited, a command needs one that runs"
    mydocker.ok("run", "-d", "--name", "fish", "top")
    os.kill(container(mydocker, "fish").monitor_pid, signal.SIGKILL)
    wait_until(lambda: not container(mydocker, "fish").alive())
    assert "is exited" in mydocker.fails(125, "exec", "fish", "true")


def test_into_a_paused_or_created_container_there_is_no_way(mydocker: Mydocker) -> None:
    mydocker.ok("create", "--name", "bird", "top")
    line = mydocker.fails(125, "exec", "bird", "true")
    assert line == "mydocker: exec: bird: is created, a command needs one that runs"
    mydocker.ok("start", "bird")
    mydocker.ok("pause", "bird")
    line = mydocker.fails(125, "exec", "bird", "true")
    assert line == "mydocker: exec: bird: is paused, a command needs one that runs"
    assert "hint: mydocker unpause bird" in mydocker.run("exec", "bird", "true").stderr
    mydocker.ok("unpause", "bird")
    assert mydocker.ok("exec", "bird", "echo", "out") == "out\n"


def test_a_command_is_paused_with_its_container(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    process = mydocker.start("exec", "-i", "bird", "cat", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "one\n"
    mydocker.ok("pause", "bird")
    process.stdin.write("two\n")
    process.stdin.flush()
    assert select.select([process.stdout], [], [], 0.2)[0] == []
    mydocker.ok("unpause", "bird")
    assert process.communicate(timeout=20) == ("two\n", "")


def test_after_a_restart_it_goes_into_the_new_life(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.ok("exec", "bird", "touch", "/dev/shm/note")
    before = pid_of(mydocker)
    assert mydocker.run("restart", "-t", "0", "bird").returncode == 0
    assert pid_of(mydocker) != before
    inside = mydocker.ok("exec", "bird", "readlink", "/proc/self/ns/pid")
    assert inside.strip() == os.readlink(f"/proc/{pid_of(mydocker)}/ns/pid")
    assert mydocker.ok("exec", "bird", "ls", "/dev/shm") == ""


def test_a_reused_pid_is_not_joined(mydocker: Mydocker) -> None:
    """The record's pid is of another process by now, which has another start time."""
    mydocker.ok("run", "-d", "--name", "bird", "top")
    found = container(mydocker)
    pidfd = processes.pidfd_open(found.pid, found.pid_started)
    assert pidfd > 2
    os.close(pidfd)
    assert processes.pidfd_open(found.pid, found.pid_started + 1) == -1
    path = Path(found.directory, "container.json")
    other = json.loads(path.read_text()) | {"pid": os.getpid()}
    path.write_text(json.dumps(other))
    assert "has just ended" in mydocker.fails(125, "exec", "bird", "true")
    found.save()


# Streams


def test_a_pipe_goes_in_and_comes_out(bird: Mydocker) -> None:
    assert bird.ok("exec", "-i", "bird", "cat", input="data\n") == "data\n"
    assert bird.ok("exec", "-i", "bird", "cat", input="") == ""
    assert bird.ok("exec", "bird", "cat", input="not for it") == ""
    done = bird.run("exec", "bird", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    command = [str(LAUNCHER), "exec", "-i", "bird", "cat"]
    data = os.urandom(5 << 20)
    assert subprocess.check_output(command, input=data, env=bird.environment) == data


def test_what_it_writes_is_not_in_the_log(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sleep", "1000")
    mydocker.ok("exec", "bird", "echo", "said by exec")
    mydocker.ok("exec", "-d", "bird", "echo", "said by exec")
    assert mydocker.ok("logs", "bird") == ""


def test_the_streams_belong_to_the_user(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--userns", "auto", "top")
    script = "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin"
    for flags in (("-i",), ("-i", "-u", "daemon")):
        done = mydocker.run("exec", *flags, "bird", "sh", "-c", script, input="in\n")
        assert (done.stdout, done.stderr) == ("out\nin\n", "err\n"), flags


@pytest.mark.v2
def test_in_the_background_it_runs_on(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sleep", "1000")
    assert mydocker.ok("exec", "-d", "bird", "sh", "-c", "echo x; exec sleep 777") == ""
    mydocker.ok("exec", "-dt", "bird", "sh", "-c", "tty > /tty; yes | head -c 50000; sleep 778")
    group = group_of(mydocker)
    wait_until(lambda: {"777", "778"} <= {w for pid in group.processes() for w in words(pid)})
    assert mydocker.ok("exec", "bird", "cat", "/tty") == "/dev/pts/0\n"
    mydocker.ok("exec", "bird", "pidof", "sleep")
    mydocker.ok("exec", "bird", "sh", "-c", "kill $(pidof sleep)")
    # Nobody in the container has to reap what was brought into it from outside.
    wait_until(lambda: len(group.processes()) == 1)
    wait_until(lambda: "Z" not in mydocker.ok("exec", "bird", "ps", "-o", "stat"))


# At a terminal


def test_typed_at_a_terminal_it_opens_a_shell(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("exec", "bird", "sh")
    terminal.see(PROMPT)
    terminal.type("tty; stty size; ps -o pid,tty | grep 136; echo x > /dev/tty\r")
    terminal.see("\r\n/dev/pts/0\r\n24 80\r\n")
    terminal.see("136,0\r\nx\r\n")  # its controlling terminal
    terminal.see(PROMPT)
    assert raw(terminal.modes())
    terminal.type("exit 5\r")
    assert terminal.ends() == 5
    assert terminal.modes() == terminal.before


def test_jobs_are_controlled_and_ctrl_c_ends_the_job(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("exec", "-it", "bird", "sh")
    terminal.see(PROMPT)
    terminal.type("sh -c 'echo r\"u\"ns; sleep 1000'\r")
    terminal.see("runs\r\n")
    terminal.type("\x03")
    terminal.see(PROMPT)
    terminal.type("sh -c 'echo r\"u\"ns; exec sleep 1000'\r")
    terminal.see("runs\r\n")
    terminal.type("\x1a")
    terminal.see("Stopped")
    terminal.see(PROMPT)
    terminal.type("bg; jobs; kill %1\r")
    terminal.see("Running")
    terminal.see(PROMPT)
    terminal.type("\x04")
    assert terminal.ends() == 0


def test_another_size_of_the_window_is_another_size_inside(
    at_terminal: Callable[..., Terminal],
) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    terminal = at_terminal("exec", "-it", "bird", "sh", "-c", script)
    terminal.see("ready\r\n")
    terminal.resize(40, 100)
    terminal.see("40 100\r\n")
    terminal.type("\x03")
    assert terminal.ends() == 130


def test_the_size_is_right_from_the_first_moment(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("exec", "-it", "bird", "stty", "size")
    terminal.see("24 80\r\n")
    assert terminal.ends() == 0


def test_without_a_terminal_it_is_refused(bird: Mydocker) -> None:
    line = bird.fails(1, "exec", "-it", "bird", "sh", input="")
    assert line == "mydocker: exec: stdin: is not a terminal"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_puts_the_terminal_back_and_ends_the_command(
    bird: Mydocker, at_terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    terminal = at_terminal("exec", "-it", "bird", "sh")
    terminal.see(PROMPT)
    terminal.program.send_signal(number)
    terminal.see(f"{number.name}: the command was ended with mydocker")
    assert terminal.ends() == 128 + number
    assert terminal.modes() == terminal.before
    assert len(group_of(bird).processes()) == 1


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1"])
def test_a_signal_to_mydocker_goes_to_the_command(bird: Mydocker, name: str) -> None:
    script = f"trap 'echo got {name}; exit 7' {name}; echo up; while :; do sleep 0.1; done"
    process = bird.start("exec", "bird", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, f"got {name}\n", "")


def test_the_terminals_multiplexer_must_be_one(mydocker: Mydocker) -> None:
    """Who may mount in the container can put any file in the place of /dev/pts/ptmx."""
    mydocker.ok("run", "-d", "--name", "bird", "--cap-add", "SYS_ADMIN", "top")
    script = "mount -t tmpfs tmpfs /dev/pts && echo x > /dev/pts/ptmx"
    mydocker.ok("exec", "bird", "sh", "-c", script)
    line = mydocker.fails(125, "exec", "-t", "bird", "true")
    assert line == "mydocker: pty: /dev/pts/ptmx: is not the multiplexer of terminals"


# Ends: of the container, of mydocker


@pytest.mark.parametrize("how", ["stopped", "nobody reads"])
def test_a_mydocker_that_does_nothing_does_not_hold_up_the_containers_end(
    mydocker: Mydocker, how: str
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    process = mydocker.start("exec", "bird", "yes")
    assert process.stdout is not None
    assert process.stdout.read(2) == "y\n"
    if how == "stopped":
        process.send_signal(signal.SIGSTOP)
    found = container(mydocker)
    mydocker.ok("rm", "-f", "bird")
    assert not processes.alive(found.pid, found.pid_started, found.boot_id)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=20)
    assert process.returncode == 137


@pytest.mark.parametrize("flags", [(), ("-u", "daemon")])
def test_a_killed_mydocker_takes_its_command_along(bird: Mydocker, flags: tuple[str, ...]) -> None:
    process = bird.start("exec", *flags, "bird", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.communicate()
    group = group_of(bird)
    wait_until(lambda: len(group.processes()) == 1)


def test_a_command_ends_with_its_container(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    process = mydocker.start("exec", "bird", "sh", "-c", "echo up; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    mydocker.ok("rm", "-f", "bird")
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (137, "")


def test_twenty_at_once(bird: Mydocker) -> None:
    script = "echo $0; cat; exit $0"
    started = [
        bird.start("exec", "-i", "bird", "sh", "-c", script, str(n), stdin=subprocess.PIPE)
        for n in range(20)
    ]
    for number, process in enumerate(started):
        out, err = process.communicate(f"in {number}", timeout=60)
        assert (process.returncode, out, err) == (number, f"{number}\nin {number}", "")
    assert len(group_of(bird).processes()) == 1


@pytest.mark.parametrize("flags", [(), ("-d",), ("-t",)], ids=" ".join)
def test_when_the_container_ends_meanwhile_one_line_says_so(
    mydocker: Mydocker, flags: tuple[str, ...]
) -> None:
    for delay in (0.05, 0.1, 0.15, 0.2):
        mydocker.ok("run", "-d", "--name", "bird", "top")
        started = [mydocker.start("exec", *flags, "bird", "true") for _ in range(6)]
        time.sleep(delay)
        mydocker.ok("rm", "-f", "bird")
        for process in started:
            _, err = process.communicate(timeout=60)
            assert process.returncode in (0, 125, 137), err
            ended = (
                r"mydocker: (exec: bird: (has just ended|is \w+, .*)|container: bird: no such.*)"
            )
            if process.returncode == 125:
                assert re.fullmatch(rf"{ended}(\nhint: .*)?\n", err), err
            else:
                assert err == ""


# What a hostile container finds


def test_no_descriptor_of_the_host_is_inside(bird: Mydocker) -> None:
    shell = (
        f"exec 3</ 4</etc/passwd 9<{CHECKOUT};"
        f"exec {LAUNCHER} exec bird sh -c 'ls -l /proc/$$/fd; readlink /proc/$$/cwd'"
    )
    out = subprocess.check_output(["sh", "-c", shell], env=bird.environment, text=True, cwd="/tmp")
    *lines, directory = out.splitlines()
    assert [line.split()[-3] for line in lines if "->" in line] == ["0", "1", "2"]
    assert directory == "/"


@pytest.mark.parametrize("number", range(3, 15))
def test_a_directory_cannot_lead_out_by_a_descriptor(bird: Mydocker, number: int) -> None:
    shell = f'exec 9</; exec {LAUNCHER} exec -w "$0" bird ls -a'
    for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../../etc"):
        done = subprocess.run(
            ["sh", "-c", shell, path], env=bird.environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.startswith(f"mydocker: working directory: {path}: ")


@pytest.mark.parametrize("command", ["exec", "run"])
def test_a_command_cannot_lead_out_by_a_descriptor(bird: Mydocker, command: str) -> None:
    """CVE-2024-21626: what the caller's shell has open is not there to execute from."""
    target = ["exec", "bird"] if command == "exec" else ["run", "--rm", "busybox"]
    shell = 'exec 9</; exec "$@"'
    words = [str(LAUNCHER), *target, "/proc/self/fd/9/bin/true"]
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *words], env=bird.environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (127, "")


@pytest.mark.parametrize("flags", [(), ("--userns", "auto")])
def test_who_joins_cannot_be_looked_into(
    mydocker: Mydocker, forked: Callable[[Callable[[], None]], int], flags: tuple[str, ...]
) -> None:
    """Stopped between setns(2) and execve(2), when it is inside and still has all its power."""
    mydocker.ok("run", "-d", "--name", "bird", *flags, "top")
    found = container(mydocker)
    linux, group = found.spec().linux, group_of(mydocker)

    def stay(channel: Channel) -> None:
        channel.receive()

    def main() -> None:
        pidfd = processes.pidfd_open(found.pid, found.pid_started)
        _held = join.enter(found.pid, pidfd, linux, group.fork, group.add, stay)
        time.sleep(60)

    forked(main)

    def others() -> list[str]:
        return [within(pid) for pid in group.processes() if pid != found.pid]

    wait_until(lambda: len(others()) == 1 and others()[0])  # the joiner has ended, too
    (inside,) = others()
    # It has all capabilities of the container's user namespace, which is why it must be closed.
    # (That root may list the numbers of its descriptors leads nowhere: they cannot be followed.)
    names = ("exe", "root", "cwd", "fd/0", "fd/1", "ns/mnt", "ns/user")
    tries = [
        *(f"cat /proc/{inside}/{name}" for name in ("maps", "environ", "auxv", "mem")),
        *(f"ls /proc/{inside}/{name}/" for name in ("root", "cwd")),
        *(f"readlink /proc/{inside}/{name}" for name in names),
        *(f"true < /proc/{inside}/{name}" for name in names),
        f'test -n "$(ls /proc/{inside}/map_files)"',
        f"echo 0 > /proc/{inside}/mem",
    ]
    script = "; ".join(f"({attempt}) 2> /dev/null && echo '{attempt}'" for attempt in tries)
    assert mydocker.ok("exec", "bird", "sh", "-c", f"{script}; ls -d /proc/{inside}") == (
        f"/proc/{inside}\n"
    )


def within(pid: int) -> str:
    """The pid inside; empty for one that is in the host's pid namespace still, or has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    _outside, *inside = status.split("NSpid:")[1].split("\n")[0].split()
    return inside[-1] if inside else ""


def test_each_of_our_processes_runs_from_a_read_only_mount(bird: Mydocker) -> None:
    process = bird.start("exec", "-i", "bird", "sh", "-c", "echo up; cat", stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    (keeper,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, int(keeper)):
        assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY
    # Of the command and of mydocker.
    wait_until(lambda: len(os.listdir(f"/proc/{keeper}/fd")) == 2)
    assert Path(f"/proc/{keeper}/stat").read_text().split()[5] == keeper  # a session of its own
    process.communicate("", timeout=20)


def test_the_session_keyring_is_not_the_callers(bird: Mydocker) -> None:
    if not os.path.exists("/proc/keys"):
        pytest.skip("this kernel has no keyrings")
    told = bird.run("exec", "--explain", "bird", "true").stderr
    assert re.search(r'^exec .* keyctl\(KEYCTL_JOIN_SESSION_KEYRING, "mydocker"\) = 0', told, re.M)


# Checks, as the monitor has them made


def test_a_check_tells_code_and_output(bird: Mydocker) -> None:
    found = container(bird)
    for words_, seconds, expected in (
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 20, (3, "out\nerr\n")),
        (["true"], 20, (0, "")),
        (["nope"], 20, (127, "exec: nope: command not found in the container's PATH")),
        (["sh", "-c", "kill -9 $$"], 20, (137, "")),
        (["sh", "-c", "sleep 1000 & echo started"], 20, (0, "started\n")),
        (["sh", "-c", "sleep 1000"], 0.5, (-1, "the check did not end within 0.5 seconds")),
    ):
        assert Check(found, words_, seconds).result() == expected
    code, output = Check(found, ["sh", "-c", "yes | head -c 1000000; exit 1"], 20).result()
    assert (code, output) == (1, "y\n" * (LIMIT // 2))
    wait_until(lambda: len(group_of(bird).processes()) == 1)


def test_a_check_of_a_container_that_ends_says_so(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    found = container(mydocker)
    check = Check(found, ["sleep", "1000"], 1000)
    group = group_of(mydocker)
    wait_until(lambda: any("1000" in words(pid) for pid in group.processes()))
    mydocker.ok("rm", "-f", "bird")
    assert check.result() == (137, "")
    assert Check(found, ["true"], 9).result() == (-1, "exec: bird: has just ended")


def test_a_check_that_is_cancelled_leaves_nothing(bird: Mydocker) -> None:
    check = Check(container(bird), ["sh", "-c", "sleep 1000"], 1000)
    group = group_of(bird)
    wait_until(lambda: any("sleep" in words(pid) for pid in group.processes()))
    check.cancel()
    wait_until(lambda: len(group.processes()) == 1)


def test_a_check_makes_no_other_process_its_own(
    bird: Mydocker, forked: Callable[[Callable[[], None]], int]
) -> None:
    """`capture` runs in whoever calls it, and leaves it no child."""

    def main() -> None:
        code, output = capture(container(bird), ["echo", "out"], 20)
        left = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        os._exit(0 if (code, output, left) == (0, b"out\n", "") else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(forked(main), 0)[1]) == 0


# top


def test_top_lists_what_ps_lists(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "-t", "sh", "-c", "sleep 1000 & exec sleep 1001")
    mydocker.ok("exec", "-d", "-u", "daemon", "bird", "sleep", "1002")
    group = group_of(mydocker)
    wait_until(lambda: len(group.processes()) == 3)
    wait_until(lambda: all("sleep" in words(pid) for pid in group.processes()))
    ours = mydocker.ok("top", "bird")
    pids = ",".join(map(str, group.processes()))
    theirs = subprocess.check_output(["ps", "-f", "-q", pids], text=True)
    our_lines, their_lines = ([line.split() for line in t.splitlines()] for t in (ours, theirs))
    for mine, other in zip(our_lines, their_lines, strict=True):
        assert mine[:3] + mine[6:] == other[:3] + other[6:]
    # C and STIME follow the clock; ps(1) looks for the terminal on the host, where it is not.
    assert all(line[3].isdigit() for line in our_lines[1:])
    assert all(re.fullmatch(r"\d\d:\d\d|[A-Z][a-z]{2}\d\d", line[4]) for line in our_lines[1:])
    assert our_lines[0][3:5] == their_lines[0][3:5]
    assert [line[5] for line in our_lines] == ["TTY", "pts/0", "pts/0", "?"]
    assert "1002" in ours
    chosen = mydocker.ok("top", "bird", "-o", "pid,args").splitlines()
    assert chosen[0].split() == ["PID", "COMMAND"]
    assert {int(line.split()[0]) for line in chosen[1:]} == set(group.processes())


def test_top_of_what_does_not_run_or_cannot_be_listed_is_an_error(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    assert mydocker.fails(125, "top", "bird") == "mydocker: top: bird: is exited"
    assert mydocker.fails(125, "top", "fish") == "mydocker: container: fish: no such container"
    mydocker.ok("run", "-d", "--name", "fish", "top")
    assert "does not show the column PID" in mydocker.fails(125, "top", "fish", "-o", "comm")
    assert "unknown" in mydocker.fails(125, "top", "fish", "--nope")
