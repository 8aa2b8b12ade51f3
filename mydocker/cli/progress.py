"""Progress of long work: lines with bars that redraw themselves, on a terminal only.

Each thing that is at work has a line; what is finished stays as a line above. Several threads may
tell at once. Off a terminal nothing is shown at all.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from mydocker.cli import printable
from mydocker.cli.table import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_EVERY = 0.1  # seconds between two drawings
_BAR = 24


class Progress:
    """`with Progress("Loading") as told:`, and then `told(label, done, total)` again and again.

    total: 0 if nobody knows.
    """

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.shown = sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb"
        self._items: dict[str, tuple[int, int]] = {}
        self._lines = 0
        self._drawn = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __call__(self, label: str, done: int, total: int) -> None:
        if not self.shown:
            return
        with self._lock:
            self._items[label] = done, total
            now = time.monotonic()
            if now - self._drawn >= _EVERY:
                self._drawn = now
                self._draw()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.shown and self._items and self._drawn:
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        try:
            columns, rows = os.get_terminal_size(sys.stderr.fileno())
        except OSError:
            columns, rows = 0, 0
        columns, rows = columns or 80, rows or 24  # some terminals do not say
        # What does not fit on the screen can't be redrawn: only the last lines are shown.
        items = list(self._items.items())[-max(1, rows - 1) :]
        lines = [self._line(label, *numbers)[: max(1, columns - 1)] for label, numbers in items]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        text = up + "".join(f"\r\x1b[K{line}\n" for line in lines)
        self._lines = len(lines)
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            self.shown = False

    def _line(self, label: str, done: int, total: int) -> str:
        name = printable(os.path.basename(label.removeprefix("sha256:")))[:12]
        if not total:
            return f"{name}: {self.verb} {size(done)}"
        filled = min(_BAR, _BAR * done // total)
        bar = "=" * max(0, filled - 1) + ">" * (filled > 0)
        return f"{name}: {self.verb} [{bar:{_BAR}}] {size(done)}/{size(total)}"


class Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: object, label: str, total: int, told: Progress) -> None:
        self._read = stream.read  # type: ignore[attr-defined]  # any binary stream
        self.name = label
        self._total = total
        self._told = told
        self._done = 0

    def read(self, count: int = -1, /) -> bytes:
        """The next piece."""
        piece: bytes = self._read(count)
        self._done += len(piece)
        self._told(self.name, self._done, self._total)
        return piece
