"""What `network create` is asked for, checked whole: it becomes a record, and nothing is made."""

from __future__ import annotations

import os

from mydocker.errors import Conflict, NotFound, Usage
from mydocker.network import bridge, ipam, options, subnets, upkeep, vxlan
from mydocker.network.ipam import Subnet
from mydocker.network.networks import check_name
from mydocker.network.record import Network
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.network.networks import Networks


class Request(Struct):
    """The flags of `network create`, as they were typed."""

    name: str
    driver: str = "bridge"
    subnet: str = ""
    subnet6: str = ""
    gateway: str = ""
    ip_range: str = ""
    internal: bool = False
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    peers: list[str] = []
    local: str = ""


def describe(networks: Networks, host: Netlink, asked: Request) -> Network:
    """The record of the new network; nothing is made, what is wrong is refused."""
    if asked.driver not in ("bridge", "vxlan"):
        raise NotFound("driver", asked.driver, "no such driver", hint="bridge and vxlan are")
    network = Network(
        id=os.urandom(32).hex(),
        name=asked.name,
        driver=asked.driver,
        created=upkeep.now(),
        subnet="",
        gateway="",
        internal=asked.internal,
        interface=interface_name(asked),
        labels=asked.labels,
        options={key: value for key, value in asked.options.items() if key not in options.ALIASES},
    )
    others = networks.all()
    if asked.subnet:
        subnet, typed = Subnet.parse("--subnet", asked.subnet)
        subnets.check_size(subnet, asked.subnet)
        subnets.check_free(subnet, others, host)
    elif asked.gateway or asked.ip_range or asked.driver == "vxlan":
        flag = "--gateway" if asked.gateway else "--ip-range" if asked.ip_range else "vxlan"
        raise Usage("network", flag, "needs a --subnet")
    else:
        subnet = subnets.free_subnet(others, host)
        typed = subnet.first
    network.subnet = str(subnet)
    within = ip_range(asked, subnet)
    if asked.driver == "vxlan":
        within = on_several_hosts(network, asked, host, subnet, within)
    elif asked.peers or asked.local:
        raise Usage("network", "--peer", "only a network of the driver vxlan has peers")
    network.ip_range = str(within) if within else ""
    network.gateway = ipam.show(gateway(asked, subnet, typed, within))
    network.mtu = options.mtu(asked, 1500 - (vxlan.OVERHEAD if asked.driver == "vxlan" else 0))
    if asked.subnet6:
        if asked.driver == "vxlan":
            raise Usage("network", "vxlan", "has IPv4 only")
        if network.mtu < 1280:
            raise Usage("-o mtu", str(network.mtu), "IPv6 needs 1280 at least")
        subnets.fill_in_ipv6(network, asked.subnet6, others, host)
    if bridge.find(host, network):
        why = "an interface of that name is there already"
        raise Conflict("network", network.interface, why, hint="choose another name")
    return network


def interface_name(asked: Request) -> str:
    """The bridge is called as the network, as in the book, or as `-o interface=NAME` says."""
    name = options.option(asked, "interface") or asked.name
    if len(name.encode()) > bridge.LONGEST:
        hint = "-o interface=NAME gives its bridge a shorter one"
        why = f"the name of an interface has at most {bridge.LONGEST} bytes"
        raise Usage("network", name, why, hint=hint)
    check_name(name)
    return name


def ip_range(asked: Request, subnet: Subnet) -> Subnet | None:
    """`--ip-range`: the part of the subnet that containers get their addresses from."""
    if not asked.ip_range:
        return None
    within, _ = Subnet.parse("--ip-range", asked.ip_range)
    if within.first not in subnet or within.last not in subnet:
        raise Usage("--ip-range", asked.ip_range, f"is not within the subnet {subnet}")
    return within


def gateway(asked: Request, subnet: Subnet, typed: int, within: Subnet | None) -> int:
    """The address of the bridge: asked for, else the one that was typed as the subnet (the book's
    192.168.10.1/24), else the first."""
    if asked.gateway:
        address = ipam.parse_address("--gateway", asked.gateway)
        if address not in subnet:
            raise Usage("--gateway", asked.gateway, f"is not in the subnet {subnet}")
        if address in (subnet.first, subnet.last):
            raise Usage("--gateway", asked.gateway, "is the first or the last of its subnet")
        return address
    if typed == subnet.last:
        raise Usage("--subnet", asked.subnet, "ends in the broadcast address")
    if typed != subnet.first:
        return typed
    if asked.driver == "vxlan" and within:
        return within.first + (within.first == subnet.first)
    return subnet.first + 1


def on_several_hosts(
    network: Network, asked: Request, host: Netlink, subnet: Subnet, within: Subnet | None
) -> Subnet:
    """Fill in what only vxlan has; the part of the subnet that this host gives out."""
    peers = [ipam.parse_address("--peer", text) for text in asked.peers]
    if not peers:
        raise Usage("network", "vxlan", "needs a --peer: the address of another host")
    local = ipam.parse_address("--local", asked.local) if asked.local else 0
    local = local or vxlan.local_address(host, peers)
    hosts = sorted({local, *peers})
    network.local = ipam.show(local)
    network.peers = [ipam.show(peer) for peer in hosts if peer != local]
    network.vni = options.number(asked, "vni", vxlan.identifier(subnet), (1 << 24) - 1)
    network.vxlan_port = options.number(asked, "port", 4789, 65535)
    return within or vxlan.part(subnet, hosts, local)
