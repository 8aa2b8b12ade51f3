"""A container's standard streams: at a real terminal, typed at; in pipes; and signals to both."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pexpect import TIMEOUT, fdpexpect

from tests.conftest import LAUNCHER, Mydocker, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROMPT = "/ # "


class Terminal:
    """A terminal of 24 lines by 80 columns, and a program that leads its session.

    We hold both ends: `master` is the keyboard and the screen, `end` what the program has, so that
    its modes can be looked at before, while and after the program runs.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.master, self.end = os.openpty()
        self.resize(24, 80)
        self.before = self.modes()
        self.program = subprocess.Popen(
            command,
            stdin=self.end,
            stdout=self.end,
            stderr=self.end,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._screen = fdpexpect.fdspawn(self.master, encoding="utf-8", timeout=30)

    def modes(self) -> list[object]:
        """The modes as tcgetattr(3) gives them."""
        return list(termios.tcgetattr(self.end))

    def resize(self, lines: int, columns: int) -> None:
        """Give the window another size; the kernel sends SIGWINCH to the foreground."""
        size = (lines | columns << 16).to_bytes(4, "little") + bytes(4)
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Press these keys."""
        self._screen.send(text)

    def see(self, text: str) -> str:
        """Wait until exactly this is on the screen; what came before it."""
        self._screen.expect_exact(text)
        return str(self._screen.before)

    def ends(self) -> int:
        """Wait for the program's end, reading what it still writes; its exit code."""
        wait_until(self._ended, 30)
        return self.program.wait()

    def _ended(self) -> bool:
        self._screen.expect(["(?s).+", TIMEOUT], timeout=0)
        return self.program.poll() is not None

    def hang_up(self) -> None:
        """Close the window: the kernel sends SIGHUP to the session's leader."""
        for fd in {self.master, self.end} - {-1}:
            os.close(fd)
        self.master = self.end = -1

    def close(self) -> None:
        """End the program, if a test has failed before it did."""
        self.program.kill()
        self.program.wait()
        self.hang_up()


@pytest.fixture
def at_terminal(shared: Mydocker) -> Iterator[Callable[..., Terminal]]:
    """`at_terminal(words…)`: mydocker with these words, at a terminal."""
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal([str(LAUNCHER), *words], shared.environment))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


@pytest.fixture
def shell(at_terminal: Callable[..., Terminal]) -> Terminal:
    """The shell of a container, waiting for a command."""
    terminal = at_terminal("run", "--rm", "-ti", "sh")
    terminal.see(PROMPT)
    return terminal


# -ti: the terminal itself


def test_the_container_has_a_terminal_of_its_own(shell: Terminal) -> None:
    shell.type("tty; stty size; echo /dev/pts/*; stat -c '%F %t:%T' /dev/console\r")
    shell.see("\r\n/dev/pts/0\r\n24 80\r\n/dev/pts/0 /dev/pts/ptmx\r\n")
    shell.see("character special file 88:0\r\n")
    shell.see(PROMPT)
    shell.type("ps -o pid,tty | grep '^ *1 *136,0'; echo seen > /dev/console\r")
    shell.see("136,0\r\nseen\r\n")  # it is the controlling terminal of PID 1
    shell.type("exit 5\r")
    assert shell.ends() == 5


@pytest.mark.v2
def test_what_is_typed_is_echoed_once(shell: Terminal) -> None:
    shell.type("echo one\r")
    assert shell.see(PROMPT).endswith("necho one\r\none\r\n")  # n ends what the prompt began
    shell.type("exit\r")
    assert shell.ends() == 0


def test_another_size_of_the_window_is_another_size_inside(
    at_terminal: Callable[..., Terminal],
) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    terminal = at_terminal("run", "--rm", "-ti", "sh", "-c", script)
    terminal.see("ready\r\n")
    terminal.resize(40, 100)
    terminal.see("40 100\r\n")
    terminal.type("\x03")
    assert terminal.ends() == 130


def test_ctrl_c_ends_the_job_and_not_the_container(shell: Terminal) -> None:
    shell.type("sh -c 'echo r\"u\"ns; sleep 1000'\r")
    shell.see("runs\r\n")  # a key that came earlier would go to the shell
    shell.type("\x03")
    shell.see(PROMPT)
    shell.type("\x03\x03echo $((40 + 2))\r")  # at the prompt it does nothing
    shell.see("42\r\n")
    shell.type("exit\r")
    assert shell.ends() == 0


def test_jobs_can_be_stopped_and_continued(shell: Terminal) -> None:
    shell.type("sh -c 'echo r\"u\"ns; exec cat'\r")
    shell.see("runs\r\n")
    shell.type("\x1a")
    shell.see("Stopped")
    shell.see(PROMPT)
    shell.type("jobs\r")
    shell.see("[1]+  Stopped")
    shell.see(PROMPT)
    shell.type("fg\r")
    shell.see('exec cat"\r\n')
    shell.type("again\r")
    shell.see("again\r\nagain\r\n")
    shell.type("\x04")
    shell.see(PROMPT)
    shell.type("sh -c 'echo r\"u\"ns; exec sleep 1000'\r")
    shell.see("runs\r\n")
    shell.type("\x1a")
    shell.see("Stopped")
    shell.see(PROMPT)
    shell.type("bg; jobs\r")
    shell.see("Running")
    shell.see(PROMPT)
    shell.type("kill %1\r")
    shell.see(PROMPT)
    shell.type("\x04")
    assert shell.ends() == 0


def test_init_leaves_the_terminal_to_the_command(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "--rm", "-ti", "--init", "sh")
    terminal.see(PROMPT)
    terminal.type("sh -c 'echo r\"u\"ns; exec sleep 1000'\r")
    terminal.see("runs\r\n")
    terminal.type("\x1a")
    terminal.see("Stopped")
    terminal.see(PROMPT)
    terminal.type("kill -9 %1\r")
    terminal.see(PROMPT)
    terminal.type("exit 3\r")
    terminal.type("exit 3\r")  # it may think that there is a stopped job, but says so only once
    assert terminal.ends() == 3


def test_a_user_can_open_the_terminal(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "--rm", "-ti", "-u", "daemon", "sh", "-c", "echo hi > /dev/tty")
    terminal.see("hi\r\n")
    assert terminal.ends() == 0
    terminal = at_terminal("run", "--rm", "-ti", "--userns", "auto", "sh", "-c", "tty; stty size")
    terminal.see("/dev/pts/0\r\n24 80\r\n")
    assert terminal.ends() == 0


# -ti: the modes of the terminal in front


def raw(modes: list[object]) -> bool:
    local = modes[3]
    assert isinstance(local, int)
    return not local & (termios.ICANON | termios.ECHO | termios.ISIG)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 3"), 3),
        (("sh", "-c", "stty raw -echo"), 0),
        (("nope",), 127),
        (("--entrypoint", "/etc/passwd", "busybox"), 126),
        (("--nope",), 125),
        (("-w", "relative", "true"), 125),
    ],
)
def test_the_terminal_is_as_before_however_it_ends(
    at_terminal: Callable[..., Terminal], words: tuple[str, ...], code: int
) -> None:
    terminal = at_terminal("run", "--rm", "-ti", *words)
    assert terminal.ends() == code
    assert terminal.modes() == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_as_before_when_mydocker_is_told_to_end(
    shell: Terminal, number: signal.Signals
) -> None:
    assert raw(shell.modes())
    shell.program.send_signal(number)
    shell.see(f"{number.name}: the container was ended with mydocker")
    assert shell.ends() == 128 + number
    assert shell.modes() == shell.before


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM])
def test_other_signals_go_to_the_container_and_the_terminal_stays_raw(
    at_terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    script = (
        f"trap 'exit 7' {number.name.removeprefix('SIG')}; echo up; while :; do sleep 0.1; done"
    )
    terminal = at_terminal("run", "--rm", "-ti", "sh", "-c", script)
    terminal.see("up\r\n")
    terminal.program.send_signal(number)
    assert terminal.ends() == 7
    assert terminal.modes() == terminal.before


def test_a_stopped_mydocker_is_raw_again_when_it_continues(
    shell: Terminal, eventually: Callable[..., None]
) -> None:
    pid = shell.program.pid
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
    termios.tcsetattr(shell.end, termios.TCSANOW, shell.before)  # type: ignore[arg-type]  # as a shell
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: raw(shell.modes()))
    shell.type("exit 4\r")
    assert shell.ends() == 4
    assert shell.modes() == shell.before


def test_a_window_that_is_closed_ends_the_container(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    command = [str(LAUNCHER), "run", "--name", "bird", "-ti", "sh"]
    terminal = Terminal(command, mydocker.environment)
    try:
        terminal.see(PROMPT)
        terminal.hang_up()
        assert terminal.program.wait(timeout=20) == 129
    finally:
        terminal.close()
    record = mydocker.inspect("bird")
    assert (record["status"], record["pid"]) == ("exited", 0)


# -t or -i alone


def test_with_t_alone_ctrl_c_is_still_a_signal(at_terminal: Callable[..., Terminal]) -> None:
    script = "trap 'exit 7' INT; tty; while :; do sleep 0.1; done"
    terminal = at_terminal("run", "--rm", "-t", "sh", "-c", script)
    terminal.see("/dev/pts/0\r")
    assert not raw(terminal.modes())
    terminal.type("\x03")
    assert terminal.ends() == 7


def test_with_i_alone_lines_go_in_as_typed(at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("run", "--rm", "-i", "sh", "-c", "tty; cat")
    terminal.see("not a tty\r\n")
    terminal.type("typed\r")
    terminal.see("typed\r\ntyped\r\n")  # the echo of the terminal in front, then cat
    terminal.type("\x04")
    assert terminal.ends() == 0


def test_t_alone_works_in_a_pipe(shared: Mydocker) -> None:
    command = [str(LAUNCHER), "run", "--rm", "-t", "sh", "-c", "tty; echo x"]
    out = subprocess.check_output(command, input=b"y", env=shared.environment)
    assert out == b"/dev/pts/0\r\nx\r\n"


def test_without_a_terminal_ti_is_refused_before_anything_is_made(mydocker: Mydocker) -> None:
    line = mydocker.fails(1, "run", "-ti", "sh", input="")
    assert line == "mydocker: run: stdin: is not a terminal"
    assert mydocker.ok("ps", "-aq") == ""


def test_a_detached_terminal_has_a_log(mydocker: Mydocker, eventually: Callable[..., None]) -> None:
    mydocker.ok("run", "-dt", "--name", "bird", "sh", "-c", "tty; exec sleep 1000")
    eventually(lambda: mydocker.ok("logs", "bird") == "/dev/pts/0\n")


def test_a_detached_stdin_stays_open(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-di", "--name", "bird", "cat")
    mydocker.ok("run", "-d", "--name", "fish", "cat")
    bird = mydocker.inspect("bird")
    assert Path(f"/proc/{bird['pid']}/comm").read_text() == "cat\n"


# Pipes


def test_a_pipe_goes_in_and_comes_out_whole(shared: Mydocker) -> None:
    assert shared.ok("run", "--rm", "-i", "cat", input="data\n") == "data\n"
    assert shared.ok("run", "--rm", "-i", "cat", input="") == ""
    assert shared.ok("run", "--rm", "cat", input="not for it") == ""
    assert shared.ok("run", "--rm", "readlink", "/proc/self/fd/0", input="x") == "/dev/null\n"


def test_much_data_goes_both_ways_at_once(shared: Mydocker, tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    with (tmp_path / "in").open("wb") as file:
        for _ in range(50):
            file.write(block)
    with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as taken:
        command = [str(LAUNCHER), "run", "--rm", "-i", "cat"]
        subprocess.run(command, stdin=given, stdout=taken, env=shared.environment, check=True)
    assert digest(tmp_path / "out") == digest(tmp_path / "in")


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_program_that_writes_more_than_it_reads_does_not_block(
    shared: Mydocker, tmp_path: Path
) -> None:
    # While it waits for us to read, it does not read: who then waits to write, waits for ever.
    data = os.urandom(1 << 19)
    (tmp_path / "in").write_bytes(data)
    command = [str(LAUNCHER), "run", "--rm", "-i", "od", "-v", "-t", "x1"]
    with (tmp_path / "in").open("rb") as given:
        out = subprocess.check_output(command, stdin=given, env=shared.environment, timeout=60)
    assert bytes.fromhex("".join(line[7:] for line in out.decode().splitlines())) == data


def test_a_container_that_reads_no_more_does_not_hold_the_writer_up(shared: Mydocker) -> None:
    shell = f"yes | {LAUNCHER} run --rm -i sh -c 'head -n 1; exec <&-; echo on; exit 3'; echo $?"
    out = subprocess.check_output(["sh", "-c", shell], env=shared.environment, timeout=60)
    assert out == b"y\non\n3\n"


def test_a_reader_that_leaves_does_not_disturb_the_container(mydocker: Mydocker) -> None:
    shell = f"{LAUNCHER} run --name bird sh -c 'seq 50000; echo err >&2; exit 3' | head -n 1"
    done = subprocess.run(
        ["sh", "-c", shell],
        env=mydocker.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "err\n")
    record = mydocker.inspect("bird")
    assert record["exitCode"] == 3
    assert mydocker.run("logs", "bird").stdout.splitlines()[-1] == "50000"


def test_stdout_and_stderr_stay_apart(shared: Mydocker) -> None:
    done = shared.run("run", "--rm", "sh", "-c", "echo out; echo err >&2; printf end")
    assert (done.stdout, done.stderr) == ("out\nend", "err\n")


def test_bytes_are_not_text(shared: Mydocker) -> None:
    command = [str(LAUNCHER), "run", "--rm", "-i", "cat"]
    data = bytes(range(256)) * 3
    assert subprocess.check_output(command, input=data, env=shared.environment) == data


# Signals


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "CONT"])
def test_a_signal_to_mydocker_goes_to_the_container(shared: Mydocker, name: str) -> None:
    script = f"trap 'echo got {name}; exit 7' {name}; echo up; while :; do sleep 0.1; done"
    process = shared.start("run", "--rm", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (7, f"got {name}\n", "")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_without_sig_proxy_a_signal_ends_both(shared: Mydocker, number: signal.Signals) -> None:
    script = f"trap 'echo trapped' {number.name.removeprefix('SIG')}; echo up; sleep 1000"
    process = shared.start("run", "--rm", "--sig-proxy=false", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (128 + number, "")
    assert err == f"mydocker: run: {number.name}: the container was ended with mydocker\n"


@pytest.mark.parametrize("flags", [(), ("-u", "daemon"), ("--init",), ("--userns", "auto")])
def test_a_killed_mydocker_takes_its_container_along(
    mydocker: Mydocker, eventually: Callable[..., None], flags: tuple[str, ...]
) -> None:
    words = ("run", "--name", "bird", *flags, "sh", "-c", "sleep 1000 & echo up; wait")
    process = mydocker.start(*words)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    record = mydocker.inspect("bird")
    namespace = os.readlink(f"/proc/{record['pid']}/ns/pid")
    process.kill()
    process.communicate()
    eventually(lambda: namespace not in living())
    assert "Exited (137)" in mydocker.ok("ps", "-a")
    mydocker.ok("system", "check")


def living() -> set[str]:
    """The pid namespaces of all processes that live."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/pid"))
        except OSError:  # it has just ended, or is a zombie
            continue
    return found


def test_a_killed_mydocker_with_rm_leaves_nothing(
    mydocker: Mydocker, eventually: Callable[..., None]
) -> None:
    process = mydocker.start("run", "--rm", "sh", "-c", "echo up; sleep 1000")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()
    eventually(lambda: mydocker.ok("ps", "-aq") == "")
    assert not os.listdir(mydocker.root / "containers")
