"""The tests' own set-up: whatever becomes of a test, nothing of it goes on running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench import host
from tests.conftest import CHECKOUT, Mydocker, settle, stock, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def groups(name: str) -> list[Path]:
    """The cgroups of that name directly below the hierarchies' tops."""
    return [*host.CGROUPS.glob(name), *host.CGROUPS.glob(f"*/{name}")]


def test_what_mydocker_does_not_remove_is_ended_and_fails_the_test(
    tmp_path: Path, stocked_root: Path
) -> None:
    instance = Mydocker(tmp_path)
    stock(instance, stocked_root)
    instance.ok("run", "-d", "--name", "bird", "top")
    monitor = instance.inspect("bird")["monitorPid"]
    for record in instance.root.glob("containers/*/container.json"):
        record.write_text("{")
    with pytest.raises(AssertionError, match="left on the host"):
        settle(instance)
    assert not groups(instance.cgroup_parent.strip("/"))
    wait_until(lambda: not runs(monitor))


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has a program: a zombie has none."""
    try:
        return bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def inner(directory: Path) -> list[str]:
    """A pytest for the tests of a directory, with our set-up."""
    options = ["-s", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    return [sys.executable, "-m", "pytest", *options, f"--basetemp={directory}/its", str(directory)]


UNENDING = """
import time

def test_that_does_not_end(mydocker):
    mydocker.ok("run", "-d", "top")
    print(f"in {mydocker.cgroup_parent}", flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_tests_that_are_told_to_end_leave_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "test_unending.py").write_text(UNENDING)
    tests = subprocess.Popen(
        inner(tmp_path),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert tests.stdout is not None
    said = tests.stdout.readline()
    assert said.startswith("in /mydocker-test-"), said + tests.communicate()[0]
    name = said.split()[1].strip("/")
    assert groups(name)
    tests.send_signal(number)
    out, _ = tests.communicate(timeout=60)
    assert "KeyboardInterrupt" in out
    assert not groups(name)


DEAF = """
import subprocess

def test_a_child_hears_signals():
    print(subprocess.check_output(["grep", "SigIgn", "/proc/self/status"], text=True))
"""


def test_what_was_ignored_by_who_started_the_tests_is_not_by_mydocker(tmp_path: Path) -> None:
    """`make test &` in a script, and nohup(1)."""
    (tmp_path / "test_deaf.py").write_text(DEAF)
    words = ["sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh", *inner(tmp_path)]
    said = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    (ignored,) = re.findall(r"SigIgn:\s*(\w+)", said)
    for number in (signal.SIGINT, signal.SIGHUP):
        assert not int(ignored, 16) >> (number - 1) & 1
