"""`mydocker rm`: remove containers and what they own, never a volume's data (the book's 5.6)."""

from __future__ import annotations

import sys

from mydocker.cli import Globals, report
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error
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


def for_each(words: list[str], act: Any) -> int:
    """Call `act` for each word and print the word, as Docker does; an error is told, not final."""
    code = 0
    for word in words:
        try:
            act(word)
            print(word)
        except Error as error:
            sys.stdout.flush()
            report(error)
            code = 1
    return code


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Remove containers.", FLAGS, least=1)
