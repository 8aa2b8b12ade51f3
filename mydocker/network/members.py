"""Containers come into a network and go: an address, a name, ports; and all of it back.

`join` is called before the container's first process is there, so that a full network or a taken
address is told before anything is started; the cable is laid by endpoint.attach when there is a
network namespace to lay it to. `leave` undoes both, as often as it is called.

Invariant: the record is written before what it tells of is made, and what is in the record is
released by whoever finds that nobody answers for it any more.
"""

from __future__ import annotations

from mydocker.errors import Conflict, NotFound, Usage
from mydocker.linux import netlink
from mydocker.network import create, endpoint, ipam, names, upkeep
from mydocker.network.networks import PREDEFINED, Networks
from mydocker.network.record import Endpoint, Network, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.network.held import Held


def join(root: str, word: str, member: Endpoint) -> tuple[Network, list[str]]:
    """Give the container a place in the network, and fill in its endpoint.

    An `address` in it is asked for, else the lowest free one is given. Returns the network, and
    what to tell the user. Conflict: no address is free, or that one is not.
    """
    networks = Networks(root)
    with networks.lock(), netlink.Netlink() as host:
        network = ready(networks, host, word)
        if network.internal and member.ports:
            raise Usage("--publish", network.name, "is internal: nobody outside can reach it")
        if network.endpoint(member.container):
            raise Conflict("network", network.name, f"{member.name} is in it already")
        swept = upkeep.sweep(host, network)
        known = Network.from_json(network.to_json())
        pool = network.pool()
        try:
            asked = ipam.parse_address("--ip", member.address) if member.address else 0
            address = pool.take(asked) if asked else pool.allocate()
        except Conflict as error:
            if swept:
                networks.save(network)
            raise _by_whom(network, error) from None
        member.address, member.mac = ipam.show(address), member.mac or ipam.mac(address)
        member.link = endpoint.link_name(networks.tag)
        network.endpoints.append(member)
        networks.save(network)
        told = upkeep.bring_up(networks, host, network, known)
        names.refresh(network)
    return network, told


def ready(networks: Networks, host: Netlink, word: str) -> Network:
    """The network of that name or id, ready for use; the predefined one is made."""
    if word == PREDEFINED:
        return create.predefined(networks, host)
    network = networks.find(word)
    if network.state != "ready":
        upkeep.tear_down(networks, host, network)
        raise NotFound("network", word, "was half made when mydocker was stopped, and is removed")
    return network


def _by_whom(network: Network, error: Conflict) -> Conflict:
    """The same refusal; of an address that is taken, with the name of who has it."""
    owner = next((e.name for e in network.endpoints if e.address == error.obj), "")
    why = f"{error.why} by {owner}" if owner else error.why
    return Conflict(f"network {network.name}", error.obj, why)


def leave(root: str, container: str, only: str = "") -> None:
    """Take a container out of all networks, or of one (by its name): link, record, rules, names."""
    networks = Networks(root)
    if not networks.names():
        return
    with networks.lock(), netlink.Netlink() as host:
        for name in networks.names():
            network = networks.load(name)
            member = network.endpoint(container)
            if member is None or only not in ("", name):
                continue
            endpoint.detach(host, member)
            network.endpoints.remove(member)
            networks.save(network)
            if member.ports:
                upkeep.sync(networks, network)
            names.refresh(network)
            if member.hosts:
                names.change(member.hosts, network.name, "")


def rename(root: str, container: str, name: str) -> None:
    """Let a container be known by another name in all its networks."""
    networks = Networks(root)
    with networks.lock():
        for network in networks.all():
            member = network.endpoint(container)
            if member:
                member.name = name
                networks.save(network)
                names.refresh(network)


def hold_ports(root: str, held: Held, wanted: list[Port]) -> list[Port]:
    """Keep these ports of the host; Conflict says which container has one, if it is ours."""
    try:
        return held.take(wanted)
    except Conflict as error:
        host_ip, _, rest = error.obj.partition(":")
        number, _, protocol = rest.partition("/")
        for network in Networks(root).all():
            for member in network.living():
                for port in member.ports:
                    same = (str(port.host_port), port.protocol) == (number, protocol)
                    if same and (not port.host_ip or host_ip in ("0.0.0.0", port.host_ip)):
                        why = f"is in use by the container {member.name}"
                        raise Conflict("port", error.obj, why, hint=error.hint) from None
        raise


def exists(root: str, word: str) -> str:
    """The whole name of a network that is there; NotFound if none is."""
    return Networks(root).find(word).name


def check_address(root: str, word: str, text: str) -> str:
    """`--ip`: an address that could be a container's in that network, if it is free then."""
    address = ipam.parse_address("--ip", text)
    networks = Networks(root)
    if word in networks.names() or word != PREDEFINED:
        network = networks.find(word)
        ipam.Pool(network.block, network.gateway_address).take(address)
    return text
