"""The user's command: the directory it starts in, the file it is, and the execve(2) that begins it.

Up to here the process was ours. What it must not keep of us is taken away right before: open
descriptors, signals that are ignored or held back, the environment (the book's 3.1 and 3.3).
`--init` puts a small PID 1 of our own above it.

Invariant: a path of the image is resolved by the kernel as if there were nothing but the image, and
everything that goes wrong is reported to the parent, with Docker's exit codes: 127 if there is no
such command, 126 if it cannot be executed.
"""

from __future__ import annotations

import os

from mydocker.errors import CANNOT_EXECUTE, NOT_FOUND, Error, KernelError
from mydocker.linux import files, process, signals, syscalls, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.sandbox.channel import Channel
    from mydocker.spec import Process


def make_working_directory(path: str) -> None:
    """Make the working directory if the image lacks it, as Docker does."""
    if not path.startswith("/"):
        raise Error("working directory", path, "not an absolute path")
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(files.make_in_root(root, path))
    except KernelError as error:
        raise no_way(path, error) from None
    except Error:
        raise Error("working directory", path, "not a directory", code=CANNOT_EXECUTE) from None
    finally:
        os.close(root)


def change_directory(path: str) -> None:
    """chdir(2) as the user, who may not be allowed where root may.

    The image's word for it may be /proc/self/fd/7, and lead out of the container through one of our
    descriptors (CVE-2024-21626), so the way is resolved without such links.
    """
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = files.open_in_root(root, path)
        syscalls.fchdir(fd)
        os.close(fd)
    except KernelError as error:
        raise no_way(path, error) from None
    finally:
        os.close(root)


def no_way(path: str, error: KernelError) -> Error:
    """The error of a working directory that cannot be reached."""
    if error.errno == 18:  # EXDEV: openat2(2) met a link that is no path, such as /proc/self/fd/7
        return Error("working directory", path, "leads out of the container")
    return KernelError("working directory", path, error.errno)


def find(word: str, path: str) -> str:
    """The file to execute: `word` itself if it has a slash, else the first hit along PATH."""
    if "/" in word:
        return word
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{word}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Error("exec", word, "command not found in the container's PATH", code=NOT_FOUND)


def execute(command: list[str], wanted: Process) -> None:
    """execve(2), with nothing of mydocker left: descriptors closed, signals as a new process has.

    The descriptors are marked close-on-exec rather than closed, so that an error can still be
    reported through the channel (CVE-2024-21626 was a descriptor that stayed open).
    """
    syscalls.close_range(3, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC)
    # What is ignored stays ignored across execve (signal(7)): Python ignores two, and nohup(1) or a
    # shell that puts us in the background others.
    syscalls.reset_signals()
    signals.pthread_sigmask(signals.SIG_SETMASK, [])
    environment = dict(item.partition("=")[::2] for item in wanted.env)
    program, words = command[0], [wanted.args[0], *command[1:]]
    try:
        trace.step("execve", (program, words, environment), os.execve)
    except OSError as error:
        why, code = os.strerror(error.errno or 0).lower(), CANNOT_EXECUTE
        if error.errno == 2 and os.path.exists(program):  # ENOENT is said of the file it names
            why = "its interpreter (#!, or the dynamic loader) is missing"
        elif error.errno in (2, 20):
            code = NOT_FOUND
        hint = "a script begins with #!, a binary is for this machine" if error.errno == 8 else ""
        raise Error("exec", program, why, hint=hint, code=code) from None
    except ValueError as error:
        raise Error("exec", program, str(error), code=CANNOT_EXECUTE) from None


def stay_as_reaper(channel: Channel) -> None:
    """`--init`: PID 1 stays small and does its two duties; the command runs as its child.

    The kernel gives PID 1 the orphans of its namespace to reap, and ignores signals that it has
    no handler for. Most programs expect neither. Returns in the child only.
    """
    forwarded = set(signals.NUMBERS.values()) - {signals.SIGCHLD, signals.SIGKILL, signals.SIGSTOP}
    # What it knows of the host, the container must not read from /proc/1.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    process.rename("mydocker-init")
    child = syscalls.fork()
    if child == 0:
        trace.act_as("command")
        os.setpgid(0, 0)
        if os.isatty(0):
            signals.signal(signals.SIGTTOU, signals.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signals.signal(signals.SIGTTOU, signals.SIG_DFL)
        return
    channel.close()
    syscalls.close_range(0, 0xFFFFFFFF)
    for number in forwarded:
        signals.signal(number, lambda received, _frame: _forward(child, received))
    signals.pthread_sigmask(signals.SIG_SETMASK, [])
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(128 - code if code < 0 else code)


def _forward(child: int, number: int) -> None:
    try:
        os.kill(-child, number)
    except ProcessLookupError:
        os.kill(child, number)
