"""`mydocker kill`: send a signal to containers, SIGKILL unless another is named."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import stop
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.run import parse_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("-s --signal", "value", "the signal", metavar="SIGNAL", default="SIGKILL")]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Signal one after another."""
    name = parse_signal(values["signal"])
    return for_each(words, lambda word: stop.kill(Containers(Globals.root), word, name))


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Send containers a signal.", FLAGS, least=1)
