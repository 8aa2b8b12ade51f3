"""Keep the interpreter out of a container's reach.

While mydocker enters a container, /proc/PID/exe of that process leads to the interpreter's binary
on the host, and a program in there that manages to be executed by us (`#!/proc/self/exe`) can open
it for writing, and owns the host the next time anybody runs Python (CVE-2019-5736, in runc).

runc answers by running from a copy. We run from the same file through a mount of our own that is
read-only: a detached clone (open_tree(2), mount_setattr(2)) that no mount table shows and that ends
with the process. Opened through /proc/PID/exe, the file then answers EROFS.
"""

from __future__ import annotations

import os
import sys

from mydocker.errors import KernelError
from mydocker.linux import syscalls, trace


def protected() -> bool:
    """Whether this process's own executable is seen through a read-only mount."""
    return bool(os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY)


def protect() -> None:
    """Execute this same command again from a read-only mount, unless it is so already.

    On a kernel without mount_setattr(2) (before 5.12) a sealed copy in memory takes its place.
    """
    if protected():
        return
    trace.act_as("start")
    try:
        fd = syscalls.open_tree(syscalls.AT_FDCWD, "/proc/self/exe", syscalls.OPEN_TREE_CLONE)
        syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_RDONLY)
    except KernelError:
        fd = _sealed_copy()
    environment = dict(os.environ)
    trace.step("execveat", (fd, "", sys.orig_argv, environment), _execveat)


def _execveat(fd: int, _path: str, words: list[str], environment: dict[str, str]) -> None:
    os.execve(fd, words, environment)


def _sealed_copy() -> int:
    import fcntl

    fd = os.memfd_create("mydocker", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    source = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    while os.sendfile(fd, source, None, 1 << 30):
        pass
    os.close(source)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
