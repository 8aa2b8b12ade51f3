"""`mydocker image …`: what can be done with images, under one word, as Docker has it.

Most of it are the commands of the first page under another name; `prune` is only here.
"""

from __future__ import annotations

import json
import sys

from mydocker.cli import Globals, flags, table
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SAME = {
    "history": "history",
    "import": "import",
    "load": "load",
    "ls": "images",
    "pull": "pull",
    "rm": "rmi",
    "save": "save",
    "tag": "tag",
}
"""Subcommands that are commands of their own."""

PRUNE_FLAGS = [
    Flag("-a --all", "bool", "all that no container was made from, not only dangling ones"),
    Flag("-f --force", "bool", "do not ask"),
    Flag("--filter", "list", "until=TIME, label=NAME[=VALUE], label!=…", metavar="FILTER"),
]


def run(_: dict[str, Any], words: list[str]) -> int | None:
    """Hand over to the subcommand."""
    name, rest = words[0], words[1:]
    command = _subcommand(name)
    values, operands = flags.parse(f"image {name}", command, rest)
    if values["help"]:
        print(flags.help_text(f"image {name}", command))
        return 0
    if values["debug"]:
        Globals.debug = True
    return command.run(values, operands)


def _subcommand(name: str) -> Command:
    from mydocker.cli import load

    if name in SAME:
        return load(SAME[name])
    if name not in OWN:
        known = ", ".join(sorted([*SAME, *OWN]))
        raise Usage("image", name, "no such subcommand", hint=f"one of {known}")
    return OWN[name]


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


def inspect(_values: dict[str, Any], words: list[str]) -> int:
    """Print one array with an object for each image that is there."""
    from mydocker.cli import report
    from mydocker.lifecycle.images import describe, find
    from mydocker.rootfs.store import Store

    store, found, code = Store(Globals.root), [], 0
    for word in words:
        try:
            found.append(describe(store, find(store, word)))
        except Error as error:
            code = report(error)
    print(json.dumps(found, indent=4))
    return code


OWN = {
    "inspect": Command(inspect, "IMAGE...", "Show all that is known of images.", least=1),
    "prune": Command(prune, "[OPTIONS]", "Remove images that are not needed.", PRUNE_FLAGS, most=0),
}

COMMAND = Command(
    run,
    "COMMAND ...",
    "Work with images: " + ", ".join(sorted([*SAME, *OWN])) + ".",
    least=1,
    stop_at_word=True,
)
