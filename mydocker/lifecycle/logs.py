"""What a container wrote, kept: one JSON object a line, in the form of Docker's json-file driver.

The monitor reads the pipes at once and writes here, so a container is never held up because nobody
reads its log (the book's 5.3 redirects stdout to a file; stderr and the time are lost there).
"""

from __future__ import annotations

import json
import os

from mydocker.lifecycle.container import now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = 16 << 10  # an endless line is cut into pieces of this size, as Docker does


class Log:
    """The log of one container: bytes come in as they were read, entries go out line by line."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._rest = {"stdout": b"", "stderr": b""}

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
        if entries:
            os.write(self._fd, ("\n".join(entries) + "\n").encode("ascii"))


def entries(path: str) -> Iterator[dict[str, str]]:
    """The entries of a log, oldest first; a last line that is only half there is left out."""
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
