"""What a container wrote, kept: one JSON object a line, in the form of Docker's json-file driver.

The monitor reads the pipes at once and writes here, so a container is never held up because nobody
reads its log (the book's 5.3 redirects stdout to a file; stderr and the time are lost there).
"""

from __future__ import annotations

import json
import os

from mydocker.errors import KernelError
from mydocker.lifecycle.container import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = 16 << 10  # an endless line is cut into pieces of this size, as Docker does


class Log:
    """The log of one container: bytes come in as they were read, entries go out line by line.

    A log that cannot be written (the disk is full) must not stop the container: what it writes
    meanwhile is lost, and `trouble` says so.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise KernelError.of(error, "log", path) from None
        self._rest = {"stdout": b"", "stderr": b""}
        self.trouble = ""

    def write(self, stream: str, data: bytes) -> None:
        """Take what the container wrote; whole lines go to the file, the rest waits."""
        data = self._rest[stream] + data
        *whole, rest = data.split(b"\n")
        if len(rest) >= _LINE:
            whole, rest = [*whole, rest], b""
            self._append(stream, [line + b"\n" for line in whole[:-1]] + whole[-1:])
        else:
            self._append(stream, [line + b"\n" for line in whole])
        self._rest[stream] = rest

    def close(self) -> None:
        """Write the last, unfinished lines and close the file."""
        for stream, rest in self._rest.items():
            if rest:
                self._append(stream, [rest])
        os.close(self._fd)

    def _append(self, stream: str, lines: list[bytes]) -> None:
        time = now()
        entries = [
            json.dumps(
                {"log": line.decode("utf-8", "surrogateescape"), "stream": stream, "time": time}
            )
            for line in lines
        ]
        if not entries:
            return
        # Where only a part of a line could be written, it must not become one with the next.
        begin = "\n" if self.trouble else ""
        data = (begin + "\n".join(entries) + "\n").encode("ascii")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self.trouble = f"some of its log is lost: {os.strerror(error.errno or 0).lower()}"


def entries(path: str) -> Iterator[dict[str, str]]:
    """The entries of a log, oldest first; a line that is only half there is left out."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and {"log", "stream"} <= entry.keys():
                yield entry
