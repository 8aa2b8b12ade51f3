"""`mydocker wait`: wait until containers end, and print their exit codes."""

from __future__ import annotations

from mydocker.cli import Globals, report
from mydocker.cli.flags import Command
from mydocker.errors import Error
from mydocker.lifecycle import wait
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> int:
    """Wait for one after another."""
    code = 0
    for word in words:
        try:
            print(wait.wait(Containers(Globals.root), word), flush=True)
        except Error as error:
            report(error)
            code = 1
    return code


COMMAND = Command(run, "CONTAINER...", "Wait for the end of containers.", least=1)
