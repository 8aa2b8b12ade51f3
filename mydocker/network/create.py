"""`network create`, `network rm`: what is asked for is checked whole before anything is made.

The interface gets the network's name, as in the book; but one that is there already is never taken
for ours (the book's program adopts an `eth0` that it finds, and deletes it with the network).
"""

from __future__ import annotations

from mydocker.errors import Conflict
from mydocker.linux import netlink, rtnetlink
from mydocker.linux.cleanup import Cleanup
from mydocker.network import upkeep
from mydocker.network.networks import PREDEFINED, Networks, check_name
from mydocker.network.request import Request, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.network.record import Network


def create(root: str, asked: Request) -> Network:
    """Make a network; Usage or Conflict says what is wrong with it, and then nothing is made."""
    networks = Networks(root)
    check_name(asked.name)
    with networks.lock(), netlink.Netlink() as host:
        return create_locked(networks, host, asked)


def create_locked(networks: Networks, host: Netlink, asked: Request) -> Network:
    """The same for who holds the lock."""
    if asked.name in networks.names():
        old = networks.load(asked.name)
        if old.state == "ready":
            why = "exists already"
            raise Conflict("network", asked.name, why, hint=f"mydocker network rm {asked.name}")
        upkeep.tear_down(networks, host, old)  # a crash left it half made, or half removed
    network = describe(networks, host, asked)
    with Cleanup() as undo:
        undo.push(upkeep.tear_down, networks, host, network)
        networks.save(network, durable=True)
        upkeep.bring_up(networks, host, network)
        network.state = "ready"
        networks.save(network, durable=True)
        undo.keep()
    return network


def predefined(networks: Networks, host: Netlink) -> Network:
    """The network `bridge`, made now if it is not there. Its interface has a name of its own, since
    other programs and other state roots have a `bridge` too."""
    if PREDEFINED in networks.names() and networks.load(PREDEFINED).state == "ready":
        return networks.load(PREDEFINED)
    taken = {link.name for link in rtnetlink.links(host)}
    name = next(name for i in range(len(taken) + 1) if (name := f"mydocker{i}") not in taken)
    asked = Request(name=PREDEFINED, options={"interface": name})
    return create_locked(networks, host, asked)


def remove(root: str, word: str) -> None:
    """Remove a network that nobody is in."""
    networks = Networks(root)
    with networks.lock(), netlink.Netlink() as host:
        network = networks.find(word)
        users = [member.name for member in network.living()]
        if users:
            hint = "mydocker network disconnect, or end them"
            raise Conflict("network", network.name, f"is in use by {', '.join(users)}", hint=hint)
        upkeep.tear_down(networks, host, network)
