"""`mydocker restart`: stop containers and start them again."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command
from mydocker.cli.stop import FLAGS, how
from mydocker.lifecycle import stop
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(values: dict[str, Any], words: list[str]) -> int:
    """Restart one after another; one that does not run is started."""
    seconds, by = how(values)
    return for_each(words, lambda word: stop.restart(Containers(Globals.root), word, seconds, by))


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Restart containers.", FLAGS, least=1)
