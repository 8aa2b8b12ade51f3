"""Published ports: `-p 8080:80` leads the host's port 8080 to the container's 80 (the book's 6.5).

One rule does it: a packet to one of the host's addresses and that port gets another destination
(DNAT), before the host decides where it goes. For packets from outside that is in PREROUTING, for
those that the host itself sends in OUTPUT. Three senders need a word more:

* an outside client keeps its address, and the container sees who it is;
* a container on the same bridge would get the answer directly, from an address that it never
  called; so it is masqueraded, and the answer comes back through the host (hairpin);
* the host by 127.0.0.1: that address means something else in the container, so it is masqueraded
  too; and the kernel lets it onto the bridge only with `route_localnet`, after which a container
  could reach the host's own 127.0.0.1. `protect_loopback` forbids that.

What `-p` says is read in publish.py; that nobody else takes the port is seen to in held.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Network


def rules(network: Network) -> list[str]:
    """A rule for each published port of the network's endpoints."""
    found = []
    for endpoint in network.endpoints:
        for port in endpoint.ports:
            where = f"-d {port.host_ip}/32 " if port.host_ip else ""
            kind = f"-p {port.protocol} -m {port.protocol} --dport {port.host_port}"
            target = f"{endpoint.address}:{port.container_port}"
            found.append(f"{where}{kind} -j DNAT --to-destination {target}")
    return found


def hairpin(network: Network) -> list[str]:
    """Who comes by a published port and could not be answered otherwise gets the host's address."""
    bridge = network.interface
    same = f"-s {network.subnet} -o {bridge} -m conntrack --ctstate DNAT -j MASQUERADE"
    return [same, f"-s 127.0.0.0/8 -o {bridge} -j MASQUERADE"]


def protect_loopback() -> list[str]:
    """From the bridge to the host's 127.0.0.1 only answers pass (CVE-2020-8558)."""
    return ["-d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"]
