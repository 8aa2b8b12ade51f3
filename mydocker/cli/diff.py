"""`mydocker diff`: what a container changed in its files."""

from __future__ import annotations

import os

from mydocker.cli import Globals, printable
from mydocker.cli.flags import Command
from mydocker.lifecycle import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Print one line for each path: A for added, C for changed, D for deleted."""
    for kind, path in export.diff(Globals.root, words[0]):
        print(kind, printable(os.fsdecode(path)))


COMMAND = Command(
    run,
    "CONTAINER",
    "List what a container changed in its files: A added, C changed, D deleted.",
    least=1,
    most=1,
)
