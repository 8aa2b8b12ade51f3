"""Where a container can be reached, for `ps` and `inspect`: its networks, addresses and ports.

Most containers have no network, and for those nothing is read and nothing imported but this.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.lifecycle.container import Container
    from mydocker.network.record import Endpoint, Network

_read: dict[str, list[Network]] = {}
"""The networks by state root: `ps` asks for each of hundreds of containers."""


def networked(container: Container) -> bool:
    """Whether it has, or had when it ran, anything of networks."""
    return os.path.exists(f"{container.directory}/network.json")


def names(container: Container) -> list[str]:
    """What `--network` said, or the networks that it is in."""
    from mydocker.lifecycle import netplan

    wish = netplan.load(container)
    if wish.mode == "container":
        return [f"container:{wish.container}"]
    return [attachment.network for attachment in wish.attachments] or [wish.mode]


def places(container: Container) -> list[tuple[Network, Endpoint]]:
    """The networks that it is in at this moment, and its place in each."""
    from mydocker.network.networks import Networks

    root = os.path.dirname(os.path.dirname(container.directory))
    if root not in _read:
        _read[root] = Networks(root).all()
    found = [(network, network.endpoint(container.id)) for network in _read[root]]
    return [(network, member) for network, member in found if member and member.alive()]


def ports(container: Container) -> str:
    """Its published ports in Docker's words: `0.0.0.0:8080->80/tcp, …`."""
    if not networked(container):
        return ""
    from mydocker.network.show import arrow

    return ", ".join(arrow(port) for _, member in places(container) for port in member.ports)


def addresses(container: Container) -> dict[str, dict[str, Any]]:
    """What `inspect` tells of each network, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for network, member in places(container) if networked(container) else []:
        found[network.name] = {
            "NetworkID": network.id,
            "IPAddress": member.address,
            "IPPrefixLen": network.block.prefix,
            "Gateway": "" if network.internal else network.gateway,
            "GlobalIPv6Address": network.address6(member),
            "MacAddress": member.mac,
            "Aliases": member.aliases,
        }
    return found


def bindings(container: Container) -> dict[str, list[dict[str, str]]]:
    """Its published ports as `inspect` has them: `80/tcp` and where it is on the host."""
    found: dict[str, list[dict[str, str]]] = {}
    for _, member in places(container) if networked(container) else []:
        for port in member.ports:
            where = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
            found.setdefault(f"{port.container_port}/{port.protocol}", []).append(where)
    return found
