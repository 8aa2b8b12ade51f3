"""`mydocker system check`: what crashes left on the host; with `--repair`, removed."""

from __future__ import annotations

from mydocker.cli import Globals, printable, report
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Usage
from mydocker.lifecycle import leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("--repair", "bool", "remove what was found")]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Print what was found, one a line. Exit code 1 if something is (still) left."""
    if words != ["check"]:
        raise Usage("system", words[0], "no such subcommand", hint="mydocker system check")
    found = leftovers.find(Globals.root, Globals.cgroup_parent)
    for leftover in found:
        print(f"{leftover.kind}: {printable(leftover.name)}")
    if not found:
        print("clean: nothing of mydocker's is left over")
    if not values["repair"]:
        return 1 if found else 0
    failed = leftovers.repair(Globals.root, Globals.cgroup_parent, found)
    for error in failed:
        report(error)
    return 1 if failed else 0


COMMAND = Command(run, "check [--repair]", "Look for leftovers.", FLAGS, least=1, most=1)
