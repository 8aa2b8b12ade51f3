"""`mydocker container …`: Docker's other spelling of what containers have commands for.

All but `prune` are the commands that `mydocker --help` lists (SPELLINGS in cli/__init__.py).
"""

from __future__ import annotations

from mydocker.cli import Globals, ask, table
from mydocker.cli.flags import Command, Flag, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRUNE_FLAGS = [
    Flag("-f --force", "bool", "do not ask"),
    Flag("--filter", "list", "until=TIME, label=NAME[=VALUE], label!=…", metavar="KEY=VALUE"),
]


def prune(values: dict[str, Any], _: list[str]) -> int:
    """Remove the containers that do not run."""
    from mydocker.lifecycle import tidy

    if not values["force"] and not ask.sure("This will remove all stopped containers."):
        return 1
    removed, freed = tidy.containers(Globals.root, values["filter"])
    if removed:
        print("Deleted Containers:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {table.size(freed)}")
    return 0


COMMAND = Group(
    "Work with containers; the commands of the first page can be spelled so too.",
    {"prune": Command(prune, "[OPTIONS]", "Remove those that do not run.", PRUNE_FLAGS, most=0)},
)
