"""`mydocker image …`: Docker's other spelling of what images have commands for.

All but `prune` are the commands that `mydocker --help` lists (SPELLINGS in cli/__init__.py).
"""

from __future__ import annotations

from mydocker.cli import Globals, ask, table
from mydocker.cli.flags import Command, Flag, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRUNE_FLAGS = [
    Flag("-a --all", "bool", "all that no container was made from, not only dangling ones"),
    Flag("-f --force", "bool", "do not ask"),
    Flag("--filter", "list", "until=TIME, label=NAME[=VALUE], label!=…", metavar="KEY=VALUE"),
]


def prune(values: dict[str, Any], _: list[str]) -> int:
    """Remove images that nobody needs."""
    from mydocker.lifecycle.prune import prune

    every = "This will remove all images that no container was made from."
    warning = every if values["all"] else "This will remove all dangling images."
    if not values["force"] and not ask.sure(warning):
        return 1
    said, freed = prune(Globals.root, values["all"], values["filter"])
    if said:
        print("Deleted Images:\n" + "\n".join(line.lower() for line in said) + "\n")
    print(f"Total reclaimed space: {table.size(freed)}")
    return 0


COMMAND = Group(
    "Work with images; the commands of the first page can be spelled so too.",
    {"prune": Command(prune, "[OPTIONS]", "Remove those nobody needs.", PRUNE_FLAGS, most=0)},
)
