"""`mydocker network`: make, list, look at and remove networks (the book's 6.4 and 6.5)."""

from __future__ import annotations

import sys

from mydocker.cli import Globals, printable
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag, Group
from mydocker.errors import Usage
from mydocker.lifecycle import netchanges
from mydocker.network import show
from mydocker.network.create import create as make
from mydocker.network.create import remove as unmake
from mydocker.network.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def create(values: dict[str, Any], words: list[str]) -> None:
    """Make a network and print its id."""
    options = netchanges.pairs("-o", values["opt"])
    subnets = {"subnet6" if ":" in text else "subnet": text for text in values["subnet"]}
    if len(subnets) < len(values["subnet"]):
        raise Usage("--subnet", values["subnet"][-1], "a network has one of each kind at most")
    if values["ipv6"] != ("subnet6" in subnets):
        why = "needs a --subnet of IPv6" if values["ipv6"] else "is of IPv6: say --ipv6 too"
        raise Usage("network", "--ipv6" if values["ipv6"] else subnets["subnet6"], why)
    fields = ("driver", "gateway", "ip_range", "internal", "local")
    asked = Request(
        name=words[0],
        labels=netchanges.pairs("--label", values["label"]),
        options=options,
        peers=values["peer"],
        **subnets,
        **{name: values[name] for name in fields if values[name]},
    )
    print(make(Globals.root, asked).id)


HEADINGS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Subnet": "SUBNET",
}
"""The fields of `--format`, and what heads their column in a table."""


def ls(values: dict[str, Any], _: list[str]) -> None:
    """Print one line a network, and the two modes that are none."""
    from mydocker.cli import table

    rows = show.rows(Globals.root, values["filter"])
    width = 64 if values["no_trunc"] else 12
    if values["format"]:
        from mydocker.cli.format import Format
        from mydocker.cli.template import Record

        known = [Record(dict(zip(HEADINGS, [r[0][:width], *r[1:]], strict=True))) for r in rows]
        Format(values["format"], HEADINGS).show(known)
        return
    if values["quiet"]:
        print("".join(f"{row[0][:width]}\n" for row in rows), end="")
        return
    table.show([*HEADINGS.values()], [[row[0][:width], *row[1:]] for row in rows])


def inspect(values: dict[str, Any], words: list[str]) -> int:
    """Print what is known of networks as JSON, by a template, or as a picture."""
    if values["graph"] is None:
        from mydocker.cli.inspect import present

        return present(words, lambda word: show.inspect(Globals.root, word), values["format"])
    drawings = {"": show.text, "text": show.text, "mermaid": show.mermaid}
    if values["graph"] not in drawings:
        raise Usage("--graph", values["graph"], "text or mermaid")
    for word in words:
        for line in drawings[values["graph"]](Globals.root, word):
            print(printable(line))
    return 0


def remove(_: dict[str, Any], words: list[str]) -> int:
    """Remove networks that nobody is in."""
    return for_each(words, lambda word: unmake(Globals.root, word))


def connect(values: dict[str, Any], words: list[str]) -> None:
    """Bring a container into a network."""
    netchanges.connect(Globals.root, words[0], words[1], values["ip"] or "", values["alias"])


def disconnect(_: dict[str, Any], words: list[str]) -> None:
    """Take a container out of a network."""
    netchanges.disconnect(Globals.root, words[0], words[1])


def prune(values: dict[str, Any], _: list[str]) -> int:
    """Remove all networks that nobody is in."""
    names = netchanges.unused(Globals.root)
    if names:
        print("Deleted Networks:")
    return for_each(names, lambda word: unmake(Globals.root, word))


def reload(_: dict[str, Any], words: list[str]) -> None:
    """Put bridges, addresses and rules in place again, if somebody else has changed them."""
    for line in netchanges.reload(Globals.root, words):
        print(f"mydocker: network {line}", file=sys.stderr)


FILTER = Flag("-f --filter", "list", "only those that fit", metavar="driver|name|id|label=TEXT")

SUBCOMMANDS = {
    "create": Command(
        create,
        "[OPTIONS] NAME",
        "Make a network. A subnet that is given as a host's address (192.168.10.1/24) makes that\n"
        "address the gateway; without one the next free subnet is taken.",
        [
            Flag("-d --driver -driver", "value", "bridge or vxlan", metavar="DRIVER"),
            Flag("--subnet -subnet", "list", "its addresses", metavar="ADDRESS/PREFIX"),
            Flag("--ipv6", "bool", "IPv6 beside IPv4, with a --subnet of its own"),
            Flag("--gateway", "value", "the host's address in it", metavar="ADDRESS"),
            Flag("--ip-range", "value", "what containers get", metavar="ADDRESS/PREFIX"),
            Flag("--internal", "bool", "no way out, and none in"),
            Flag("--label", "list", "a label", metavar="NAME[=VALUE]"),
            Flag("-o --opt", "list", "mtu, interface; vxlan: vni, port", metavar="NAME=VALUE"),
            Flag("--peer", "list", "vxlan: another host that has it", metavar="ADDRESS"),
            Flag("--local", "value", "vxlan: how they know this host", metavar="ADDRESS"),
        ],
        least=1,
        most=1,
    ),
    "ls": Command(
        ls,
        "[OPTIONS]",
        "List networks.",
        [
            Flag("-q --quiet", "bool", "only the ids"),
            Flag("--no-trunc", "bool", "whole ids"),
            Flag("--format", "value", "json, or a template: '{{.Name}}'", metavar="TEMPLATE"),
            FILTER,
        ],
        most=0,
    ),
    "inspect": Command(
        inspect,
        "[OPTIONS] NETWORK...",
        "Show networks as JSON, or as a picture.",
        [
            Flag("--graph", "optional", "a picture: text or mermaid", metavar="KIND"),
            Flag("-f --format", "value", "json, or a template", metavar="TEMPLATE"),
        ],
        least=1,
    ),
    "connect": Command(
        connect,
        "[OPTIONS] NETWORK CONTAINER",
        "Bring a container into a network.",
        [
            Flag("--ip", "value", "its address there", metavar="ADDRESS"),
            Flag("--alias", "list", "one more name there", metavar="NAME"),
        ],
        least=2,
        most=2,
    ),
    "disconnect": Command(
        disconnect,
        "NETWORK CONTAINER",
        "Take a container out of a network.",
        [Flag("-f --force", "bool", "as without it")],
        least=2,
        most=2,
    ),
    "rm": Command(
        remove,
        "NETWORK...",
        "Remove networks that nobody is in.",
        [Flag("-f --force", "bool", "as without it")],
        least=1,
    ),
    "prune": Command(
        prune,
        "",
        "Remove all networks that nobody is in.",
        [Flag("-f --force", "bool", "as without it: there is no question")],
        most=0,
    ),
    "reload": Command(reload, "[NETWORK...]", "Put bridges and rules in place again."),
}
COMMAND = Group("Make, list and remove networks.", SUBCOMMANDS)
