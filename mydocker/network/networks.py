"""All networks of one state root: one readable JSON file each, `<root>/networks/<name>.json`.

A file can hold anything: what does not describe a network is damage, and told as such. And a name
is a file's name too, so not every word is one.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Corrupt, NotFound, Usage
from mydocker.linux import files, jsontext
from mydocker.linux.lock import Lock
from mydocker.network.record import Network
from mydocker.spec import Struct

PREDEFINED = "bridge"
"""The network that is made at its first use; the others are made by `network create`."""

RESERVED = ("none", "host", "container", "default")


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
