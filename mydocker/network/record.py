"""What is known of a network: one readable JSON file, `<root>/networks/<name>.json`.

The book's 6.2 has two nouns, and so have we: a *network* is a subnet with a way to carry frames (a
bridge); an *endpoint* is a container's place in it: an address, a pair of interfaces, ports.

The file is written whole and before anything of it is made in the kernel. So whatever a crash
leaves, the file knows of it: `state` is `creating` or `removing` while somebody is at work, and an
endpoint names the process that answers for it, with its start and the boot. One whose process is
gone belongs to nobody, and whoever comes next takes it away.

Invariant: an address is taken if and only if an endpoint in the file has it.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Corrupt, NotFound, Usage
from mydocker.linux import files, jsontext, process
from mydocker.linux.lock import Lock
from mydocker.network.ipam import Pool, Subnet, parse_address
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREDEFINED = "bridge"
"""The network that is made at its first use; the others are made by `network create`."""

RESERVED = ("none", "host", "container", "default")


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
        return Pool(self.block, self.gateway_address, taken, within)

    def living(self) -> list[Endpoint]:
        """The endpoints that somebody answers for."""
        return [endpoint for endpoint in self.endpoints if endpoint.alive()]

    def endpoint(self, container: str) -> Endpoint | None:
        """The endpoint of that container (its whole id)."""
        return next((e for e in self.endpoints if e.container == container), None)


class Networks:
    """All networks of one state root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.directory = f"{root}/networks"

    @property
    def tag(self) -> str:
        """Six digits that tell this state root's interfaces and chains from another's."""
        import zlib

        return f"{zlib.crc32(os.fsencode(os.path.realpath(self.root))) & 0xFFFFFF:06x}"

    def key(self, network: Network) -> str:
        """What the network's chains are called by: the root's tag and its own."""
        return f"{self.tag}-{network.id[:6]}"

    def lock(self) -> Lock:
        """Held by who changes a network, an endpoint or a rule: one at a time."""
        return Lock(f"{self.root}/networks.lock")

    def names(self) -> list[str]:
        """The names of all networks, sorted."""
        try:
            found = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        return sorted(name[:-5] for name in found if name.endswith(".json"))

    def path(self, name: str) -> str:
        """The file of a network."""
        return f"{self.directory}/{name}.json"

    def load(self, name: str) -> Network:
        """One network by its whole name; NotFound, or Corrupt if the file does not hold one."""
        if not is_name(name) or not os.path.exists(self.path(name)):
            hint = "mydocker network ls lists them"
            raise NotFound("network", name, "no such network", hint=hint)
        damaged = Corrupt("network record", self.path(name), "does not describe a network")
        try:
            network = Network.from_json(jsontext.loads(files.read(self.path(name))))
            if network.name != name or not _sound(network):
                raise damaged
            network.pool()
        except (ValueError, TypeError, AttributeError, RecursionError, Usage):
            raise damaged from None
        return network

    def all(self) -> list[Network]:
        """Every network."""
        return [self.load(name) for name in self.names()]

    def find(self, word: str) -> Network:
        """By name, by id, or by a prefix of an id that only one has."""
        if word in self.names():
            return self.load(word)
        hits = [network for network in self.all() if word and network.id.startswith(word)]
        if len(hits) > 1:
            raise Usage("network", word, f"fits {len(hits)} networks", hint="give more digits")
        return hits[0] if hits else self.load(word)

    def save(self, network: Network, durable: bool = False) -> None:
        """Write the file, whole. An endpoint does not outlive the machine, so it need not wait."""
        files.makedirs(self.directory)
        text = jsontext.dumps(network.to_json(), indent=2) + "\n"
        files.write_whole(self.path(network.name), text, durable=durable)

    def forget(self, network: Network) -> None:
        """Remove the file."""
        files.unlink(self.path(network.name), missing_ok=True)


def is_name(name: str) -> bool:
    """Letters, digits, `_`, `.` and `-`, and no sign first: the name is a file's too."""
    letters = name.replace("_", "").replace(".", "").replace("-", "")
    return name.isascii() and letters.isalnum() and name[0].isalnum() and len(name) <= 128


def check_name(name: str) -> str:
    """The name if a network may have it."""
    if not is_name(name):
        raise Usage("network", name[:40], "not a name", hint="letters, digits, _ . and -")
    if name in RESERVED:
        raise Conflict("network", name, "is the name of a mode", hint="choose another name")
    return name


def _sound(record: Struct) -> bool:
    """Whether each field holds what it should: a file can hold anything."""
    for name in record.fields():
        value, default = getattr(record, name), getattr(type(record), name, "")
        if name == "container_port":
            default = 0
        if type(value) is not type(default):
            return False
        inside = list(value.values()) if isinstance(value, dict) else value
        for item in inside if isinstance(inside, list) else ():
            if not (_sound(item) if isinstance(item, Struct) else isinstance(item, str)):
                return False
    return True
