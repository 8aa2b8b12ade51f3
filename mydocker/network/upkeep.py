"""A network as the kernel has it, made to agree with its record.

A bridge and rules live in the kernel and are gone after a reboot; the record stays. So there is one
function that makes whatever is missing, and it serves for the first time, after a reboot, after a
crash, and after somebody else's `iptables -F`. And there is one that takes away what belongs to
containers that are no more.

Everything here is called with the lock of the networks held.
"""

from __future__ import annotations

from mydocker.errors import Error
from mydocker.linux import files, iptables, jsontext, rtnetlink
from mydocker.network import bridge, endpoint, firewall, names, neighbours, vxlan
from mydocker.network.networks import Networks
from mydocker.network.record import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink


def bring_up(
    networks: Networks, netlink: Netlink, network: Network, known: Network | None = None
) -> list[str]:
    """Make what is missing of the bridge and the rules; what to tell the user, as sentences.

    known: the network as it was when its rules were last put in place, to tell what somebody else
    has changed since then.
    """
    there = bridge.find(netlink, network)
    found = bridge.create(netlink, network)
    if network.subnet6:
        neighbours.on_bridge(netlink, network, found)
    if network.driver == "vxlan":
        vxlan.create(netlink, network, found)
    lost = sync(networks, network, known if there else None)
    if any(member.ports for member in network.endpoints):
        # Only after the rules, which keep the containers from the host's 127.0.0.1.
        bridge.set_sysctl(f"net/ipv4/conf/{network.interface}/route_localnet", "1")
    if not network.internal:
        forward(networks, network)
    if not lost:
        return []
    return [f"{network.name}: somebody has removed rules of {', '.join(lost)}: put back"]


def sync(networks: Networks, network: Network, known: Network | None = None) -> list[str]:
    """Put the network's rules in place, and remove those of networks that are no more."""
    key = networks.key(network)
    before = {} if known is None else {key: known}
    lost: list[str] = []
    for kind in kinds(network):
        lost += firewall.sync({key: network}, stale(networks), before, kind)
    return list(dict.fromkeys(lost))


def kinds(network: Network) -> list[str]:
    """The kinds of rules that it has."""
    return [iptables.IPV4, iptables.IPV6] if network.subnet6 else [iptables.IPV4]


def stale(networks: Networks) -> firewall.Test:
    """Whether a key in the rules is of this state root, and of no network that it has."""
    there = {networks.key(network) for network in networks.all() if network.state != "removing"}
    return lambda key: key.startswith(f"{networks.tag}-") and key not in there


FORWARD = {"ip_forward": "net/ipv4/ip_forward", "ip6_forward": "net/ipv6/conf/all/forwarding"}
"""The settings that make the host a router, and where it is written down that we did."""


def forward(networks: Networks, network: Network) -> None:
    """Make the host a router. That outlives the network, since others may lean on it meanwhile: so
    it is written down for good, and first."""
    for name, setting in FORWARD.items():
        wanted = name == "ip_forward" or network.subnet6
        if wanted and files.read(f"/proc/sys/{setting}").strip() != "1":
            told = {setting.replace("/", "."): "1", "before": "0", "turned on": now()}
            files.write_whole(f"{networks.root}/{name}.json", jsontext.dumps(told) + "\n")
            bridge.set_sysctl(setting, "1")


def forwarding(networks: Networks, name: str) -> str:
    """Who made the host a router, as far as we know."""
    state = "on" if files.read(f"/proc/sys/{FORWARD[name]}").strip() == "1" else "off"
    try:
        told = jsontext.loads(files.read(f"{networks.root}/{name}.json"))
        return f"{state}; turned on by mydocker at {told['turned on']}"
    except (Error, ValueError, TypeError, KeyError):  # nobody wrote it down
        return state


def sweep(netlink: Netlink, network: Network) -> bool:
    """Take the endpoints that nobody answers for out of the record, and their links away."""
    dead = [member for member in network.endpoints if not member.alive()]
    for member in dead:
        endpoint.detach(netlink, member)
    network.endpoints = [member for member in network.endpoints if member not in dead]
    return bool(dead)


def tear_down(networks: Networks, netlink: Netlink, network: Network) -> None:
    """Remove all of a network, its record last; what is gone already is no error."""
    network.state = "removing"
    networks.save(network, durable=True)
    for member in network.endpoints:
        endpoint.detach(netlink, member)
    for kind in kinds(network):
        firewall.sync({}, stale(networks), {}, kind)
    vxlan.remove(netlink, network)
    bridge.remove(netlink, network)
    networks.forget(network)


def reload(networks: Networks, netlink: Netlink, network: Network) -> list[str]:
    """Put everything in place again: bridge, rules, ports of the bridge, names."""
    known = Network.from_json(network.to_json())
    known.endpoints = known.living()
    if sweep(netlink, network):
        networks.save(network)
    told = bring_up(networks, netlink, network, known)
    found = rtnetlink.link(netlink, network.interface)
    for member in network.endpoints:
        port = rtnetlink.link(netlink, member.link)
        if found and port and (port.master != found.index or not port.up):
            rtnetlink.set_master(netlink, port, found)
    names.refresh(network)
    return told


def now() -> str:
    """The time in UTC, as RFC 3339."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
