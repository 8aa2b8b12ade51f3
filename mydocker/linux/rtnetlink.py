"""Links, addresses, routes: the requests of rtnetlink(7), each named as in the kernel.

What `ip link`, `ip address` and `ip route` do, without starting them. A function that changes
something is told to --explain in ip(8)'s words; one that only looks is not.
"""

from __future__ import annotations

import _socket

from mydocker.errors import KernelError
from mydocker.linux.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    ORDER,
    Netlink,
    attribute,
    attributes,
    number,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH = 28

# <linux/if_link.h>, <linux/veth.h>
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_PROTINFO, IFLA_LINKINFO, IFLA_NET_NS_FD = 12, 18, 28
IFLA_BRPORT_MODE, NLA_F_NESTED = 4, 0x8000
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PORT = 1, 4, 7, 15
IFF_UP = 1

IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT, NTF_SELF = 0x80, 2

IFA_F_NODAD = 2

_AF_BRIDGE = 7
_FAMILIES = {32: _socket.AF_INET, 128: _socket.AF_INET6}
_ENODEV = 19


class Link:
    """One network interface as the kernel tells it."""

    def __init__(self, body: bytes) -> None:
        self.index = int.from_bytes(body[4:8], ORDER, signed=True)
        self.up = bool(int.from_bytes(body[8:12], ORDER) & IFF_UP)
        found = attributes(body[16:])
        self.name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
        self.mac = found.get(IFLA_ADDRESS, b"").hex(":")
        self.mtu = int.from_bytes(found.get(IFLA_MTU, b""), ORDER)
        self.master = int.from_bytes(found.get(IFLA_MASTER, b""), ORDER)
        info = attributes(found.get(IFLA_LINKINFO, b""))
        self.kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode()


def _ifinfomsg(index: int = 0, up: bool = False) -> bytes:
    flags = IFF_UP if up else 0
    return bytes(4) + number(index, 4) + number(flags, 4) + number(flags, 4)


# Links


def links(netlink: Netlink) -> list[Link]:
    """All interfaces."""
    return [Link(body) for body in netlink.request(RTM_GETLINK, NLM_F_DUMP, _ifinfomsg())]


def link(netlink: Netlink, name: str) -> Link | None:
    """The interface of that name; None if there is none."""
    try:
        found = netlink.request(RTM_GETLINK, 4, _ifinfomsg() + attribute(IFLA_IFNAME, name))
    except OSError as error:
        if error.errno == _ENODEV:
            return None
        raise KernelError.of(error, "RTM_GETLINK", name) from None
    return Link(found[0])


def new_bridge(netlink: Netlink, name: str, mac: str, mtu: int) -> None:
    """A bridge: a switch made of software, whose ports are other interfaces."""
    words = ["type bridge", f"address {mac}", f"mtu {mtu}"]
    body = _ifinfomsg() + attribute(IFLA_IFNAME, name) + attribute(IFLA_ADDRESS, _mac(mac))
    body += attribute(IFLA_MTU, mtu) + _kind("bridge")
    _new_link(netlink, name, words, body)


def new_veth(
    netlink: Netlink, name: str, master: Link, mtu: int, peer: str, mac: str, netns: int
) -> None:
    """A pair of interfaces joined like the ends of a cable (veth(4)), in one request.

    Ours, `name`, is born as a port of `master`, and up. The other end, `peer`, is born in the
    network namespace of the descriptor `netns`: so its name is free, whatever the host has, and it
    is gone with that namespace.
    """
    inner = _ifinfomsg() + attribute(IFLA_IFNAME, peer) + attribute(IFLA_ADDRESS, _mac(mac))
    inner += attribute(IFLA_MTU, mtu) + attribute(IFLA_NET_NS_FD, netns)
    body = _ifinfomsg(up=True) + attribute(IFLA_IFNAME, name) + attribute(IFLA_MTU, mtu)
    body += attribute(IFLA_MASTER, master.index)
    body += _kind("veth", attribute(VETH_INFO_PEER, inner))
    words = [f"master {master.name}", f"mtu {mtu}", "up", "type veth"]
    words += [f"peer name {peer}", f"address {mac}", f"netns {netns}"]
    _new_link(netlink, name, words, body)


def new_vxlan(
    netlink: Netlink, name: str, master: Link, mtu: int, vni: int, local: int, port: int
) -> None:
    """An interface whose frames travel to other hosts inside UDP packets (RFC 7348)."""
    data = attribute(IFLA_VXLAN_ID, vni) + attribute(IFLA_VXLAN_LOCAL, local.to_bytes(4, "big"))
    data += attribute(IFLA_VXLAN_PORT, port.to_bytes(2, "big"))
    data += attribute(IFLA_VXLAN_LEARNING, b"\1")
    body = _ifinfomsg(up=True) + attribute(IFLA_IFNAME, name) + attribute(IFLA_MTU, mtu)
    body += attribute(IFLA_MASTER, master.index) + _kind("vxlan", data)
    words = [f"master {master.name}", f"mtu {mtu}", "up", f"type vxlan id {vni} dstport {port}"]
    _new_link(netlink, name, words, body)


def _new_link(netlink: Netlink, name: str, words: list[str], body: bytes) -> None:
    netlink.act("RTM_NEWLINK", name, words, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def set_up(netlink: Netlink, found: Link) -> None:
    """Switch an interface on."""
    netlink.act("RTM_SETLINK", found.name, ["up"], RTM_SETLINK, 0, _ifinfomsg(found.index, True))


def set_master(netlink: Netlink, found: Link, master: Link) -> None:
    """Make an interface a port of a bridge, and switch it on."""
    body = _ifinfomsg(found.index, True) + attribute(IFLA_MASTER, master.index)
    netlink.act("RTM_SETLINK", found.name, [f"master {master.name}"], RTM_SETLINK, 0, body)


def set_hairpin(netlink: Netlink, found: Link) -> None:
    """Let a port of a bridge send a frame back where it came from."""
    body = bytes([_AF_BRIDGE]) + _ifinfomsg(found.index)[1:]
    body += attribute(IFLA_PROTINFO | NLA_F_NESTED, attribute(IFLA_BRPORT_MODE, b"\1"))
    netlink.act("RTM_SETLINK", found.name, ["hairpin on"], RTM_SETLINK, 0, body)


def delete_link(netlink: Netlink, name: str) -> None:
    """Remove an interface, and with one end of a pair the other; one that is gone is no error."""
    body = _ifinfomsg() + attribute(IFLA_IFNAME, name)
    try:
        netlink.act("RTM_DELLINK", name, [], RTM_DELLINK, 0, body)
    except KernelError as error:
        if error.errno != _ENODEV:
            raise


def _kind(name: str, data: bytes = b"") -> bytes:
    inner = attribute(IFLA_INFO_KIND, name) + (attribute(IFLA_INFO_DATA, data) if data else b"")
    return attribute(IFLA_LINKINFO, inner)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


# Addresses and routes; an address is a number here, and text in addresses.py


def new_address(netlink: Netlink, found: Link, address: int, prefix: int, bits: int = 32) -> None:
    """Give an interface an address of 32 or 128 bits; the kernel adds the route to its subnet.

    One of IPv6 could be used only a second later, when no neighbour has claimed it for his own
    (duplicate address detection); we know that nobody does.
    """
    ours = address.to_bytes(bits // 8, "big")
    last = (address | (1 << bits - prefix) - 1).to_bytes(bits // 8, "big")
    flags = 0 if bits == 32 else IFA_F_NODAD
    body = bytes([_FAMILIES[bits], prefix, flags, 0]) + number(found.index, 4)
    body += attribute(IFA_LOCAL, ours) + attribute(IFA_ADDRESS, ours)
    body += attribute(IFA_BROADCAST, last) if bits == 32 else b""
    text = f"{_socket.inet_ntop(_FAMILIES[bits], ours)}/{prefix}"
    flags = NLM_F_CREATE | NLM_F_REPLACE
    netlink.act("RTM_NEWADDR", text, [f"dev {found.name}"], RTM_NEWADDR, flags, body)


def addresses(netlink: Netlink, bits: int = 32) -> list[tuple[int, int, int]]:
    """Every address of so many bits: (index of the interface, address, length of the prefix)."""
    found = []
    body = bytes([_FAMILIES[bits], 0, 0, 0]) + number(0, 4)
    for answer in netlink.request(RTM_GETADDR, NLM_F_DUMP, body):
        more = attributes(answer[8:])
        local = more.get(IFA_LOCAL) or more.get(IFA_ADDRESS, bytes(4))
        found.append((int.from_bytes(answer[4:8], ORDER), int.from_bytes(local, "big"), answer[1]))
    return found


def default_route(netlink: Netlink, found: Link, gateway: int, bits: int = 32) -> None:
    """Send what has no better route to the gateway, by this interface."""
    via = gateway.to_bytes(bits // 8, "big")
    body = bytes([_FAMILIES[bits], 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST])
    body += bytes(4) + attribute(RTA_GATEWAY, via) + attribute(RTA_OIF, found.index)
    words = [f"via {_socket.inet_ntop(_FAMILIES[bits], via)}", f"dev {found.name}"]
    flags = NLM_F_CREATE | NLM_F_EXCL
    netlink.act("RTM_NEWROUTE", "default", words, RTM_NEWROUTE, flags, body)


def routes(netlink: Netlink, bits: int = 32) -> list[tuple[int, int, int]]:
    """The routes of the main table: (first address, length of the prefix, interface)."""
    found = []
    body = bytes([_FAMILIES[bits]]) + bytes(11)
    for answer in netlink.request(RTM_GETROUTE, NLM_F_DUMP, body):
        more = attributes(answer[12:])
        table = int.from_bytes(more.get(RTA_TABLE, answer[4:5] + bytes(3)), ORDER)
        if table == RT_TABLE_MAIN:
            base = int.from_bytes(more.get(RTA_DST, bytes(4)), "big")
            found.append((base, answer[1], int.from_bytes(more.get(RTA_OIF, bytes(4)), ORDER)))
    return found


def flood_to(netlink: Netlink, found: Link, host: int) -> None:
    """A vxlan interface sends what it knows no place for (and broadcasts) to this host too."""
    there = host.to_bytes(4, "big")
    body = bytes([_AF_BRIDGE, 0, 0, 0])
    body += number(found.index, 4) + number(NUD_PERMANENT, 2) + bytes([NTF_SELF, 0])
    body += attribute(NDA_LLADDR, bytes(6)) + attribute(NDA_DST, there)
    words = ["00:00:00:00:00:00", f"dst {_socket.inet_ntoa(there)}"]
    flags = NLM_F_CREATE | NLM_F_APPEND
    netlink.act("RTM_NEWNEIGH", found.name, words, RTM_NEWNEIGH, flags, body)
