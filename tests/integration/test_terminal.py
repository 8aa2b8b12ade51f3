"""A container at a real terminal, typed at."""

from __future__ import annotations

import os
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Mydocker

PROMPT = "/ # "


def test_the_container_has_a_terminal_of_its_own(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--rm", "-ti", "sh")
    child.expect_exact(PROMPT)
    for typed, seen in (("tty", "/dev/pts/0"), ("stty size", "24 80"), ("ls /dev/pts", "0")):
        child.sendline(typed)
        child.expect_exact(seen)
        child.expect_exact(PROMPT)
    child.setwinsize(40, 100)
    child.sendline("sleep 0.2; stty size")
    child.expect_exact("40 100")
    child.sendline("exit 5")
    child.expect_exact("exit")
    child.wait()
    assert child.exitstatus == 5


def test_ctrl_c_ends_the_job_and_not_the_container(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--rm", "-ti", "sh")
    child.expect_exact(PROMPT)
    child.sendline("sh -c 'echo r\"u\"ns; sleep 1000'")
    child.expect_exact("runs\r\n")  # a key that came earlier would go to the shell
    child.sendintr()
    child.expect_exact(PROMPT)
    child.sendline("echo $((40 + 2))")
    child.expect_exact("42")
    child.sendline("exit")
    child.wait()


def test_ctrl_z_stops_a_job_that_fg_continues(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--rm", "-ti", "sh")
    child.expect_exact(PROMPT)
    child.sendline("sh -c 'echo r\"u\"ns; exec cat'")
    child.expect_exact("runs\r\n")
    child.send("\x1a")
    child.expect_exact("Stopped")
    child.sendline("fg")
    child.sendline("again")
    child.expect_exact("again")
    child.sendeof()
    child.expect_exact(PROMPT)
    child.sendline("exit")
    child.wait()


def test_the_terminal_is_as_it_was_afterwards(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--rm", "-ti", "sh")
    child.expect_exact(PROMPT)
    raw = termios.tcgetattr(child.child_fd)
    child.sendline("exit")
    child.expect_exact("exit")
    child.wait()
    after = termios.tcgetattr(child.child_fd)
    assert not raw[3] & termios.ICANON
    assert after[3] & termios.ICANON
    assert after[3] & termios.ECHO


def test_without_a_terminal_it_says_so(mydocker: Mydocker) -> None:
    assert "not a terminal" in mydocker.fails(1, "run", "-ti", "sh", input="")
    assert os.listdir(mydocker.root / "images")
