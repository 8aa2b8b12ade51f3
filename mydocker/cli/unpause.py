"""`mydocker unpause`: let the processes of paused containers go on."""

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
    """Unpause one after another."""
    return for_each(words, lambda word: pause.unpause(Containers(Globals.root), word))


COMMAND = Command(run, "CONTAINER...", "Unpause containers.", least=1)
