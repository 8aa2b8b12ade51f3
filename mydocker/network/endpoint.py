"""An endpoint: the cable between a container and its network (the book's 6.5).

veth(4) is a pair of interfaces, and what goes in at one end comes out at the other. One end is a
port of the bridge; the other is born in the container's network namespace, as eth0. In there it
gets its address, and the default route leads to the gateway.

All of that is done from outside and before the user's program runs. When the container's namespace
is gone the kernel removes the pair; we do not wait for that, since it takes its time.

Invariant: the name of the host's end stands in the network's record before the pair is made.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError
from mydocker.linux import netlink, rtnetlink
from mydocker.network import ipam, neighbours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.network.record import Endpoint, Network


def link_name(tag: str) -> str:
    """A name for the host's end: 15 bytes, of which the last eight are random."""
    return f"v{tag}{os.urandom(4).hex()}"


def attach(host: Netlink, network: Network, endpoint: Endpoint, netns: int, default: bool) -> None:
    """Make the pair, and configure the container's end; `netns` is its network namespace.

    `default`: the container's default route goes through this network.
    """
    bridge = rtnetlink.link(host, network.interface)
    if bridge is None:
        raise Error("network", network.name, "its bridge is gone", hint="mydocker network reload")
    try:
        rtnetlink.new_veth(
            host, endpoint.link, bridge, network.mtu, endpoint.interface, endpoint.mac, netns
        )
    except KernelError as error:
        raise full(error, network) from None
    port = rtnetlink.link(host, endpoint.link)
    if endpoint.ports and port:
        # With br_netfilter the destination changes while the frame is still in the bridge, and a
        # container that calls its own published port is to get it from the port it went into.
        rtnetlink.set_hairpin(host, port)
    neighbours.settings(network, endpoint, netns)
    with netlink.inside(netns) as container:
        configure(container, network, endpoint, default)
        if network.subnet6:
            neighbours.configure(container, network, endpoint, default)


def configure(container: Netlink, network: Network, endpoint: Endpoint, default: bool) -> None:
    """Inside: address, interface up, default route. In this order: a route needs its interface."""
    inner = rtnetlink.link(container, endpoint.interface)
    if inner is None:
        raise Error("network", endpoint.interface, "is not in the container's namespace")
    address = ipam.parse_address("address", endpoint.address)
    rtnetlink.new_address(container, inner, address, network.block.prefix)
    rtnetlink.set_up(container, inner)
    if default:
        rtnetlink.default_route(container, inner, network.gateway_address)


def detach(host: Netlink, endpoint: Endpoint) -> None:
    """Remove the pair; both ends go."""
    if endpoint.link:
        rtnetlink.delete_link(host, endpoint.link)


def free_interface(netns: int) -> str:
    """The first of eth0, eth1, … that the container does not have."""
    with netlink.inside(netns) as container:
        taken = {link.name for link in rtnetlink.links(container)}
    return next(name for i in range(len(taken) + 1) if (name := f"eth{i}") not in taken)


def full(error: KernelError, network: Network) -> Error:
    """A bridge's ports have the numbers 1 to 1023 (BR_MAX_PORTS); then the kernel says EXFULL."""
    if error.errno != 54:
        return error
    return Error("network", network.name, "its bridge has no free port: 1023 are the most")
