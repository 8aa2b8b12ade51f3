"""`mydocker image …`: what can be done with images, under one word, as Docker has it.

Most of it are the commands of the first page under another name (SPELLINGS in cli/__init__.py);
`prune` is only here.
"""

from __future__ import annotations

import sys

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRUNE_FLAGS = [
    Flag("-a --all", "bool", "all that no container was made from, not only dangling ones"),
    Flag("-f --force", "bool", "do not ask"),
    Flag("--filter", "list", "until=TIME, label=NAME[=VALUE], label!=…", metavar="FILTER"),
]


def prune(values: dict[str, Any], _words: list[str]) -> int:
    """Remove images that nobody needs, after asking at a terminal."""
    from mydocker.lifecycle.prune import prune

    if not values["force"] and sys.stdin.isatty() and not _sure(values["all"]):
        return 1
    said, freed = prune(Globals.root, values["all"], values["filter"])
    if said:
        print("Deleted Images:\n" + "\n".join(line.lower() for line in said) + "\n")
    print(f"Total reclaimed space: {table.size(freed)}")
    return 0


def _sure(every: bool) -> bool:
    what = "images that no container was made from" if every else "dangling images"
    print(f"This will remove all {what}. Continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMAND = Group(
    "Work with images; the commands of the first page can be spelled so too.",
    {"prune": Command(prune, "[OPTIONS]", "Remove those not needed.", PRUNE_FLAGS, most=0)},
)
