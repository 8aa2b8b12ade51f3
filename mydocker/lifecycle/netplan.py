"""What a container is to have of networks: `run`'s flags become a wish, kept beside its record.

Invariant: what cannot be is refused before anything is made.
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt, Usage
from mydocker.linux import files, jsontext
from mydocker.network import members, names, publish
from mydocker.network.networks import PREDEFINED
from mydocker.network.wish import Attachment, Wish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.lifecycle.container import Container
    from mydocker.lifecycle.containers import Containers
    from mydocker.lifecycle.options import Options
    from mydocker.network.record import Port
    from mydocker.rootfs.store import Image

FILE = "network.json"


def plan(containers: Containers, asked: Options, image: Image) -> Wish:
    """The wish that the flags make; Usage or NotFound says what is wrong with them."""
    if not asked.network:
        raise Usage("--network", "", "needs a value")
    mode, _, target = asked.network.partition(":")
    wish = Wish(mode=mode if mode in ("none", "host", "container") else "network")
    for text in asked.publish:
        wish.ports += publish.parse(text)
    if asked.publish_all:
        wish.ports += exposed(image, wish.ports)
    if wish.mode == "none" and wish.ports:
        raise Usage("--publish", asked.publish[0] if asked.publish else "-P", "needs a network")
    if wish.mode != "network":
        refuse(asked, wish)
    if wish.mode == "container":
        wish.container = containers.find(target).id
    elif wish.mode == "network":
        if asked.network != PREDEFINED:
            members.exists(containers.root, asked.network)
        aliases = [names.check_host_name("--network-alias", word) for word in asked.network_alias]
        wish.attachments = [Attachment(network=asked.network, aliases=aliases)]
        if asked.ip:
            wish.attachments[0].address = members.check_address(
                containers.root, asked.network, asked.ip
            )
        if asked.mac_address:
            wish.attachments[0].mac = check_mac(asked.mac_address)
    wish.dns = [check_server(text) for text in asked.dns]
    wish.dns_search = [check_word("--dns-search", text) for text in asked.dns_search]
    wish.dns_option = [check_word("--dns-option", text) for text in asked.dns_option]
    wish.hosts = [names.add_host(text) for text in asked.add_host]
    return wish


def refuse(asked: Options, wish: Wish) -> None:
    """Flags that mean nothing without a network of one's own."""
    given = {
        "--publish": wish.ports,
        "--ip": asked.ip,
        "--network-alias": asked.network_alias,
        "--mac-address": asked.mac_address,
    }
    for flag, value in given.items():
        if value:
            raise Usage(flag, "", f"means nothing with --network {asked.network}")


def exposed(image: Image, taken: list[Port]) -> list[Port]:
    """`-P`: a free port of the host for each that the image exposes and that has none yet."""
    found = []
    have = {(port.container_port, port.protocol) for port in taken}
    for word in image.config.config.exposed_ports:
        for port in publish.parse(word):
            if (port.container_port, port.protocol) not in have:
                found.append(port)
    return found


def check_mac(text: str) -> str:
    """A MAC of one station: six bytes in hex, the lowest bit of the first one 0."""
    parts = text.lower().split(":")
    good = len(parts) == 6 and all(len(p) == 2 and set(p) <= set("0123456789abcdef") for p in parts)
    if not good or int(parts[0], 16) & 1:
        raise Usage("--mac-address", text, "not a MAC of one station, such as 02:42:0a:00:00:02")
    return ":".join(parts)


def check_server(text: str) -> str:
    """`--dns`: the address of a name server."""
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return text
        except (OSError, ValueError):
            continue
    raise Usage("--dns", text, "not an address")


def check_word(flag: str, text: str) -> str:
    """One word for a line of resolv.conf."""
    if not text or not text.isprintable() or " " in text or not text.isascii():
        raise Usage(flag, text, "not one word")
    return text


def load(container: Container) -> Wish:
    """The wish of a container; of one that never had any, the empty one."""
    path = f"{container.directory}/{FILE}"
    if not os.path.exists(path):
        return Wish()
    try:
        return Wish.from_json(jsontext.loads(files.read(path)))
    except (ValueError, TypeError, AttributeError):
        raise Corrupt("network wish", path, "does not hold one") from None


def save(container: Container, wish: Wish) -> None:
    """Write the wish down."""
    files.write_whole(f"{container.directory}/{FILE}", text(wish))


def text(wish: Wish) -> str:
    """The wish as its file has it."""
    return jsontext.dumps(wish.to_json(), indent=2) + "\n"
