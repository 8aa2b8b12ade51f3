"""`mydocker rm`: remove containers and what they own, never a volume's data (the book's 5.6)."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import remove
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-f --force", "bool", "also one that is running: it is killed first"),
    Flag("-v --volumes", "bool", "also its volumes without a name"),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Remove each; the others are removed although one fails."""
    containers = Containers(Globals.root)
    return for_each(
        words,
        lambda word: remove.remove(containers, word, values["force"], values["volumes"]),
    )


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Remove containers.", FLAGS, least=1)
