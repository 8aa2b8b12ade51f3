"""`mydocker rmi`: take a name off an image; with its last name the image goes."""

from __future__ import annotations

from mydocker.cli import Globals, report
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error
from mydocker.lifecycle import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("-f --force", "bool", "all names at once, also when containers were made from it")]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Remove each, and print what was untagged and deleted; the others go although one stays."""
    code = 0
    for word in words:
        try:
            print("\n".join(images.remove(Globals.root, word, values["force"])), flush=True)
        except Error as error:
            code = report(error)
    return code


COMMAND = Command(run, "[OPTIONS] IMAGE...", "Remove images.", FLAGS, least=1)
