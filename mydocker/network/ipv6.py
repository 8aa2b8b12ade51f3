"""IPv6 beside IPv4 (`network create --ipv6`): a container's second address.

A network goes on having one bitmap, that of its IPv4 addresses. Its IPv6 subnet is at least as
large, and a container has the same place in both: the seventh address of 192.168.10.0/24 goes with
the seventh of fd00::/64. So nothing more has to be given, locked or released.

Invariant: two containers have the same IPv6 address only if they have the same IPv4 address.
"""

from __future__ import annotations

import _socket

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Network

BITS = 128


def parse(what: str, text: str) -> tuple[int, int]:
    """`fd00::1/64` as the address, a number, and the length of the prefix."""
    word, slash, length = text.partition("/")
    try:
        address = int.from_bytes(_socket.inet_pton(_socket.AF_INET6, word), "big")
        if not slash or not (length.isascii() and length.isdigit()) or int(length[:4]) > BITS:
            raise ValueError
    except (OSError, ValueError):
        raise Usage(what, text, "not ADDRESS/PREFIX, such as fd00::/64") from None
    return address, int(length)


def show(address: int) -> str:
    """The address as text."""
    return _socket.inet_ntop(_socket.AF_INET6, address.to_bytes(16, "big"))


def first(address: int, prefix: int) -> int:
    """The first address of the subnet that this one is in."""
    return address & -(1 << BITS - prefix)


def beside(network: Network, address: int) -> int:
    """The IPv6 address that goes with an IPv4 address of the network."""
    return first(*parse("subnet", network.subnet6)) + address - network.block.first


def gateway(network: Network) -> tuple[int, int]:
    """The bridge's address and the length of the subnet's prefix."""
    prefix = parse("subnet", network.subnet6)[1]
    return parse("gateway", f"{network.gateway6}/{prefix}")
