"""`mydocker container …`: Docker's other spelling of what containers have commands for.

All but `prune` are the commands that `mydocker --help` lists (SPELLINGS in cli/__init__.py).
"""

from __future__ import annotations

from mydocker.cli import Globals, ask, printable, table
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
    tell([tidy.containers(Globals.root, values["filter"])])
    return 0


def tell(removed: list[Any]) -> None:
    """Print what was removed, kind by kind, and how many bytes that gave back."""
    for kind in removed:
        if kind.names:
            print(f"Deleted {kind.kind}:\n" + "\n".join(map(printable, kind.names)) + "\n")
    print(f"Total reclaimed space: {table.size(sum(kind.size for kind in removed))}")


COMMAND = Group(
    "Work with containers; the commands of the first page can be spelled so too.",
    {"prune": Command(prune, "[OPTIONS]", "Remove those that do not run.", PRUNE_FLAGS, most=0)},
)
