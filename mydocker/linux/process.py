"""Processes: is that pid still the one we knew?

A pid alone proves nothing: the process may be gone, a zombie, or another one under the same
number, even after a reboot. So a pid is remembered with its start time (field 22 of
/proc/PID/stat, in clock ticks since boot) and the boot's id, and compared with both.
"""

from __future__ import annotations

import os

from mydocker.errors import KernelError


def _stat(pid: int) -> list[str]:
    # The name in field 2 may hold spaces and brackets, so split after the last bracket.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def parent(pid: int) -> int:
    """The pid of its parent; 0 if there is no such process, or none that we could see."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def boot_id() -> str:
    """The id of this boot of the kernel: a new random one after each reboot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def alive(pid: int, started: int, boot: str) -> bool:
    """Whether exactly that process lives: a zombie or a reused pid does not count."""
    if pid <= 0 or boot != boot_id():
        return False
    fields = _stat(pid)
    return bool(fields) and fields[0] not in ("Z", "X") and int(fields[19]) == started


def pidfd_open(pid: int, started: int) -> int:
    """pidfd_open(2) of exactly that process; -1 if it is gone.

    The start time is read when the pidfd is there: it holds on to the process, so what is true of
    the pid at that moment is true of the pidfd for good.
    """
    if pid <= 0:  # who has no process has none to open
        return -1
    try:
        fd = os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        return -1
    if start_time(pid) != started:
        os.close(fd)
        return -1
    return fd


def pidfd_send_signal(pid: int, started: int, signal: int) -> bool:
    """Signal exactly that process, by a pidfd, so that a reused pid is never hit; False if gone."""
    from mydocker.linux import signals
    from mydocker.linux.trace import step

    fd = pidfd_open(pid, started)
    if fd < 0:
        return False
    try:
        step(
            "pidfd_send_signal",
            (pid, signal),
            lambda _, number: signals.pidfd_send_signal(fd, number),
        )
    except ProcessLookupError:
        return False
    except OSError as error:
        raise KernelError.of(error, "pidfd_send_signal", str(pid)) from None
    finally:
        os.close(fd)
    return True


def wait_for(pid: int, started: int, seconds: float | None) -> bool:
    """Wait until exactly that process has ended: a pidfd is then readable (pidfd_open(2)).

    False if it still lives after so many seconds; None waits for ever.
    """
    import select

    try:
        fd = os.pidfd_open(pid)
    except OSError:  # ESRCH; EINVAL: 0 is no pid
        return True
    try:
        if start_time(pid) != started:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0, int(seconds * 1000))))
    finally:
        os.close(fd)


def kill(pid: int, signal: int) -> bool:
    """kill(2) one process, for when nothing can have taken its pid: it is frozen, or our child.

    False if there is no such process.
    """
    from mydocker.linux.trace import step

    try:
        step("kill", (pid, signal), os.kill)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise KernelError.of(error, "kill", str(pid)) from None
    return True


def reap(pid: int) -> int:
    """Kill a child of ours, if it still lives, and wait for its end; its exit code, -1 if it was
    reaped already."""
    try:
        kill(pid, 9)
        return exit_code(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return -1


def close_inherited() -> None:
    """Close what the caller of mydocker had open beside the standard streams.

    A pipe or a lock of a shell's must not stay open as long as a container runs, and a directory of
    the host's must not be open while a path of the image's is executed: it may say
    /proc/self/fd/9/bin/sh (CVE-2024-21626). What is ours is close-on-exec, as Python makes it, so
    what is not came from outside (fcntl(2), FD_CLOEXEC).
    """
    for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
        try:
            if fd > 2 and os.get_inheritable(fd):
                os.close(fd)
        except OSError:  # the one that listed them
            continue


def rename(name: str) -> None:
    """Show in /proc/self that name alone, instead of the words and variables we were started with.

    They lie in our memory, at the addresses in fields 48 to 51 of /proc/self/stat.
    """
    import ctypes

    from mydocker.linux import syscalls

    syscalls.set_name(name)
    start, end, first, last = (int(field) for field in _stat(os.getpid())[45:49])
    for begin, length in ((start, end - start), (first, last - first)):
        ctypes.memset(begin, 0, length)
    ctypes.memmove(start, name.encode(), min(len(name), end - start - 1))


def exit_code(status: int) -> int:
    """The shell's code for a wait(2) status: the exit status, or 128 plus the signal."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
