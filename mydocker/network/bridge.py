"""The bridge of a network: a switch that the host makes of software (the book's 6.4).

A bridge is an interface of the host's. The containers' cables end in its ports, and the host itself
is in the network by the address that the bridge has: the gateway's.

Its MAC is made from that address. A bridge that is given none takes one of its ports', and changes
it when that port goes, so that the containers' ARP caches are wrong for a while. And by its MAC we
know our own bridge again: after a crash, or when somebody else has an interface of that name.

Invariant: an interface that is not ours is neither used nor removed.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, KernelError
from mydocker.linux import files, rtnetlink
from mydocker.network import ipam

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.linux.rtnetlink import Link
    from mydocker.network.record import Network

LONGEST = 15
"""Bytes in the name of an interface: IFNAMSIZ without the NUL."""


def find(netlink: Netlink, network: Network) -> Link | None:
    """The network's bridge, if it is there; Conflict if another interface has its name."""
    found = rtnetlink.link(netlink, network.interface)
    if found and not is_ours(found, network):
        why = f"an interface of that name is there already, and it is not {network.name}'s"
        raise Conflict("network", network.interface, why, hint="choose another name")
    return found


def is_ours(found: Link, network: Network) -> bool:
    """Whether that interface is the network's bridge, by its kind and its MAC."""
    return found.kind == "bridge" and found.mac == ipam.mac(network.gateway_address)


def create(netlink: Netlink, network: Network) -> Link:
    """Make the bridge with its address, or what is missing of it; it is there and up afterwards."""
    found = find(netlink, network)
    if found is None:
        rtnetlink.new_bridge(
            netlink, network.interface, ipam.mac(network.gateway_address), network.mtu
        )
        found = rtnetlink.link(netlink, network.interface)
        assert found is not None
    if not found.up:
        # A container could advertise itself as an IPv6 router, and the host would believe it
        # (CVE-2020-13401): the host does not speak IPv6 here at all.
        set_sysctl(f"net/ipv6/conf/{network.interface}/disable_ipv6", "1")
        rtnetlink.set_up(netlink, found)
    ours = (found.index, network.gateway_address, network.block.prefix)
    if ours not in rtnetlink.addresses(netlink):
        rtnetlink.new_address(netlink, found, network.gateway_address, network.block.prefix)
    return found


def remove(netlink: Netlink, network: Network) -> None:
    """Remove the bridge, and with it its address and the route to the subnet."""
    found = rtnetlink.link(netlink, network.interface)
    if found and is_ours(found, network):
        rtnetlink.delete_link(netlink, network.interface)


def set_sysctl(name: str, value: str) -> bool:
    """Write a setting of the network, unless it has that value; whether it was changed.

    A kernel without IPv6 lacks some of them, and then there is nothing to switch off.
    """
    path = f"/proc/sys/{name}"
    if not os.path.exists(path) or files.read(path).strip() == value:
        return False
    try:
        files.write(path, value)
    except KernelError as error:
        hint = "is /proc/sys read-only here?"
        raise KernelError("sysctl", name.replace("/", "."), error.errno, hint=hint) from None
    return True
