"""`mydocker pause`: stop all processes of containers where they are."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command
from mydocker.lifecycle import pause
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> int:
    """Pause one after another."""
    return for_each(words, lambda word: pause.pause(Containers(Globals.root), word))


COMMAND = Command(run, "CONTAINER...", "Pause containers.", least=1)
