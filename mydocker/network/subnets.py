"""Which subnet a network may have: a network must not hide another.

Neither one of ours, nor addresses that the host reaches some other way. So a subnet is compared
with all the others' and with the host's routes.
"""

from __future__ import annotations

from mydocker.errors import Conflict, Usage
from mydocker.linux import rtnetlink
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
