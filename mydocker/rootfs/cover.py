"""Cover what the container must not write or see: read-only and masked paths (OCI config-linux.md).

/proc and /sys show much that is not namespaced: a write to /proc/sysrq-trigger restarts the host.
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls


def make_readonly(root: int, path: str) -> None:
    """Bind the path onto itself, read-only; what does not exist needs no cover."""
    try:
        fd = files.open_in_root(root, path)
    except KernelError:
        return
    syscalls.mount(files.by_fd(fd), files.by_fd(fd), "", syscalls.MS_BIND | syscalls.MS_REC)
    os.close(fd)
    fd = files.open_in_root(root, path)
    flags = os.fstatvfs(fd).f_flag & 0xF | syscalls.MS_RDONLY
    syscalls.mount("", files.by_fd(fd), "", flags | syscalls.MS_BIND | syscalls.MS_REMOUNT)
    os.close(fd)


def mask(root: int, path: str) -> None:
    """Hide a file behind /dev/null, a directory behind an empty read-only tmpfs.

    That the source really is the null device is checked: an image could bring its own
    (CVE-2025-31133).
    """
    try:
        fd = files.open_in_root(root, path)
    except KernelError:
        return
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        syscalls.mount("tmpfs", files.by_fd(fd), "tmpfs", syscalls.MS_RDONLY, "size=0k,nr_inodes=1")
    else:
        null = files.open_in_root(root, "/dev/null")
        if os.fstat(null).st_rdev != os.makedev(1, 3):
            raise Error("mask", path, "/dev/null is not the null device")
        syscalls.mount(files.by_fd(null), files.by_fd(fd), "", syscalls.MS_BIND)
        os.close(null)
    os.close(fd)
