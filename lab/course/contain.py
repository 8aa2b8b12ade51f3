"""A box for code that may be wrong: what runs in it cannot hurt the host, and ends with it.

Namespaces of its own, the very ones that the course is about:

- pid: when the box's PID 1 is killed, everything in it is, whatever it has forked;
- mount: private, so nothing that is mounted in there is seen outside, even if it is made shared;
  every file system of the host is read-only, but for a tmpfs that only the box has;
- network, uts, ipc: the host's links, firewall rules and name are not the box's.

Control groups are not put in a box: checkpoints use a parent of their own, cleaned afterwards.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from mydocker.errors import KernelError
from mydocker.linux import link, mountinfo, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
)
OPEN = ("/proc", "/sys", "/dev")
"""Where a box may write: these are not the host's disk."""


class Box:
    """One process tree in a box. `scratch` is a directory that in there is an empty tmpfs."""

    def __init__(self, scratch: str, work: Callable[[], int]) -> None:
        os.makedirs(scratch, exist_ok=True)
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.setpgid(0, 0)  # a Ctrl-C is for the lab, which then ends the box
                syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
                syscalls.unshare(NAMESPACES)
                syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
                inner = os.fork()
                if inner == 0:
                    _first(scratch, work)
                code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
            except BaseException as error:
                os.write(2, f"the box could not be made: {error}\n".encode())
            finally:
                os._exit(code if code >= 0 else 128 - code)

    def ended(self) -> bool:
        """Whether it has come to its end; then `status` is its exit code."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds: float) -> int:
        """Its exit code; after so many seconds it is ended, with all that is in it: 124."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.end()
                return 124
            time.sleep(0.01)
        return self.status or 0

    def end(self) -> None:
        """Kill all that is in it."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _first(scratch: str, work: Callable[[], int]) -> None:
    """PID 1 of the box: makes it, then reaps until the work has ended; never returns."""
    code = 70
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        close_the_host(scratch)
        link.set_up("lo")
        child = os.fork()
        if child == 0:
            code = work()
            os._exit(code)
        while True:
            pid, status = os.wait()
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                break
    except BaseException as error:
        os.write(2, f"the box could not be made: {error}\n".encode())
    finally:
        os._exit(code if code >= 0 else 128 - code)


def close_the_host(scratch: str) -> None:
    """Make the host's file systems read-only here, and give the box what it may write to."""
    syscalls.mount("proc", "/proc", "proc")
    for mount in mountinfo.mounts():
        point = mount.mountpoint
        if any(point == path or point.startswith(f"{path}/") for path in OPEN):
            continue
        flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
        try:
            kept = os.statvfs(point).f_flag & 0xE  # nosuid, nodev, noexec
            syscalls.mount("", point, "", flags | kept)
        except (OSError, KernelError):
            continue  # under another mount: out of reach anyway
    for path in (scratch, "/run"):
        syscalls.mount("tmpfs", path, "tmpfs", 0, "mode=755")
