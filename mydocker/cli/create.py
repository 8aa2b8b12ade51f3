"""`mydocker create`: all of `run` but the running; `start` does that."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.cli.run import FLAGS, options, pull
from mydocker.lifecycle.run import create_only

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(values: dict[str, Any], words: list[str]) -> None:
    """Make the container, and print its id."""
    asked = options(values, words)
    pull(values["pull"], asked)
    print(create_only(Globals.root, asked))


COMMAND = Command(
    run,
    "[OPTIONS] [IMAGE] COMMAND [ARG...]",
    "Make a container and do not start it. The words are those of run.",
    [flag for flag in FLAGS if flag.dest not in ("detach", "sig_proxy")],
    stop_at_word=True,
)
