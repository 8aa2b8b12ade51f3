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
    """Hold `path` exclusively (or shared) inside a `with`; the file and its directory are made."""

    def __init__(self, path: str, shared: bool = False) -> None:
        self.path = path
        self.operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._fd = -1

    def __enter__(self) -> Self:
        files.makedirs(os.path.dirname(self.path))
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, self.operation)
        except OSError as error:
            raise KernelError.of(error, "lock", self.path) from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
