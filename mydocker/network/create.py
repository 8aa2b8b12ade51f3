"""`network create`, `network rm`: what is asked for is checked whole before anything is made.

A network must not hide another: neither one of ours, nor a subnet that the host reaches some other
way. So its subnet is compared with all the others' and with the host's routes, and its interface's
name with the interfaces there are (the book's program adopts an `eth0` that it finds, and deletes
it with the network).
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, NotFound, Usage
from mydocker.linux import netlink, rtnetlink
from mydocker.linux.cleanup import Cleanup
from mydocker.network import bridge, ipam, upkeep, vxlan
from mydocker.network.ipam import Subnet
from mydocker.network.record import PREDEFINED, Network, Networks, check_name
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink

POOL, POOL_PREFIX = "10.77.0.0/16", 24
"""Where a subnet comes from when none is asked for, and how large it is."""

LARGEST, SMALLEST = 8, 30
"""The prefixes that a subnet may have."""


class Request(Struct):
    """The flags of `network create`, as they were typed."""

    name: str
    driver: str = "bridge"
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    internal: bool = False
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    peers: list[str] = []
    local: str = ""


def create(root: str, asked: Request) -> Network:
    """Make a network; Usage or Conflict says what is wrong with it, and then nothing is made."""
    networks = Networks(root)
    check_name(asked.name)
    with networks.lock(), netlink.Netlink() as host:
        return create_locked(networks, host, asked)


def create_locked(networks: Networks, host: Netlink, asked: Request) -> Network:
    """The same for who holds the lock."""
    if asked.name in networks.names():
        old = networks.load(asked.name)
        if old.state == "ready":
            why = "exists already"
            raise Conflict("network", asked.name, why, hint=f"mydocker network rm {asked.name}")
        upkeep.tear_down(networks, host, old)  # a crash left it half made, or half removed
    network = describe(networks, host, asked)
    with Cleanup() as undo:
        undo.push(upkeep.tear_down, networks, host, network)
        networks.save(network, durable=True)
        upkeep.bring_up(networks, host, network)
        network.state = "ready"
        networks.save(network, durable=True)
        undo.keep()
    return network


def predefined(networks: Networks, host: Netlink) -> Network:
    """The network `bridge`, made now if it is not there. Its interface has a name of its own, since
    other programs and other state roots have a `bridge` too."""
    if PREDEFINED in networks.names() and networks.load(PREDEFINED).state == "ready":
        return networks.load(PREDEFINED)
    taken = {link.name for link in rtnetlink.links(host)}
    name = next(name for i in range(len(taken) + 1) if (name := f"mydocker{i}") not in taken)
    asked = Request(name=PREDEFINED, options={"interface": name})
    return create_locked(networks, host, asked)


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
        options={key: value for key, value in asked.options.items() if key not in ALIASES},
    )
    others = networks.all()
    if asked.subnet:
        subnet, typed = Subnet.parse("--subnet", asked.subnet)
        check_size(subnet, asked.subnet)
        check_free(subnet, others, host)
    elif asked.gateway or asked.ip_range or asked.driver == "vxlan":
        flag = "--gateway" if asked.gateway else "--ip-range" if asked.ip_range else "vxlan"
        raise Usage("network", flag, "needs a --subnet")
    else:
        subnet = free_subnet(others, host)
        typed = subnet.first
    network.subnet = str(subnet)
    within = ip_range(asked, subnet)
    if asked.driver == "vxlan":
        within = on_several_hosts(network, asked, host, subnet, within)
    elif asked.peers or asked.local:
        raise Usage("network", "--peer", "only a network of the driver vxlan has peers")
    network.ip_range = str(within) if within else ""
    network.gateway = ipam.show(gateway(asked, subnet, typed, within))
    network.mtu = mtu(asked, 1500 - (vxlan.OVERHEAD if asked.driver == "vxlan" else 0))
    if bridge.find(host, network):
        why = "an interface of that name is there already"
        raise Conflict("network", network.interface, why, hint="choose another name")
    return network


ALIASES = {
    "mtu": "com.docker.network.driver.mtu",
    "interface": "com.docker.network.bridge.name",
    "vni": "vni",
    "port": "port",
}
"""`-o` words that become fields of the record, and Docker's long form of them."""


def option(asked: Request, name: str) -> str:
    """The value of an `-o` word, in either form."""
    return asked.options.get(name) or asked.options.get(ALIASES[name], "")


def interface_name(asked: Request) -> str:
    """The bridge is called as the network, as in the book, or as `-o interface=NAME` says."""
    name = option(asked, "interface") or asked.name
    if len(name.encode()) > bridge.LONGEST:
        hint = "-o interface=NAME gives its bridge a shorter one"
        why = f"the name of an interface has at most {bridge.LONGEST} bytes"
        raise Usage("network", name, why, hint=hint)
    check_name(name)
    return name


def check_size(subnet: Subnet, text: str) -> None:
    """A subnet of less than four addresses has no room; one of more than a /8 is nobody's."""
    if not LARGEST <= subnet.prefix <= SMALLEST:
        raise Usage("--subnet", text, f"its prefix is not from /{LARGEST} to /{SMALLEST}")
    for block in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"):
        if subnet.overlaps(Subnet.parse("", block)[0]):
            raise Usage("--subnet", text, f"{block} is not for hosts")


def check_free(subnet: Subnet, others: list[Network], host: Netlink) -> None:
    """Conflict if addresses of the subnet are reached some other way already."""
    for other in others:
        if subnet.overlaps(other.block):
            why = f"overlaps {other.subnet} of the network {other.name}"
            raise Conflict("--subnet", str(subnet), why)
    for base, prefix, _ in rtnetlink.routes(host):
        route = Subnet(base, prefix)
        if prefix and subnet.overlaps(route):
            raise Conflict("--subnet", str(subnet), f"overlaps the host's route to {route}")


def free_subnet(others: list[Network], host: Netlink) -> Subnet:
    """The first subnet of the pool that overlaps nothing."""
    pool, _ = Subnet.parse("pool", POOL)
    for base in range(pool.first, pool.last, 1 << 32 - POOL_PREFIX):
        subnet = Subnet(base, POOL_PREFIX)
        try:
            check_free(subnet, others, host)
            return subnet
        except Conflict:
            continue
    raise Conflict("network", POOL, "every subnet of the pool is taken", hint="give a --subnet")


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


def mtu(asked: Request, usual: int) -> int:
    """`-o mtu=N`: the largest packet, from what IPv4 asks to what a link can have."""
    text = option(asked, "mtu")
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and 68 <= int(text[:6]) <= 65535):
        raise Usage("-o mtu", text, "not a number from 68 to 65535")
    return int(text)


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
    network.vni = number(asked, "vni", vxlan.identifier(subnet), (1 << 24) - 1)
    network.vxlan_port = number(asked, "port", 4789, 65535)
    return within or vxlan.part(subnet, hosts, local)


def number(asked: Request, name: str, usual: int, most: int) -> int:
    """`-o NAME=N` as a number from 1 on."""
    text = option(asked, name)
    if text and not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
        raise Usage(f"-o {name}", text, f"not a number from 1 to {most}")
    return int(text) if text else usual


def remove(root: str, word: str) -> None:
    """Remove a network that nobody is in."""
    networks = Networks(root)
    with networks.lock(), netlink.Netlink() as host:
        network = networks.find(word)
        users = [member.name for member in network.living()]
        if users:
            hint = "mydocker network disconnect, or end them"
            raise Conflict("network", network.name, f"is in use by {', '.join(users)}", hint=hint)
        upkeep.tear_down(networks, host, network)
