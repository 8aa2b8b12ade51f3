"""What a container asks of the network: read from its flags once, kept beside its record.

`<root>/containers/<id>/network.json` is the wish, and stays when the container ends; what became of
it while it runs is an endpoint in the network's record (record.py).
"""

from __future__ import annotations

from mydocker.network.record import Port
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Attachment(Struct):
    """A network to be in; the address and the MAC only if they were asked for."""

    network: str
    address: str = ""
    mac: str = ""
    aliases: list[str] = []


class Wish(Struct):
    """`mode` is none, host, container (of another: `container` is its id) or network. `hosts` are
    lines for /etc/hosts."""

    mode: str = "none"
    container: str = ""
    attachments: list[Attachment] = []
    ports: list[Port] = []
    dns: list[str] = []
    dns_search: list[str] = []
    dns_option: list[str] = []
    hosts: list[str] = []

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"attachments": [Attachment], "ports": [Port]}
