"""`mydocker start`: bring containers to life that were created or that have ended."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Usage
from mydocker.lifecycle import start
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-a --attach", "bool", "stay in front of it, with its output and its signals"),
    Flag("-i --interactive", "bool", "stay in front of it, and let it read from stdin"),
    Flag("--sig-proxy", "bool", "pass signals on (=false to not)", default=True),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Start each in the background; with -a or -i one in front, whose exit code is ours."""
    containers = Containers(Globals.root)
    if values["attach"] or values["interactive"]:
        if len(words) > 1:
            raise Usage("start", words[1], "only one container can be in front", hint="without -a")
        return start.start_attached(
            containers, words[0], values["interactive"], values["sig_proxy"]
        )
    return for_each(words, lambda word: start.start(containers, word))


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Start containers.", FLAGS, least=1)
