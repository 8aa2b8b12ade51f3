"""`mydocker update`: change limits of containers, also while they run."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command
from mydocker.cli.run import FLAGS as RUN
from mydocker.cli.run import resources
from mydocker.errors import Usage
from mydocker.lifecycle import restart, update
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMITS = (
    "memory memory_swap memory_reservation cpu_shares cpus cpuset_cpus cpuset_mems pids_limit "
    "blkio_weight restart"
).split()

FLAGS = [flag for flag in RUN if flag.dest in LIMITS]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Update one after another."""
    if all(values[name] is None for name in LIMITS):
        hint = "mydocker update --help lists them"
        raise Usage("update", words[0], "nothing to change was given", hint=hint)
    wanted = resources(values)
    policy = None if values["restart"] is None else restart.parse(values["restart"])
    return for_each(
        words, lambda word: update.update(Containers(Globals.root), word, wanted, policy)
    )


COMMAND = Command(run, "[OPTIONS] CONTAINER...", "Change limits of containers.", FLAGS, least=1)
