"""What a plain `run` may import: a list, because a time would differ on every machine.

CPython starts in some ten milliseconds; a handful of its library's modules double that (ADR 0004).
The interpreter itself tells what it imports, in all processes of a `run` (-X importtime).
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CHECKOUT, Mydocker

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = [str(CHECKOUT / ".venv/bin/python3"), "-I", "-S", "-X", "importtime"]

# Of the standard library: these, and what they import themselves (_sha2 is _sha256 up to 3.11).
BUDGET = (
    "__future__ _json _sha2 _sha256 _signal _socket ctypes errno fcntl gc os resource select stat "
    "termios time"
)
TWICE = "__future__ _signal ctypes errno gc os time"
"""What is imported before `run` executes itself again (ADR 0008) is imported twice."""

DEAR = (
    "argparse asyncio collections contextlib dataclasses enum functools hashlib inspect json "
    "logging pathlib re shutil signal socket subprocess tarfile tempfile typing"
).split()
"""Never, whatever the modules of the budget come to import in a later Python."""

# Of mydocker itself: not what other commands need.
COMMANDS = {"mydocker.cli", "mydocker.cli.flags", "mydocker.cli.run"}
UNUSED = (
    "mydocker.network",
    "mydocker.lifecycle.check",
    "mydocker.lifecycle.exec",
    "mydocker.lifecycle.keeper",
    "mydocker.lifecycle.top",
    "mydocker.sandbox.join",
    "mydocker.linux.explain",
    "mydocker.linux.decode",
    "mydocker.rootfs.commit",
    "mydocker.rootfs.compression",
    "mydocker.rootfs.layer",
    "mydocker.rootfs.tar",
    "mydocker.rootfs.unpack",
)
EARLY = {
    *("mydocker", "mydocker.cli", "mydocker.cli.flags", "mydocker.errors", "mydocker.linux"),
    *("mydocker.linux.selfexe", "mydocker.linux.syscalls", "mydocker.linux.trace"),
}


def imports(command: list[str], environment: dict[str, str]) -> list[set[str]]:
    """The modules that a command imports: a set for each time that an interpreter starts."""
    done = subprocess.run(
        [*PYTHON, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found: list[set[str]] = []
    for line in done.stderr.splitlines():
        assert line.startswith("import time:"), done.stderr
        name = line.rpartition("|")[2].strip()
        if name == "imported package":
            found.append(set())
        else:
            found[-1].add(name)
    assert done.returncode == 0, done.stdout
    return found


def closure(names: str) -> set[str]:
    """The modules, and what they import on this version of Python."""
    tries = [f"try: import {name}\nexcept ImportError: pass" for name in names.split()]
    (found,) = imports(["-c", "\n".join(tries)], {})
    return found


def run(mydocker: Mydocker, *words: str) -> list[set[str]]:
    """What `mydocker run words…` imports, before and after it executes itself again.

    It does not where Python lies on a file system that is mounted read-only.
    """
    main = str(CHECKOUT / "mydocker/__main__.py")
    started = imports([main, "run", *words], mydocker.environment)
    assert len(started) in (1, 2)
    return started


FLAGS: list[tuple[str, ...]] = [
    (),
    ("-m", "100m", "-cpushare", "256", "--cpus", "1", "-cpuset", "0", "--pids-limit", "20"),
    ("-v", "VOLUME:/data:ro", "--tmpfs", "/scratch", "--read-only", "--shm-size", "1m"),
    ("-t", "-e", "A=B", "-u", "daemon", "-w", "/tmp", "--init"),
    ("--userns", "auto", "--cap-drop", "ALL", "--ulimit", "core=0", "--sysctl", "kernel.msgmax=9"),
    ("-d", "--name", "bird", "--label", "a=b"),
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_run_imports_nothing_that_is_over_the_budget(
    mydocker: Mydocker, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    words = [word.replace("VOLUME", str(tmp_path)) for word in flags]
    *_, loaded = run(mydocker, *words, "true")
    ours = {name for name in loaded if name.partition(".")[0] == "mydocker"}
    assert "mydocker.sandbox.init" in ours
    assert loaded & set(DEAR) == set()
    assert loaded - ours - closure(BUDGET) == set()
    assert {name for name in ours if name.startswith(UNUSED)} == set()
    assert {name for name in ours if name.startswith("mydocker.cli")} - COMMANDS == set()


def test_little_is_imported_twice(mydocker: Mydocker) -> None:
    early, *again = run(mydocker, "true")
    if not again:
        pytest.skip("the interpreter is on a read-only mount already")
    assert early & set(DEAR) == set()
    assert early - EARLY - closure(TWICE) == set()


def test_the_budget_itself_is_not_dear() -> None:
    assert closure(BUDGET) & set(DEAR) == set()
