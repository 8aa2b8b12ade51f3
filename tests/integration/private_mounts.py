"""Run a part of a test with mounts of its own, which the host never sees."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from mydocker.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable


def privately(work: Callable[[], None]) -> None:
    """Run `work` in a child with a mount namespace of its own; its failure is the test's."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
            work()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
    except BaseException:  # the test's time is up
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    assert status == 0, said or f"the child ended with status {status}"


def tmpfs(path: str, size: str) -> None:
    """Mount a tmpfs of that size (in a private namespace)."""
    syscalls.mount("tmpfs", path, "tmpfs", 0, f"size={size},mode=700")


def overlay(path: str, layers: list[str], upper: str = "", work: str = "") -> None:
    """Mount an overlay of these layers (lowest first), with an upper directory or read-only."""
    data = "lowerdir=" + ":".join(reversed(layers))
    data += f",upperdir={upper},workdir={work}" if upper else ""
    syscalls.mount("overlay", path, "overlay", 0, data)
