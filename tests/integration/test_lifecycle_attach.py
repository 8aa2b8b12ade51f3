"""Attach: watch and type from elsewhere, come and go, and the container does not notice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Mydocker, has_open, settled, wait_until

PROMPT = "/ # "


def attached(mydocker: Mydocker, *flags: str, name: str = "bird") -> pexpect.spawn[str]:
    """`attach` at a terminal that is raw by now: not all keys that came before would be passed."""
    terminal = mydocker.terminal("attach", *flags, name)
    wait_until(lambda: not terminal.getecho())
    return terminal


def leave(terminal: pexpect.spawn[str], keys: str = "\x10\x11") -> None:
    """Type the keys that leave the container, which must work."""
    terminal.send(keys)
    terminal.expect_exact("read escape sequence")
    assert ends(terminal) == 0


def ends(terminal: pexpect.spawn[str]) -> int:
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus is not None
    return terminal.exitstatus


def monitor(mydocker: Mydocker, name: str = "bird") -> int:
    identity = os.readlink(mydocker.root / "names" / name)
    known = json.loads((mydocker.root / "containers" / identity / "container.json").read_text())
    return int(known["monitorPid"])


def descriptors(mydocker: Mydocker) -> int:
    """How many the monitor has open, once it waits for the container's end: by a pidfd."""
    pid = monitor(mydocker)
    wait_until(lambda: has_open(pid, "[pidfd]"))
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_shell_in_the_background_can_be_typed_at_left_and_come_back_to(
    mydocker: Mydocker,
) -> None:
    mydocker.ok("run", "-dit", "--name", "bird", "sh")
    before = descriptors(mydocker)
    terminal = attached(mydocker)
    terminal.sendline("stty size; X=$((40 + 2))")
    terminal.expect_exact("24 80")
    terminal.setwinsize(30, 90)
    wait_until(lambda: typed(terminal, "stty size", "30 90"))
    leave(terminal)
    wait_until(lambda: descriptors(mydocker) == before)
    assert mydocker.ok("ps", "-q")
    again = attached(mydocker)
    again.sendline("echo =$X=")
    again.expect_exact("=42=")
    again.sendline("exit 7")
    assert ends(again) == 7
    assert "=42=" in mydocker.ok("logs", "bird")


def typed(terminal: pexpect.spawn[str], line: str, expected: str) -> bool:
    terminal.sendline(line)
    return bool(terminal.expect_exact([expected, pexpect.TIMEOUT], timeout=1) == 0)


def test_two_see_the_same_and_both_can_type(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-dit", "--name", "bird", "sh")
    one, two = attached(mydocker), attached(mydocker)
    two.sendline('echo tw""o')
    for terminal in (one, two):
        terminal.expect_exact("two\r\n")
    one.sendline('echo on""e')
    for terminal in (one, two):
        terminal.expect_exact("one\r\n")
    leave(one)
    two.sendline("exit 3")
    assert ends(two) == 3


def test_other_keys_leave_it_and_a_part_of_them_does_not(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-dit", "--name", "bird", "sh", "-c", "stty raw -echo; echo up; exec cat")
    terminal = attached(mydocker, "--detach-keys", "ctrl-a,d")
    wait_until(lambda: "up" in mydocker.ok("logs", "bird"))
    terminal.send("\x10\x11\x01x")
    terminal.expect_exact("\x10\x11\x01x")
    leave(terminal, "\x01d")
    assert "not a list of keys" in mydocker.fails(125, "attach", "--detach-keys", "hm", "bird")


def test_the_terminal_in_front_is_as_before_when_attach_is_told_to_end(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-dit", "--name", "bird", "sh")
    terminal = attached(mydocker)
    terminal.sendline('echo u""p')
    terminal.expect_exact("up")
    terminal.kill(signal.SIGTERM)
    terminal.expect_exact("attach: SIGTERM: the container goes on")
    assert ends(terminal) == 128 + signal.SIGTERM
    assert mydocker.ok("ps", "-q")


def test_stdin_of_a_container_without_a_terminal(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-di", "--name", "bird", "sh", "-c", "cat; echo never")
    for word in ("one", "two"):
        end = mydocker.start("attach", "bird", stdin=subprocess.PIPE)
        assert end.stdin
        assert end.stdout
        end.stdin.write(f"{word}\n")
        end.stdin.flush()
        assert end.stdout.readline() == f"{word}\n"
        end.stdin.close()  # the end of this input is not the end of the container's
        end.stdin = None
        end.terminate()  # and the signal goes to the container: cat, below sh, does not get it
        end.kill()
        end.communicate(timeout=20)
    assert mydocker.ok("ps", "-q")
    assert mydocker.ok("logs", "bird") == "one\ntwo\n"


def test_stdout_and_stderr_come_apart_with_the_exit_code(mydocker: Mydocker) -> None:
    script = "read x; echo out; echo err >&2; exit 9"
    mydocker.ok("run", "-di", "--name", "bird", "sh", "-c", script)
    done = mydocker.run("attach", "bird", input="go\n")
    assert (done.returncode, done.stdout, done.stderr) == (9, "out\n", "err\n")


def test_signals_go_to_the_container_unless_not_wanted(mydocker: Mydocker) -> None:
    script = "trap 'exit 6' INT; echo up; while :; do sleep 0.02; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: mydocker.ok("logs", "bird") == "up\n")
    apart = mydocker.start("attach", "--sig-proxy=false", "bird")
    near = mydocker.start("attach", "bird")
    wait_until(lambda: descriptors(mydocker) >= 2 + base(mydocker))
    apart.send_signal(signal.SIGINT)
    apart.communicate(timeout=20)
    assert apart.returncode == 128 + signal.SIGINT
    assert mydocker.ok("ps", "-q")
    wait_until(lambda: sigint_caught(near.pid))
    near.send_signal(signal.SIGINT)
    near.communicate(timeout=20)
    assert near.returncode == 6


def base(mydocker: Mydocker) -> int:
    """What a monitor has open when nobody watches: streams, log, two pipes, the socket, a pidfd."""
    del mydocker
    return 8


def sigint_caught(pid: int) -> bool:
    """Whether it has a handler for SIGINT, and lets it in."""
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    bit = 1 << (signal.SIGINT - 1)
    return bool(int(fields["SigCgt"], 16) & bit) and not int(fields["SigBlk"], 16) & bit


def test_much_output_comes_whole_to_who_is_slow_and_to_the_log(mydocker: Mydocker) -> None:
    script = "read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i of many; done"
    mydocker.ok("run", "-di", "--name", "bird", "sh", "-c", script)
    slow = mydocker.start("attach", "bird", stdin=subprocess.PIPE)
    assert slow.stdin
    slow.stdin.write("go\n")
    slow.stdin.close()
    slow.stdin = None
    time.sleep(0.3)
    told, _ = slow.communicate(timeout=60)
    expected = "".join(f"line {i} of many\n" for i in range(1, 20001))
    assert hashlib.sha256(told.encode()).digest() == hashlib.sha256(expected.encode()).digest()
    assert mydocker.ok("logs", "bird") == expected


def test_who_is_killed_while_the_container_waits_for_it_lets_it_go_on(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-di", "--name", "bird", "sh", "-c", "read x; yes | head -c 6000000; exit 4")
    stuck = mydocker.start("attach", "bird", stdin=subprocess.PIPE)  # nobody reads its stdout
    assert stuck.stdin
    stuck.stdin.write("go\n")
    stuck.stdin.flush()
    (log,) = mydocker.root.glob("containers/*/log.json")
    wait_until(lambda: log.stat().st_size)
    settled(lambda: log.stat().st_size)
    stuck.kill()
    stuck.communicate(timeout=20)
    assert mydocker.ok("wait", "bird") == "4\n"


def test_a_container_in_front_of_somebody_can_be_watched_from_elsewhere(mydocker: Mydocker) -> None:
    script = "read x; echo got $x; read x; exit 5"
    front = mydocker.start("run", "-i", "--name", "bird", "sh", "-c", script, stdin=subprocess.PIPE)
    wait_until(lambda: "bird" in mydocker.ok("ps"))
    other = mydocker.start("attach", "bird", stdin=subprocess.PIPE)
    assert front.stdout
    assert front.stdin
    assert other.stdin
    assert other.stdout
    other.stdin.write("that\n")
    other.stdin.flush()
    assert front.stdout.readline() == "got that\n"
    assert other.stdout.readline() == "got that\n"
    front.stdin.write("end\n")
    front.stdin.flush()
    for each in (front, other):
        each.communicate(timeout=20)
        assert each.returncode == 5


@pytest.mark.parametrize("flags", [("-d",), ("-d", "-t")])
def test_without_i_there_is_nothing_to_type_at(flags: tuple[str, ...], mydocker: Mydocker) -> None:
    script = "mkfifo /go; echo up; read x < /go; cat; echo end"
    mydocker.ok("run", *flags, "--name", "bird", "sh", "-c", script)
    if "-t" in flags:  # its terminal would wait for a key
        mydocker.ok("kill", "bird")
        return
    wait_until(lambda: mydocker.ok("logs", "bird") == "up\n")
    before = descriptors(mydocker)
    watching = mydocker.start("attach", "bird", stdin=subprocess.PIPE)
    wait_until(lambda: descriptors(mydocker) > before)
    mydocker.ok("exec", "bird", "sh", "-c", "echo > /go")
    assert watching.communicate("typed\n", timeout=20)[0] == "end\n"
    assert watching.returncode == 0


def test_who_cannot_be_attached_to(mydocker: Mydocker) -> None:
    mydocker.ok("create", "-it", "--name", "bird", "sh")
    assert mydocker.fails(1, "attach", "bird") == "mydocker: attach: bird: does not run"
    mydocker.ok("start", "bird")
    expected = "mydocker: attach: stdin: is not a terminal"
    assert mydocker.fails(1, "attach", "bird", input="") == expected
    mydocker.ok("pause", "bird")
    assert mydocker.fails(1, "attach", "bird") == "mydocker: attach: bird: is paused"
    assert "no such container" in mydocker.fails(125, "attach", "nope")


def test_when_the_monitor_is_killed_attach_ends_with_the_code_of_a_killed(
    mydocker: Mydocker,
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    before = descriptors(mydocker)
    watching = mydocker.start("attach", "bird")
    wait_until(lambda: descriptors(mydocker) > before)
    os.kill(monitor(mydocker), signal.SIGKILL)
    watching.communicate(timeout=20)
    assert watching.returncode == 137
