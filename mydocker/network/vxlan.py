"""One network over several hosts: frames inside UDP packets, RFC 7348 (the book's 6.6).

A vxlan interface is one more port of the bridge. What goes out there is packed into a UDP packet
and sent to another host, which unpacks it onto its own bridge: containers of both are neighbours.
Where a MAC is, the interface learns from what comes in; what it does not know yet (and every
broadcast, such as an ARP question) it sends to all its peers.

There is no common memory that gives out addresses, as Docker's swarm has. Each host takes the part
of the subnet that its place among all the hosts' sorted addresses says, and the first address of
that part is its gateway. So they need not talk, if all are told of the same hosts.

Invariant: two hosts with the same list of hosts never give the same address.
"""

from __future__ import annotations

from mydocker.errors import Error, Usage
from mydocker.linux import rtnetlink
from mydocker.network import ipam
from mydocker.network.ipam import Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.linux.rtnetlink import Link
    from mydocker.network.record import Network

OVERHEAD = 50
"""Bytes that the outer headers take of the MTU: Ethernet 14, IP 20, UDP 8, VXLAN 8."""


def part(subnet: Subnet, hosts: list[int], own: int) -> Subnet:
    """The part of the subnet that the host with the address `own` gives out."""
    bits = (len(hosts) - 1).bit_length()
    if subnet.prefix + bits > 30:
        raise Usage("network", str(subnet), f"is too small to be split among {len(hosts)} hosts")
    prefix = subnet.prefix + bits
    return Subnet(subnet.first + sorted(hosts).index(own) * (1 << 32 - prefix), prefix)


def local_address(netlink: Netlink, peers: list[int]) -> int:
    """The host's own address on the way to its peers: the one in a subnet with a peer of ours."""
    for _, address, prefix in rtnetlink.addresses(netlink):
        if any(peer in Subnet(address, prefix) for peer in peers):
            return address
    hint = "--local says which of this host's addresses they know it by"
    raise Usage("--peer", ipam.show(peers[0]), "is not in a subnet of this host's", hint=hint)


def identifier(subnet: Subnet) -> int:
    """The number of the network on the wire (VNI), the same on all hosts: made from the subnet."""
    import zlib

    return zlib.crc32(str(subnet).encode()) & 0xFFFFFF or 1


def link_name(network: Network) -> str:
    """The name of the vxlan interface."""
    return f"vx{network.id[:10]}"


def create(netlink: Netlink, network: Network, bridge: Link) -> None:
    """Make the interface as a port of the bridge, and tell it of its peers, unless it is there."""
    name = link_name(network)
    if rtnetlink.link(netlink, name):
        return
    local = ipam.parse_address("--local", network.local)
    port = network.vxlan_port
    rtnetlink.new_vxlan(netlink, name, bridge, network.mtu, network.vni, local, port)
    found = rtnetlink.link(netlink, name)
    if found is None:
        raise Error("network", name, "is gone again")
    for peer in network.peers:
        rtnetlink.flood_to(netlink, found, ipam.parse_address("--peer", peer))


def remove(netlink: Netlink, network: Network) -> None:
    """Remove the interface."""
    if network.driver == "vxlan":
        rtnetlink.delete_link(netlink, link_name(network))
