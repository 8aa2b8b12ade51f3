"""`mydocker exec`: another command in a container that runs (the book's 5.4)."""

from __future__ import annotations

import os

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import exec as lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-d --detach", "bool", "run it in the background"),
    Flag("-i --interactive", "bool", "let the command read from stdin"),
    Flag("-t --tty", "bool", "give the command a terminal"),
    Flag("-e --env", "list", "set a variable", metavar="NAME[=VALUE]"),
    Flag("--env-file", "list", "set the variables that a file lists", metavar="FILE"),
    Flag("-w --workdir", "value", "the working directory", metavar="DIR"),
    Flag("-u --user", "value", "who the command runs as", metavar="USER[:GROUP]"),
    Flag("--privileged", "bool", "all capabilities for the command"),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Run the command, and return its exit code.

    The book types `exec bird sh` and has a shell: at a terminal, and with neither -i, -t nor -d,
    that is what it means.
    """
    asked = lifecycle.Request(**{name: values[name] for name in lifecycle.Request.fields()})
    if not (asked.detach or asked.interactive or asked.tty):
        asked.interactive = asked.tty = os.isatty(0) and os.isatty(1)
    return lifecycle.execute(Globals.root, words[0], words[1:], asked)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run another command in a container that runs. Its exit code is the command's. Typed at a\n"
    "terminal without -i, -t and -d, the command gets a terminal, as with -it.",
    FLAGS,
    least=2,
    stop_at_word=True,
)
