"""`mydocker logs`: what a container wrote (the book's 5.3)."""

from __future__ import annotations

import os

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.lifecycle import logs
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.stdio import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Copy the log: stdout to stdout, stderr to stderr."""
    path = f"{Containers(Globals.root).find(words[0]).directory}/log.json"
    if not os.path.exists(path):
        return
    for entry in logs.entries(path):
        data = entry["log"].encode("utf-8", "surrogateescape")
        write_all(1 if entry["stream"] == "stdout" else 2, data)


COMMAND = Command(run, "CONTAINER", "Show what a container wrote.", least=1, most=1)
