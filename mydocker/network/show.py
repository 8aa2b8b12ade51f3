"""What a network looks like: as a row, as JSON in Docker's words, and as a picture.

The picture is of the host as it is: what the record says and the kernel does not have is marked, so
that one look tells what is wrong.
"""

from __future__ import annotations

from mydocker.errors import Usage
from mydocker.linux import netlink, rtnetlink
from mydocker.network import upkeep, vxlan
from mydocker.network.networks import Networks
from mydocker.network.record import Endpoint, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = (("host", "host"), ("none", "null"))
"""What `--network` takes and is no network: listed as Docker does, with its driver."""


def rows(root: str, filters: list[str]) -> list[list[str]]:
    """A row for each network: id, name, driver, scope, subnet."""
    found = [n for n in Networks(root).all() if all(fits(n, text) for text in filters)]
    listed = [[n.id, n.name, n.driver, "local", n.subnet] for n in found]
    if not filters:
        listed += [["", name, driver, "local", ""] for name, driver in MODES]
    return listed


def fits(network: Network, text: str) -> bool:
    """Whether a network fits `--filter KEY=TEXT`."""
    key, separator, value = text.partition("=")
    if key == "label":
        name, equals, wanted = value.partition("=")
        return name in network.labels and (not equals or network.labels[name] == wanted)
    fields = {"driver": network.driver == value, "name": value in network.name}
    fields["id"] = network.id.startswith(value)
    if key not in fields or not separator:
        raise Usage("--filter", text, "not driver=, name=, id= or label=")
    return fields[key]


def inspect(root: str, word: str) -> dict[str, Any]:
    """Docker's words for what it has words for, and ours for the rest."""
    networks = Networks(root)
    network = networks.find(word)
    block = {"Subnet": network.subnet, "Gateway": network.gateway}
    if network.ip_range:
        block["IPRange"] = network.ip_range
    blocks = [block]
    if network.subnet6:
        blocks.append({"Subnet": network.subnet6, "Gateway": network.gateway6})
    told: dict[str, Any] = {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {"Driver": "default", "Options": {}, "Config": blocks},
        "Internal": network.internal,
        "Containers": {
            member.container: {
                "Name": member.name,
                "MacAddress": member.mac,
                "IPv4Address": f"{member.address}/{network.block.prefix}",
                "IPv6Address": _with_prefix(network, network.address6(member)),
                "Interface": member.interface,
                "HostInterface": member.link,
                "Aliases": member.aliases,
                "Ports": [arrow(port) for port in member.ports],
            }
            for member in network.living()
        },
        "Options": network.options,
        "Labels": network.labels,
        "Interface": network.interface,
        "Mtu": network.mtu,
        "Chains": f"MYDOCKER-{networks.key(network)}",
        "IpForward": upkeep.forwarding(networks, "ip_forward"),
    }
    if network.subnet6:
        told["Ip6Forward"] = upkeep.forwarding(networks, "ip6_forward")
    if network.driver == "vxlan":
        told["Vxlan"] = {"Vni": network.vni, "Port": network.vxlan_port, "Local": network.local}
        told["Vxlan"]["Peers"] = network.peers
    return told


def _with_prefix(network: Network, address6: str) -> str:
    return f"{address6}/{network.subnet6.partition('/')[2]}" if address6 else ""


def arrow(port: Any) -> str:
    """`0.0.0.0:8080->80/tcp`, as Docker writes it."""
    where = f"{port.host_ip or '0.0.0.0'}:{port.host_port}"
    return f"{where}->{port.container_port}/{port.protocol}"


def there(network: Network) -> set[str]:
    """The names of the interfaces of the network that the kernel has."""
    with netlink.Netlink() as host:
        links = rtnetlink.links(host)
    master = next((link.index for link in links if link.name == network.interface), -1)
    return {link.name for link in links if link.master == master or link.index == master}


def text(root: str, word: str) -> list[str]:
    """The picture for a terminal."""
    network = Networks(root).find(word)
    found = there(network)
    exits = "no way out (internal)" if network.internal else "out: masqueraded as the host"
    mark = "" if network.interface in found else "  (down: comes up at the next use)"
    members = network.living()
    lines = [f"host ── {network.interface}  {network.gateway}/{network.block.prefix}{mark}"]
    if network.subnet6:
        lines.append(f"        │  {_with_prefix(network, network.gateway6)}")
    lines.append(f"        │  {network.driver}, mtu {network.mtu}; {exits}")
    if network.driver == "vxlan":
        peers = ", ".join(network.peers)
        bend = "├" if members else "└"
        lines.append(f"        {bend}── {vxlan.link_name(network)} ══ vni {network.vni} ══ {peers}")
    for number, member in enumerate(members):
        last = number == len(members) - 1
        mark = "" if member.link in found else "  (no cable)"
        head, rest = ("└", " ") if last else ("├", "│")
        lines.append(f"        {head}── {member.link} ══ {member.interface} {member.name}{mark}")
        lines.append(f"        {rest}      {member.address}  {member.mac}")
        lines += [f"        {rest}      {network.address6(member)}"] if network.subnet6 else []
        lines += [f"        {rest}      {arrow(port)}" for port in member.ports]
    return lines


def mermaid(root: str, word: str) -> list[str]:
    """The same for a page that draws Mermaid."""
    network = Networks(root).find(word)
    lines = ["flowchart LR", '  outside(("outside"))', '  subgraph host["host"]']
    prefix = network.block.prefix
    lines.append(f'    bridge["{network.interface}<br>{network.gateway}/{prefix}"]')
    members = network.living()
    lines += [f'    veth{n}["{member.link}"]' for n, member in enumerate(members)]
    lines.append("  end")
    lines += [_box(number, member) for number, member in enumerate(members)]
    lines += [f"  bridge --- veth{number} --- box{number}" for number in range(len(members))]
    if not network.internal:
        lines.append("  bridge -- masquerade --> outside")
    for number, member in enumerate(members):
        lines += [f'  outside -- "{arrow(port)}" --> box{number}' for port in member.ports]
    for number, peer in enumerate(network.peers):
        lines.append(f'  bridge -- "vxlan {network.vni}" --- peer{number}[["{peer}"]]')
    return lines


def _box(number: int, member: Endpoint) -> str:
    return f'  box{number}["{member.name}<br>{member.interface} {member.address}"]'
