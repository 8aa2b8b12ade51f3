"""What a container wrote, kept: one JSON object a line, in the form of Docker's json-file driver.

The monitor reads the pipes at once and writes here, so a container is never held up because nobody
reads its log (the book's 5.3 redirects stdout to a file; stderr and the time are lost there)::

    {"log":"hello\\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}

Bytes that are no UTF-8 are kept as lone surrogates (PEP 383), so what comes out is what went in.
With a largest size, a full log.json becomes log.json.1, that log.json.2, and the oldest is dropped.
How it is read again is readlog.py.

Invariant: a line is written whole, after the ones before it, or not at all; when the record says
that the container has ended, the last line is there; and nothing that befalls the log (it is
removed, the disk is full) stops the container.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError
from mydocker.lifecycle.container import now
from mydocker.linux import files
from mydocker.linux.jsontext import quoted

_LINE = 16 << 10  # an endless line is cut into pieces of about this size, as Docker does


class Log:
    """The log of one container: bytes come in as they were read, entries go out line by line.

    A log that cannot be written must not stop the container: what it writes meanwhile is lost, and
    `trouble` says so. `most` is the size in bytes (0: none) at which the file is rotated, `count`
    how many files there may be, `details` what stands in each entry. Without `keep` the file stays
    empty; it is there because who watches a container is known by holding it open (monitors.py).
    """

    def __init__(
        self,
        path: str,
        *,
        keep: bool = True,
        most: int = 0,
        count: int = 1,
        details: dict[str, str] | None = None,
    ) -> None:
        self.path = path
        self.trouble = ""
        self._keep = keep
        self._most = most
        self._count = count
        pairs = ",".join(f"{quoted(name)}:{quoted(text)}" for name, text in (details or {}).items())
        self._attributes = f',"attrs":{{{pairs}}}' if pairs else ""
        self._rest = {"stdout": b"", "stderr": b""}
        self._torn = False  # the last line in the file is not whole
        self._fd = -1
        self._open()

    def write(self, stream: str, data: bytes) -> None:
        """Take what the container wrote; whole lines go to the file, the rest waits."""
        if not self._keep:
            return
        data = self._rest[stream] + data
        end = data.rfind(b"\n") + 1
        if len(data) - end >= _LINE:
            end = len(data)
        self._rest[stream] = data[end:]
        if end:
            self._append(stream, data[:end])

    def flush(self) -> None:
        """Write the last, unfinished lines."""
        for stream, rest in self._rest.items():
            if rest:
                self._append(stream, rest)
                self._rest[stream] = b""

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.flush()
        os.close(self._fd)

    def _append(self, stream: str, data: bytes) -> None:
        tail = f',"stream":"{stream}"{self._attributes},"time":"{now()}"}}\n'
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        entries = [f'{{"log":{quoted(line)[:-1]}\\n"{tail}' for line in lines[:-1]]
        if lines[-1]:
            entries.append(f'{{"log":{quoted(lines[-1])}{tail}')
        try:
            self._write_out(entries)
        except (OSError, Error) as error:
            why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else error
            self.trouble = f"some of its log is lost: {why}"

    def _write_out(self, entries: list[str]) -> None:
        held = os.fstat(self._fd)
        if held.st_nlink == 0:  # it was removed under us: what comes goes into a new one
            self._open()
        size = held.st_size if held.st_nlink else 0
        batch: list[str] = []
        for entry in entries:
            if self._most and size and size + len(entry) > self._most:
                self._put("".join(batch))
                self._rotate()
                size, batch = 0, []
            size += len(entry)
            batch.append(entry)
        self._put("".join(batch))

    def _put(self, text: str) -> None:
        data = ("\n" * self._torn + text).encode("ascii")
        self._torn = True
        while data:
            data = data[os.write(self._fd, data) :]
        self._torn = False

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise KernelError.of(error, "log", self.path) from None
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def _rotate(self) -> None:
        """log.json becomes .1, that .2, …; what would be one too many is replaced."""
        names = [self.path, *(f"{self.path}.{number}" for number in range(1, self._count))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            files.rename(newer, older, missing_ok=True)
        files.unlink(self.path, missing_ok=True)
        self._open()
