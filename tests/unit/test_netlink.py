"""The messages that we make by hand, read by pyroute2 as we mean them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mydocker.errors import KernelError
from mydocker.linux import netlink, rtnetlink

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAC = "02:42:0a:01:00:02"
GATEWAY, HOST = 0x0A010001, 0xC6336407  # 10.1.0.1 and 198.51.100.7


class Unsent(netlink.Netlink):
    """Keeps a request instead of sending it."""

    def __init__(self) -> None:
        self.message = b""

    def request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        number = netlink.number
        header = number(16 + len(body), 4) + number(kind, 2) + number(flags, 2) + bytes(8)
        self.message = header + body
        return []


def link(name: str, index: int) -> rtnetlink.Link:
    body = bytes(4) + netlink.number(index, 4) + bytes(8)
    return rtnetlink.Link(body + netlink.attribute(rtnetlink.IFLA_IFNAME, name))


def read(shape: Any, ask: Callable[[Unsent], None]) -> tuple[Any, dict[str, Any]]:
    """The message that `ask` would send, as pyroute2 reads it: (fixed part, attributes)."""
    unsent = Unsent()
    ask(unsent)
    message = shape(unsent.message)
    message.decode()
    return message, dict(flat(message["attrs"]))


def flat(attrs: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for attr in attrs:
        name, value = attr[0], attr[1]
        inner = value.get("attrs") if hasattr(value, "get") else None
        found += [(f"{name}.{key}", val) for key, val in flat(inner)] if inner else [(name, value)]
    return found


BRIDGE = link("net1", 7)
INFO = "IFLA_LINKINFO.IFLA_INFO_"


def test_a_bridge() -> None:
    head, found = read(ifinfmsg, lambda to: rtnetlink.new_bridge(to, "net1", MAC, 1400))
    assert head["header"]["type"] == 16
    assert found == {
        "IFLA_IFNAME": "net1",
        "IFLA_ADDRESS": MAC,
        "IFLA_MTU": 1400,
        INFO + "KIND": "bridge",
    }


def test_a_pair_of_interfaces_is_one_request() -> None:
    head, found = read(
        ifinfmsg, lambda to: rtnetlink.new_veth(to, "veth1", BRIDGE, 1400, "eth0", MAC, 9)
    )
    peer = INFO + "DATA.VETH_INFO_PEER."
    assert head["state"] == "up"
    assert found == {
        "IFLA_IFNAME": "veth1",
        "IFLA_MTU": 1400,
        "IFLA_MASTER": 7,
        INFO + "KIND": "veth",
        peer + "IFLA_IFNAME": "eth0",
        peer + "IFLA_ADDRESS": MAC,
        peer + "IFLA_MTU": 1400,
        peer + "IFLA_NET_NS_FD": 9,
    }


def test_a_vxlan() -> None:
    _, found = read(
        ifinfmsg, lambda to: rtnetlink.new_vxlan(to, "vx1", BRIDGE, 1450, 100, GATEWAY, 4789)
    )
    assert found == {
        "IFLA_IFNAME": "vx1",
        "IFLA_MTU": 1450,
        "IFLA_MASTER": 7,
        INFO + "KIND": "vxlan",
        INFO + "DATA.IFLA_VXLAN_ID": 100,
        INFO + "DATA.IFLA_VXLAN_LOCAL": "10.1.0.1",
        INFO + "DATA.IFLA_VXLAN_PORT": 4789,
        INFO + "DATA.IFLA_VXLAN_LEARNING": 1,
    }


def test_a_port_that_sends_back() -> None:
    head, found = read(ifinfmsg, lambda to: rtnetlink.set_hairpin(to, BRIDGE))
    assert (head["family"], head["index"]) == (7, 7)
    assert found == {"IFLA_PROTINFO.IFLA_BRPORT_MODE": 1}


def test_up_and_a_new_master() -> None:
    head, found = read(ifinfmsg, lambda to: rtnetlink.set_master(to, link("vx1", 9), BRIDGE))
    assert (head["index"], head["state"], found) == (9, "up", {"IFLA_MASTER": 7})
    head, found = read(ifinfmsg, lambda to: rtnetlink.set_up(to, BRIDGE))
    assert (head["index"], head["state"], found) == (7, "up", {})


def test_an_address() -> None:
    head, found = read(ifaddrmsg, lambda to: rtnetlink.new_address(to, BRIDGE, GATEWAY, 22))
    assert (head["index"], head["prefixlen"]) == (7, 22)
    assert found == {
        "IFA_LOCAL": "10.1.0.1",
        "IFA_ADDRESS": "10.1.0.1",
        "IFA_BROADCAST": "10.1.3.255",
    }


def test_a_default_route() -> None:
    head, found = read(rtmsg, lambda to: rtnetlink.default_route(to, BRIDGE, GATEWAY))
    assert (head["dst_len"], head["table"], head["type"]) == (0, 254, 1)
    assert found == {"RTA_GATEWAY": "10.1.0.1", "RTA_OIF": 7}


def test_a_place_to_flood_to() -> None:
    head, found = read(ndmsg, lambda to: rtnetlink.flood_to(to, link("vx1", 9), HOST))
    assert (head["family"], head["ifindex"], head["state"], head["flags"]) == (7, 9, 0x80, 2)
    assert found == {"NDA_LLADDR": "00:00:00:00:00:00", "NDA_DST": "198.51.100.7"}


def test_an_attribute_that_is_too_long_is_refused() -> None:
    with pytest.raises(KernelError, match="too long"):
        netlink.attribute(1, "x" * 0xFFFF)
