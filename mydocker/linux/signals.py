"""Signals: the C half of Python's `signal`, without the half that gives them an `enum` (signal(7)).

Everything is there under the same names, as plain numbers. Importing `enum` takes as long as half a
start of the interpreter, and so does `re`, which needs it (docs/adr/0004-import-budget.md).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import *  # noqa: F403
else:
    from _signal import *  # noqa: F403


def _numbers() -> dict[str, int]:
    words = {name: int(value) for name, value in globals().items() if name.startswith("SIG")}
    return {name: value for name, value in words.items() if "_" not in name}


NUMBERS: dict[str, int] = _numbers()
"""Every signal by its name, such as SIGTERM; some have two (SIGCHLD is SIGCLD)."""

_PREFERRED = ("SIGABRT", "SIGCHLD", "SIGIO")


def name_of(number: int) -> str:
    """The name of a signal: SIGTERM; of a real-time signal without one, the number."""
    found = [name for name, value in NUMBERS.items() if value == number]
    return next((name for name in found if name in _PREFERRED), found[0] if found else str(number))
