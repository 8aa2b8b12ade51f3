"""What crashes, damage and other people's commands left of networks: found, with what mends it.

A network is right when the record, the kernel's interfaces and its rules say the same. The record
counts: what it does not know is removed, what the kernel lacks is made again. A bridge that is not
there at all is no fault: after a reboot none is, and the next use makes it.
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt, Error
from mydocker.linux import files, netlink, rtnetlink
from mydocker.network import bridge, checkrules, ipv6, upkeep
from mydocker.network.networks import Networks
from mydocker.network.record import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.linux.netlink import Netlink

    Found = tuple[Any, ...]


def find(root: str) -> list[Found]:
    """What is wrong: its kind, its name, and what mends it: a function and its arguments."""
    networks = Networks(root)
    found: list[Found] = []
    right = []
    with networks.lock(), netlink.Netlink() as host:
        for name in networks.names():
            try:
                network = networks.load(name)
            except Corrupt as error:
                found.append(("network record", str(error), aside, root, name))
                continue
            if network.state != "ready":
                text = f"{name}, which was being made or removed"
                found.append(("network", text, mend, root, name))
                continue
            right.append(network)
            found += _members(root, network)
            found += [("network", text, mend, root, name) for text in _kernel(host, network)]
        found += _links(root, networks, host)
        found += checkrules.find(root, mend, networks, host, right)
    return found


def _members(root: str, network: Network) -> list[Found]:
    return [
        (
            "address",
            f"{member.address} in {network.name}, of {member.name}, which is gone",
            mend,
            root,
            network.name,
        )
        for member in network.endpoints
        if not member.alive()
    ]


def _kernel(host: Netlink, network: Network) -> list[str]:
    """What the kernel lacks of a network that is up."""
    found = rtnetlink.link(host, network.interface)
    if found is None:
        living = network.living()
        return [f"{network.name}: its bridge is gone"] if living else []
    if not bridge.is_ours(found, network):
        return []
    wrong = [] if found.up else [f"{network.name}: its bridge is down"]
    ours = (found.index, network.gateway_address, network.block.prefix)
    if ours not in rtnetlink.addresses(host):
        wrong.append(f"{network.name}: its bridge lacks the address {network.gateway}")
    if network.subnet6 and (found.index, *ipv6.gateway(network)) not in rtnetlink.addresses(
        host, ipv6.BITS
    ):
        wrong.append(f"{network.name}: its bridge lacks the address {network.gateway6}")
    for member in network.living():
        port = rtnetlink.link(host, member.link)
        if port and port.master != found.index:
            wrong.append(f"{network.name}: {member.link} of {member.name} is not in its bridge")
    return wrong


def _links(root: str, networks: Networks, host: Netlink) -> list[Found]:
    """Interfaces with our tag that no record knows."""
    known = set()
    for name in networks.names():
        try:
            known |= {member.link for member in networks.load(name).endpoints}
        except Error:
            return []  # whose they are is in a record that cannot be read
    return [
        ("interface", link.name, _delete, root, link.name)
        for link in rtnetlink.links(host)
        if link.kind == "veth" and link.name.startswith(f"v{networks.tag}")
        if len(link.name) == bridge.LONGEST and link.name not in known
    ]


def _delete(root: str, name: str) -> None:
    with Networks(root).lock(), netlink.Netlink() as host:
        rtnetlink.delete_link(host, name)


def mend(root: str, name: str) -> None:
    """Finish what was begun with a network, or put it in place again."""
    networks = Networks(root)
    with networks.lock(), netlink.Netlink() as host:
        if name not in networks.names():
            return
        network = networks.load(name)
        if network.state != "ready":
            upkeep.tear_down(networks, host, network)
        else:
            upkeep.reload(networks, host, network)


def aside(root: str, name: str) -> None:
    """Keep a damaged record for a human to look at, where nothing reads it as a network.

    What it told of is removed as far as it can be known: its rules by the state root's tag, and in
    the next round the interfaces.
    """
    networks = Networks(root)
    with networks.lock():
        try:
            networks.load(name)
        except Corrupt:
            files.makedirs(f"{root}/damaged")
            target = f"{root}/damaged/network-{name}-{os.urandom(4).hex()}.json"
            files.rename(networks.path(name), target)
