"""`network connect`, `network disconnect` and their like, for containers that are there."""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Error, NotFound, Usage
from mydocker.lifecycle import netplan
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.networking import new_member, open_namespace, tell
from mydocker.linux import netlink, rtnetlink
from mydocker.network import endpoint, members, names, upkeep
from mydocker.network.networks import Networks
from mydocker.network.wish import Attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.lifecycle.container import Container
    from mydocker.network.record import Endpoint, Network, Port


def connect(root: str, word: str, name: str, address: str, aliases: list[str]) -> None:
    """Bring a container into one more network; one that does not run will be in it when it does."""
    container = Containers(root).find(name)
    aliases = [names.check_host_name("--alias", alias) for alias in aliases]
    address = members.check_address(root, word, address) if address else ""
    attachment = Attachment(network=word, address=address, aliases=aliases)
    with container.lock():
        wish = netplan.load(container)
        if wish.mode in ("host", "container"):
            raise Conflict("network", word, f"{name} has the network of --network {wish.mode}")
        attachment.network = members.exists(root, word)
        if any(have.network == attachment.network for have in wish.attachments):
            raise Conflict("network", word, f"{name} is in it already")
        container = Containers(root).load(container.id)
        if container.alive():
            _connect_running(root, container, attachment)
        wish.mode, wish.attachments = "network", [*wish.attachments, attachment]
        netplan.save(container, wish)


def _connect_running(root: str, container: Container, attachment: Attachment) -> None:
    netns = open_namespace(container)
    member = new_member(
        container, attachment, endpoint.free_interface(netns), container.spec().hostname
    )
    try:
        network, told = members.join(root, attachment.network, member)
        try:
            with netlink.Netlink() as host:
                endpoint.attach(host, network, member, netns, default=not has_default(netns))
        except Error:
            members.leave(root, container.id, network.name)
            raise
    finally:
        os.close(netns)
    tell(told)


def has_default(netns: int) -> bool:
    """Whether a namespace has a default route."""
    with netlink.inside(netns) as inner:
        return any(prefix == 0 for _, prefix, _ in rtnetlink.routes(inner))


def disconnect(root: str, word: str, name: str) -> None:
    """Take a container out of a network, now and for its next start."""
    container = Containers(root).find(name)
    with container.lock():
        wish = netplan.load(container)
        network = members.exists(root, word)
        rest = [have for have in wish.attachments if have.network != network]
        if len(rest) == len(wish.attachments):
            raise NotFound("network", word, f"{name} is not in it")
        members.leave(root, container.id, network)
        wish.attachments = rest
        netplan.save(container, wish)


def unused(root: str) -> list[str]:
    """The names of the networks that no container is in, whether it runs or not."""
    wanted = {
        attachment.network
        for container in Containers(root)
        for attachment in netplan.load(container).attachments
    }
    found = [network for network in Networks(root).all() if not network.living()]
    return [network.name for network in found if network.name not in wanted]


def reload(root: str, words: list[str]) -> list[str]:
    """Put networks in place again, all that there are if none is named; what to tell."""
    networks = Networks(root)
    told = []
    with networks.lock(), netlink.Netlink() as host:
        for network in [networks.find(word) for word in words] or networks.all():
            told += upkeep.reload(networks, host, network)
    return told


def endpoints(root: str, container: Container) -> list[tuple[Network, Endpoint]]:
    """The networks that a running container is in, and its place in each."""
    found = [(network, network.endpoint(container.id)) for network in Networks(root).all()]
    return [(network, member) for network, member in found if member and member.alive()]


def published(root: str, word: str) -> list[Port]:
    """The ports of the host that lead to a container."""
    container = Containers(root).find(word)
    return [port for _, member in endpoints(root, container) for port in member.ports]


def pairs(flag: str, items: list[str]) -> dict[str, str]:
    """NAME=VALUE words as a dict; a label may be a name alone."""
    found = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not name or (not separator and flag != "--label"):
            raise Usage(flag, item, "not NAME=VALUE")
        found[name] = value
    return found
