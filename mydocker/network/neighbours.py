"""IPv6 in the kernel: second addresses, and whom an interface believes.

What IPv4 needs us for, IPv6 would do by itself: who says that he is a router is believed (router
advertisements), and gives addresses and routes. A container could say so to its host and to its
neighbours (CVE-2020-13401). So nobody on our bridges listens to that, and where a network has no
IPv6, its containers have none either.
"""

from __future__ import annotations

from mydocker.linux import netlink, rtnetlink
from mydocker.network import bridge, ipv6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.linux.rtnetlink import Link
    from mydocker.network.record import Endpoint, Network


def on_bridge(host: Netlink, network: Network, found: Link) -> None:
    """Give the bridge its IPv6 address, unless it has it."""
    bridge.set_sysctl(f"net/ipv6/conf/{network.interface}/accept_ra", "0")
    bridge.set_sysctl(f"net/ipv6/conf/{network.interface}/disable_ipv6", "0")
    address, prefix = ipv6.gateway(network)
    if (found.index, address, prefix) not in rtnetlink.addresses(host, ipv6.BITS):
        rtnetlink.new_address(host, found, address, prefix, ipv6.BITS)


def settings(network: Network, endpoint: Endpoint, netns: int) -> None:
    """What the container's interface believes of its neighbours, before it is up."""
    name = f"net/ipv6/conf/{endpoint.interface}"
    setting = ("accept_ra", "0") if network.subnet6 else ("disable_ipv6", "1")
    netlink.visit(netns, lambda: bridge.set_sysctl(f"{name}/{setting[0]}", setting[1]))


def configure(container: Netlink, network: Network, endpoint: Endpoint, default: bool) -> None:
    """Inside: the second address, and the second default route."""
    inner = rtnetlink.link(container, endpoint.interface)
    assert inner is not None
    address, prefix = ipv6.parse(
        "address", f"{network.address6(endpoint)}/{ipv6.gateway(network)[1]}"
    )
    rtnetlink.new_address(container, inner, address, prefix, ipv6.BITS)
    if default:
        rtnetlink.default_route(container, inner, ipv6.gateway(network)[0], ipv6.BITS)
