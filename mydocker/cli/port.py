"""`mydocker port`: which ports of the host lead to a container."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.errors import NotFound
from mydocker.lifecycle import netchanges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """`port CONTAINER` lists all; `port CONTAINER 80[/tcp]` only where that one is on the host."""
    ports = netchanges.published(Globals.root, words[0])
    if len(words) == 1:
        for port in ports:
            print(f"{port.container_port}/{port.protocol} -> {where(port)}")
        return
    number, _slash, protocol = words[1].partition("/")
    wanted = (number, protocol or "tcp")
    found = [p for p in ports if (str(p.container_port), p.protocol) == wanted]
    if not found:
        raise NotFound("port", words[1], f"{words[0]} does not publish it", code=1)
    for port in found:
        print(where(port))


def where(port: Any) -> str:
    """The host's side of it."""
    return f"{port.host_ip or '0.0.0.0'}:{port.host_port}"


COMMAND = Command(
    run,
    "CONTAINER [PORT[/PROTOCOL]]",
    "List the ports of the host that lead to a container.",
    least=1,
    most=2,
)
