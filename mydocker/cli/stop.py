"""`mydocker stop`: ask containers to end, and kill those that do not (the book's 5.5)."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag
from mydocker.cli.run import whole_number
from mydocker.lifecycle import stop
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.run import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-t --time --timeout", "value", "seconds until SIGKILL, -1: never", metavar="SECONDS"),
    Flag("-s --signal", "value", "another signal than its own stop signal", metavar="SIGNAL"),
]


def how(values: dict[str, Any]) -> tuple[int | None, str | None]:
    """The seconds and the signal that were asked for."""
    text, word = values["timeout"], values["signal"]
    seconds = None if text is None else whole_number("--timeout", text, -1, 1 << 31)
    return seconds, None if word is None else parse_signal(word)


def run(values: dict[str, Any], words: list[str]) -> int:
    """Stop one after another."""
    seconds, by = how(values)
    return for_each(words, lambda word: stop.stop(Containers(Globals.root), word, seconds, by))


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Stop containers.", FLAGS, least=1)
