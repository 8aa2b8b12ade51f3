"""What is known of a network, and of a container's place in it.

The book's 6.2 has two nouns, and so have we: a *network* is a subnet with a way to carry frames (a
bridge); an *endpoint* is a container's place in it: an address, a pair of interfaces, ports.

The record is written whole, to a file (networks.py), before anything of it is made in the kernel.
So whatever a crash leaves, the file knows of it: `state` is `creating` or `removing` while somebody
is at work, and an endpoint names the process that answers for it, with its start and the boot. One
whose process is gone belongs to nobody, and whoever comes next takes it away.

Invariant: an address is taken if and only if an endpoint in the record has it.
"""

from __future__ import annotations

from mydocker.linux import process
from mydocker.network import ipv6
from mydocker.network.ipam import Pool, Subnet, parse_address
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Port(Struct):
    """A port of the host that leads to one of a container. An empty `host_ip` is all addresses; a
    host port of 0 is any that is free, and `host_last` makes it any of a range."""

    host_ip: str = ""
    host_port: int = 0
    host_last: int = 0
    container_port: int
    protocol: str = "tcp"


class Endpoint(Struct):
    """A container's place in a network. `link` is the host's end of its pair, `interface` its own;
    the last three name the process that answers for it."""

    container: str
    name: str = ""
    address: str
    mac: str = ""
    link: str = ""
    interface: str = "eth0"
    aliases: list[str] = []
    hostname: str = ""
    hosts: str = ""
    ports: list[Port] = []
    pid: int = 0
    pid_started: int = 0
    boot_id: str = ""

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"ports": [Port]}

    def alive(self) -> bool:
        """Whether the process that answers for it lives."""
        return process.alive(self.pid, self.pid_started, self.boot_id)


class Network(Struct):
    """One network. Its addresses are text here, as they were asked for or chosen."""

    id: str
    name: str
    driver: str = "bridge"
    created: str = ""
    state: str = "creating"
    subnet: str
    gateway: str
    subnet6: str = ""
    gateway6: str = ""
    ip_range: str = ""
    internal: bool = False
    interface: str
    mtu: int = 1500
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    forwarding: str = ""
    vni: int = 0
    vxlan_port: int = 4789
    local: str = ""
    peers: list[str] = []
    endpoints: list[Endpoint] = []

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"endpoints": [Endpoint]}

    @property
    def block(self) -> Subnet:
        """The subnet, to reckon with."""
        return Subnet.parse("subnet", self.subnet)[0]

    @property
    def gateway_address(self) -> int:
        """The host's own address in it, as a number."""
        return parse_address("gateway", self.gateway)

    def pool(self) -> Pool:
        """Which of its addresses are taken."""
        within = Subnet.parse("ip-range", self.ip_range)[0] if self.ip_range else None
        taken = [parse_address("address", endpoint.address) for endpoint in self.endpoints]
        if self.subnet6:  # nobody has the place of the other gateway
            place = ipv6.gateway(self)[0] - ipv6.beside(self, self.block.first)
            taken += [self.block.first + place] if place < self.block.size else []
        return Pool(self.block, self.gateway_address, taken, within)

    def address6(self, endpoint: Endpoint) -> str:
        """The endpoint's IPv6 address; empty if the network has none."""
        if not self.subnet6:
            return ""
        return ipv6.show(ipv6.beside(self, parse_address("address", endpoint.address)))

    def living(self) -> list[Endpoint]:
        """The endpoints that somebody answers for."""
        return [endpoint for endpoint in self.endpoints if endpoint.alive()]

    def endpoint(self, container: str) -> Endpoint | None:
        """The endpoint of that container (its whole id)."""
        return next((e for e in self.endpoints if e.container == container), None)
