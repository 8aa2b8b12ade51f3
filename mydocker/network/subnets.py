"""Which subnet a network may have: a network must not hide another.

Neither one of ours, nor addresses that the host reaches some other way. So a subnet is compared
with all the others' and with the host's routes.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Error, Usage
from mydocker.linux import rtnetlink
from mydocker.network import ipv6
from mydocker.network.ipam import Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.linux.netlink import Netlink
    from mydocker.network.record import Network

POOL, POOL_PREFIX = "10.77.0.0/16", 24
"""Where a subnet comes from when none is asked for, and how large it is."""

LARGEST, SMALLEST = 8, 30
"""The prefixes that a subnet may have."""


def check_size(subnet: Subnet, text: str) -> None:
    """A subnet of less than four addresses has no room; one of more than a /8 is nobody's."""
    if not LARGEST <= subnet.prefix <= SMALLEST:
        raise Usage("--subnet", text, f"its prefix is not from /{LARGEST} to /{SMALLEST}")
    for block in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"):
        if subnet.overlaps(Subnet.parse("", block)[0]):
            raise Usage("--subnet", text, f"{block} is not for hosts")


def check_free(subnet: Subnet, others: list[Network], host: Netlink) -> None:
    """Conflict if addresses of the subnet are reached some other way already."""
    for other in others:
        if subnet.overlaps(other.block):
            why = f"overlaps {other.subnet} of the network {other.name}"
            raise Conflict("--subnet", str(subnet), why)
    for base, prefix, _ in rtnetlink.routes(host):
        route = Subnet(base, prefix)
        if prefix and subnet.overlaps(route):
            raise Conflict("--subnet", str(subnet), f"overlaps the host's route to {route}")


def free_subnet(others: list[Network], host: Netlink) -> Subnet:
    """The first subnet of the pool that overlaps nothing."""
    pool, _ = Subnet.parse("pool", POOL)
    for base in range(pool.first, pool.last, 1 << 32 - POOL_PREFIX):
        subnet = Subnet(base, POOL_PREFIX)
        try:
            check_free(subnet, others, host)
            return subnet
        except Conflict:
            continue
    raise Conflict("network", POOL, "every subnet of the pool is taken", hint="give a --subnet")


def fill_in_ipv6(network: Network, text: str, others: list[Network], host: Netlink) -> None:
    """Give the record of a new network its IPv6 subnet; Usage or Conflict says what is wrong."""
    address, prefix = ipv6.parse("--subnet", text)
    most = ipv6.BITS - 32 + network.block.prefix
    if not 16 <= prefix <= most:
        raise Usage("--subnet", text, f"its prefix is not from /16 to /{most}")
    base = ipv6.first(address, prefix)
    if base >> 120 in (0x00, 0xFF) or base >> 118 == 0xFE80 >> 6:
        raise Usage("--subnet", text, "is not for hosts")
    network.subnet6 = f"{ipv6.show(base)}/{prefix}"
    network.gateway6 = ipv6.show(address if address != base else base + 1)
    if not os.path.exists("/proc/sys/net/ipv6"):
        raise Error("network", network.subnet6, "this kernel has no IPv6")
    _check_free_ipv6(base, prefix, others, host)


def _check_free_ipv6(base: int, prefix: int, others: list[Network], host: Netlink) -> None:
    text = f"{ipv6.show(base)}/{prefix}"
    for other in others:
        if other.subnet6 and _overlap(base, prefix, *ipv6.parse("subnet", other.subnet6)):
            raise Conflict(
                "--subnet", text, f"overlaps {other.subnet6} of the network {other.name}"
            )
    for route, length, _ in rtnetlink.routes(host, ipv6.BITS):
        if length and _overlap(base, prefix, route, length):
            raise Conflict(
                "--subnet", text, f"overlaps the host's route to {ipv6.show(route)}/{length}"
            )


def _overlap(base: int, prefix: int, other: int, length: int) -> bool:
    shorter = min(prefix, length)
    return ipv6.first(base, shorter) == ipv6.first(other, shorter)
