"""`mydocker rmi`: take a name off an image; with its last name the image goes."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("-f --force", "bool", "all names at once, also when containers were made from it")]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Remove each, and print what was untagged and deleted."""
    for word in words:
        for line in images.remove(Globals.root, word, values["force"]):
            print(line)


COMMAND = Command(run, "[OPTIONS] IMAGE...", "Remove images.", FLAGS, least=1)
