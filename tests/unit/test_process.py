"""Whether a pid is still the process that it was."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from mydocker.linux import process

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 2**22 + 1  # above the greatest pid that the kernel gives


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is told to end."""
    with subprocess.Popen(["sleep", "1000"]) as started:
        yield started
        started.kill()


def test_a_process_is_alive_by_pid_start_and_boot(child: subprocess.Popen[bytes]) -> None:
    started, boot = process.start_time(child.pid), process.boot_id()
    assert process.alive(child.pid, started, boot)
    assert not process.alive(child.pid, started + 1, boot)  # the pid was given to another
    assert not process.alive(child.pid, started, "another boot")
    assert not process.alive(0, 0, boot)
    assert not process.alive(NOBODY, 0, boot)
    assert process.parent(child.pid) == os.getpid()


def test_a_zombie_is_not_alive(child: subprocess.Popen[bytes]) -> None:
    started = process.start_time(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.start_time(child.pid) == started
    assert not process.alive(child.pid, started, process.boot_id())


def test_a_signal_reaches_that_process_or_nobody(child: subprocess.Popen[bytes]) -> None:
    started = process.start_time(child.pid)
    assert not process.pidfd_send_signal(child.pid, started + 1, signal.SIGKILL)
    assert not process.pidfd_send_signal(NOBODY, 0, signal.SIGKILL)
    assert process.pidfd_send_signal(child.pid, started, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not process.kill(NOBODY, signal.SIGKILL)


def test_who_is_not_there_has_no_parent_and_never_started() -> None:
    assert (process.start_time(NOBODY), process.parent(NOBODY)) == (0, 0)


@pytest.mark.parametrize("name", ["a) S 1 (b", "((", " ", "\udcff"])
def test_a_name_with_brackets_and_blanks_confuses_nobody(name: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            with open("/proc/self/comm", "wb") as file:
                file.write(os.fsencode(name))
            os._exit(process.parent(os.getpid()) != os.getppid())
        finally:
            os._exit(9)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_new_name_hides_words_and_variables() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            process.rename("other-name")
            shown = {}
            for name in ("comm", "cmdline", "environ"):
                with open(f"/proc/self/{name}", "rb") as file:
                    shown[name] = file.read().strip(b"\0\n")
            os._exit(shown != {"comm": b"other-name", "cmdline": b"other-name", "environ": b""})
        finally:
            os._exit(9)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_exit_code_is_the_shells() -> None:
    assert process.exit_code(3 << 8) == 3
    assert process.exit_code(signal.SIGKILL) == 137
