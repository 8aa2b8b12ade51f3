"""`mydocker rename`: give a container another name."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.errors import Error
from mydocker.lifecycle import rename
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Rename it; nothing is printed."""
    try:
        rename.rename(Containers(Globals.root), words[0], words[1])
    except Error as error:
        error.code = 1
        raise


COMMAND = Command(run, "CONTAINER NAME", "Give a container another name.", least=2, most=2)
