"""Which packets a network lets pass, and whose addresses change on the way (the book's 6.4).

The host is a router between its bridges and the world (`net.ipv4.ip_forward`). What iptables does
with a packet on its way is here, as text; firewall.py puts it in place.

A packet *to* a container (chain `MYDOCKER-<key>`) passes if it answers something, comes from the
same bridge, or came to a published port; anything else is dropped: other bridges cannot get in, nor
can a neighbour of the host's by routing past the published ports. A packet *from* one passes,
unless the network is internal. What leaves the bridge gets the host's address (masquerade), since
nobody outside knows the way back to 192.168.10.2. Within the bridge nothing is rewritten, with two
exceptions that ports.py explains: who comes by a published port from the same bridge, or from the
host's own 127.0.0.1.

Invariant: the rules are a function of the record, and of nothing else.
"""

from __future__ import annotations

from mydocker.network import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Network

PREFIX = "MYDOCKER-"

HOOKS = {
    "filter": {
        "FORWARD": f"-j {PREFIX}FORWARD",
        "INPUT": f"-j {PREFIX}INPUT",
    },
    "nat": {
        # Not for 127.0.0.1: a neighbour on the wire could send to it (CVE-2025-54388's family).
        "PREROUTING": f"! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j {PREFIX}PORTS",
        "OUTPUT": f"-m addrtype --dst-type LOCAL -j {PREFIX}PORTS",
        "POSTROUTING": f"-j {PREFIX}LEAVING",
    },
}
"""The one rule that we put in each of the kernel's own chains, at its head."""

STAGES = {"filter": {f"{PREFIX}FORWARD": (f"-j {PREFIX}TO", f"-j {PREFIX}FROM")}}
"""A packet between two bridges is one *to* and one *from*: first all networks say whether it may
come in, then its own whether it may go out."""


def chains(network: Network, key: str) -> dict[str, dict[str, tuple[str, str, list[str]]]]:
    """The network's own chains: table, chain, and (shared chain, which packets go here, rules)."""
    bridge, subnet, own = network.interface, network.subnet, f"{PREFIX}{key}"
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    outgoing = "-j DROP" if network.internal else "-j ACCEPT"
    to = [answers, f"-i {bridge} -j ACCEPT"]
    to += [] if network.internal else ["-m conntrack --ctstate DNAT -j ACCEPT"]
    found: dict[str, dict[str, tuple[str, str, list[str]]]] = {
        "filter": {
            own: ("TO", f"-o {bridge}", [*to, "-j DROP"]),
            f"{own}-OUT": ("FROM", f"-i {bridge}", [outgoing]),
            f"{own}-IN": ("INPUT", f"-i {bridge}", ports.protect_loopback()),
        },
        "nat": {},
    }
    if not network.internal:
        rules = [f"-s {subnet} ! -o {bridge} -j MASQUERADE", *ports.hairpin(network)]
        found["nat"][f"{own}-OUT"] = ("LEAVING", "", rules)
        forwarded = ports.rules(network)
        if forwarded:
            found["nat"][own] = ("PORTS", "", forwarded)
    return found
