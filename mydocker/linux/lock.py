"""One writer at a time: flock(2) on a file of its own (read-modify-write of mydocker's state).

The lock belongs to the open file, so it ends with the process however that dies: a crash cannot
leave it behind.
"""

from __future__ import annotations

import fcntl
import os

from mydocker.errors import KernelError
from mydocker.linux import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Lock:
    """Hold `path` exclusively (or shared) inside a `with`; the file and its directory are made.

    `wait=False`: who would have to wait gets a KernelError with EAGAIN instead.
    """

    def __init__(self, path: str, shared: bool = False, wait: bool = True) -> None:
        self.path = path
        self.operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if not wait:
            self.operation |= fcntl.LOCK_NB
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = self.open()
        except OSError as error:
            raise KernelError.of(error, "lock", self.path) from None
        try:
            fcntl.flock(self._fd, self.operation)
        except OSError as error:
            os.close(self._fd)
            raise KernelError.of(error, "lock", self.path) from None
        return self

    def open(self) -> int:
        """A descriptor of what is locked."""
        files.makedirs(os.path.dirname(self.path))
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class DirectoryLock(Lock):
    """The same on a directory itself, which must be there: nothing is made, so a full disk is no
    hindrance, and waiting for the lock of what is being removed does not bring it back."""

    def open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
