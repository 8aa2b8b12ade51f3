"""`mydocker attach`: watch a container that runs, and type to it."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import attach
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("--detach-keys", "value", "the keys that leave it", metavar="KEYS", default=attach.DETACH),
    Flag("--no-stdin", "bool", "only watch"),
    Flag("--sig-proxy", "bool", "pass signals on (=false to not)", default=True),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Stay until it ends; its exit code is ours."""
    keys = attach.parse_keys(values["detach_keys"])
    containers = Containers(Globals.root)
    return attach.attach(containers, words[0], not values["no_stdin"], values["sig_proxy"], keys)


COMMAND = Command(
    run, "[OPTIONS] CONTAINER", "Watch a container, and type to it.", FLAGS, least=1, most=1
)
