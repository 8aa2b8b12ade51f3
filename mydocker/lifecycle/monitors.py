"""Which process watches which container, told by the processes themselves and not by a record.

A monitor holds its container's log open, so /proc/PID/fd leads to it (proc_pid_fd(5)), also when
the file has been removed. That finds a monitor whose record is gone, and tells a container of
another state root, which this one knows nothing of, from one that nobody watches any more.
"""

from __future__ import annotations

import os
import signal

from mydocker.errors import KernelError
from mydocker.linux import files, process


def of(directory: str) -> list[tuple[int, str]]:
    """The background monitors of containers in `directory`: pid, and the container's id."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            named = files.read(f"/proc/{pid}/comm") == "mydocker-mon\n"
        except KernelError:  # it has ended
            continue
        above, container_id = watched(pid) if named else ("", "")
        if above == os.path.realpath(directory):
            found.append((pid, container_id))
    return found


def watched(pid: int) -> tuple[str, str]:
    """The directory of containers and the id, by the log that the process has open; else empty."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return "", ""
    for path in links:
        above, name = os.path.split(path.removesuffix(" (deleted)"))
        if name == "log.json":
            return os.path.split(above)
    return "", ""


def keeper(pids: list[int], container_id: str) -> int:
    """The living monitor above these processes of a container; 0 if there is none."""
    for pid in pids:
        above = process.parent(pid)
        while above > 1:
            if watched(above)[1] == container_id:
                return above
            above = process.parent(above)
    return 0


def end(pid: int, container_id: str) -> None:
    """Kill a monitor, and by the death signal its container."""
    started = process.start_time(pid)
    if watched(pid)[1] == container_id:
        process.pidfd_send_signal(pid, started, signal.SIGKILL)
