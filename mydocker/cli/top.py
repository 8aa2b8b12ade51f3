"""`mydocker top`: what runs in a container."""

from __future__ import annotations

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command
from mydocker.lifecycle import top

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Print a table, the pids being the host's."""
    table.show(*top.top(Globals.root, words[0], words[1:]))


COMMAND = Command(
    run,
    "CONTAINER [ps OPTIONS]",
    "List the processes of a container, by their pids on the host. Options for ps(1) choose other\n"
    "columns.",
    least=1,
    stop_at_word=True,
)
