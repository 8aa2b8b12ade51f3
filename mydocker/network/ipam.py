"""IPAM: which addresses of a subnet are taken (the book's 6.3).

The book keeps one bit for each address, and so do we: bit i says whether the i-th address of the
subnet is taken. A Python integer is a bitmap of any length, and it is only as long as its highest
bit: a /8 with three containers takes one byte, not 16 million.

Three addresses are never given: the first (the network's own), the last (broadcast), the gateway's.
The lowest free one is given, as in the book. That an address is soon given again does no harm,
because its MAC is made from it: nobody's ARP cache is wrong.

Invariant: an address that is taken is not given again before it was released, and one that is given
lies in the subnet, and in the range if there is one.
"""

from __future__ import annotations

import _socket

from mydocker.errors import Conflict, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = 32


def parse_address(what: str, text: str) -> int:
    """An IPv4 address in four decimal numbers, as one number; Usage if it is none."""
    try:
        return int.from_bytes(_socket.inet_pton(_socket.AF_INET, text), "big")
    except (OSError, ValueError):
        raise Usage(what, text, "not an IPv4 address") from None


def show(address: int) -> str:
    """The address as four decimal numbers."""
    return _socket.inet_ntoa(address.to_bytes(4, "big"))


class Subnet:
    """A block of addresses that have their first `prefix` bits in common."""

    def __init__(self, address: int, prefix: int) -> None:
        self.prefix = prefix
        self.size = 1 << BITS - prefix
        self.first = address & -self.size
        self.last = self.first + self.size - 1

    @classmethod
    def parse(cls, what: str, text: str) -> tuple[Subnet, int]:
        """`192.168.10.1/24` as the subnet and that very address; Usage names what is wrong."""
        word, slash, length = text.partition("/")
        if not slash or not (length.isascii() and length.isdigit() and len(length) <= 2):
            raise Usage(what, text, "not ADDRESS/PREFIX, such as 192.168.10.0/24")
        address = parse_address(what, word)
        if int(length) > BITS:
            raise Usage(what, text, f"an IPv4 address has {BITS} bits")
        return cls(address, int(length)), address

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subnet) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def __str__(self) -> str:
        return f"{show(self.first)}/{self.prefix}"

    def overlaps(self, other: Subnet) -> bool:
        """Whether an address is in both: then one of them holds the other."""
        return self.first <= other.last and other.first <= self.last


class Bitmap:
    """Bits from 0 on, all 0 at first."""

    def __init__(self, ones: Iterable[int] = ()) -> None:
        wanted = list(ones)
        data = bytearray(max(wanted, default=-1) // 8 + 1)
        for index in wanted:
            data[index // 8] |= 1 << index % 8
        self.bits = int.from_bytes(data, "little")

    def __getitem__(self, index: int) -> bool:
        return bool(self.bits >> index & 1)

    def set(self, index: int) -> None:
        """Make it 1."""
        self.bits |= 1 << index

    def clear(self, index: int) -> None:
        """Make it 0."""
        self.bits &= ~(1 << index)

    def lowest_zero(self, start: int = 0) -> int:
        """The first bit from `start` on that is 0."""
        zeros = ~(self.bits >> start)  # of the zeros' own number, the lowest bit stays:
        return start + (zeros & -zeros).bit_length() - 1


class Pool:
    """The addresses of one network: taken, given and released."""

    def __init__(
        self, subnet: Subnet, gateway: int, taken: Iterable[int] = (), within: Subnet | None = None
    ) -> None:
        self.subnet = subnet
        self.within = within or subnet
        self.gateway = gateway
        never = (subnet.first, subnet.last, gateway)
        self._taken = Bitmap(address - subnet.first for address in (*taken, *never))

    def allocate(self) -> int:
        """The lowest free address of the range; Conflict if there is none."""
        subnet = self.subnet
        address = subnet.first + self._taken.lowest_zero(self.within.first - subnet.first)
        if address not in self.within or address not in subnet:
            raise Conflict("address", str(self.within), "every address is taken")
        self._taken.set(address - subnet.first)
        return address

    def take(self, address: int) -> int:
        """That very address (`--ip`); Usage if it cannot be a container's, Conflict if taken."""
        if address not in self.subnet:
            raise Usage("address", show(address), f"is not in the subnet {self.subnet}")
        for other, name in ((self.subnet.first, "network's own"), (self.subnet.last, "broadcast")):
            if address == other:
                raise Usage("address", show(address), f"is the {name} address of {self.subnet}")
        if address == self.gateway:
            raise Conflict("address", show(address), "is the gateway's")
        if self._taken[address - self.subnet.first]:
            raise Conflict("address", show(address), "is taken")
        self._taken.set(address - self.subnet.first)
        return address

    def release(self, address: int) -> None:
        """Give an address back; one that is free, or never was a container's, stays as it is."""
        if address in self.subnet and address not in (
            self.subnet.first,
            self.subnet.last,
            self.gateway,
        ):
            self._taken.clear(address - self.subnet.first)


def mac(address: int) -> str:
    """The MAC for an address: 02 marks one that was made up here, 42 is Docker's habit."""
    return (b"\x02\x42" + address.to_bytes(4, "big")).hex(":")
