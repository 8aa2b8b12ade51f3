"""What can go wrong is told in one line, with a hint."""

from __future__ import annotations

import sys


class Trouble(Exception):
    """What went wrong, and what to do about it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def say(text: str) -> None:
    """A word on what is being done; on stderr, since stdout is the command's in the machine."""
    print(f"lab: {text}", file=sys.stderr, flush=True)
