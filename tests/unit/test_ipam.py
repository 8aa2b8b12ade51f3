"""The bitmap of addresses: right at its ends, never one twice, quick for a /8."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mydocker.errors import Conflict, Usage
from mydocker.network.ipam import Bitmap, Pool, Subnet, mac, parse_address, show

ADDRESSES = st.integers(0, 2**32 - 1)


def pool(text: str, within: str = "") -> Pool:
    """A pool whose gateway is the subnet's first host, as mydocker chooses it."""
    subnet, _ = Subnet.parse("subnet", text)
    part = Subnet.parse("range", within)[0] if within else None
    return Pool(subnet, subnet.first + 1, within=part)


@given(ADDRESSES, st.integers(0, 32))
def test_a_subnet_has_the_ends_that_the_standard_library_knows(address: int, prefix: int) -> None:
    subnet, host = Subnet.parse("subnet", f"{show(address)}/{prefix}")
    known = ipaddress.IPv4Network((address, prefix), strict=False)
    assert host == address
    assert str(subnet) == str(known)
    assert (subnet.first, subnet.last) == (int(known[0]), int(known[-1]))
    assert subnet.size == known.num_addresses


@given(ADDRESSES, st.integers(1, 32), ADDRESSES, st.integers(1, 32))
def test_an_overlap_is_one_by_the_standard_library(a: int, p: int, b: int, q: int) -> None:
    one, two = ipaddress.IPv4Network((a, p), strict=False), ipaddress.IPv4Network((b, q), False)
    assert Subnet(a, p).overlaps(Subnet(b, q)) == one.overlaps(two)


@given(ADDRESSES)
def test_an_address_is_shown_as_it_was_read(address: int) -> None:
    assert parse_address("address", show(address)) == address
    assert show(address) == str(ipaddress.IPv4Address(address))


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "a.b.c.d", "1.2.3.4/", "::1", "1.2.3.4\0"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse_address("address", text)


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "/8", "10.0.0.0/٣"]
)
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        Subnet.parse("subnet", text)


@given(st.sets(st.integers(0, 300)), st.integers(0, 300))
def test_the_lowest_zero_is_the_one_that_counting_finds(ones: set[int], start: int) -> None:
    expected = next(i for i in range(start, 1000) if i not in ones)
    assert Bitmap(ones).lowest_zero(start) == expected


@pytest.mark.parametrize("prefix", [30, 29, 28, 24, 22])
def test_every_host_of_a_subnet_is_given_once_in_order_and_the_ends_never(prefix: int) -> None:
    addresses = pool(f"172.31.0.0/{prefix}")
    known = ipaddress.IPv4Network(f"172.31.0.0/{prefix}")
    wanted = [int(host) for host in known.hosts()][1:]  # the first is the gateway
    assert [addresses.allocate() for _ in wanted] == wanted
    with pytest.raises(Conflict, match="every address is taken"):
        addresses.allocate()
    addresses.release(wanted[-1])
    assert addresses.allocate() == wanted[-1]


def test_a_16_does_not_give_what_ends_in_0_0_but_what_ends_in_1_0() -> None:
    addresses = pool("10.1.0.0/16")
    given_ = {show(addresses.allocate()) for _ in range(600)}
    assert "10.1.0.0" not in given_
    assert {"10.1.0.255", "10.1.1.0", "10.1.1.255"} <= given_


def test_a_full_8_is_full_and_takes_no_time() -> None:
    subnet, _ = Subnet.parse("subnet", "10.0.0.0/8")
    addresses = Pool(subnet, subnet.first + 1)
    addresses._taken.bits |= (1 << subnet.size - 2) - 1  # all but the last host
    assert show(addresses.allocate()) == "10.255.255.254"
    with pytest.raises(Conflict):
        addresses.allocate()


def test_the_last_address_can_be_taken_by_name_in_an_8() -> None:
    addresses = pool("10.0.0.0/8")
    assert addresses.take(parse_address("", "10.255.255.254")) == 0x0AFFFFFE
    assert show(addresses.allocate()) == "10.0.0.2"


@pytest.mark.parametrize(
    ("address", "error", "why"),
    [
        ("192.168.10.0", Usage, "network's own"),
        ("192.168.10.255", Usage, "broadcast"),
        ("192.168.10.1", Conflict, "gateway"),
        ("192.168.11.7", Usage, "not in the subnet"),
        ("192.168.10.9", Conflict, "is taken"),
    ],
)
def test_an_address_that_nobody_can_have_is_refused(
    address: str, error: type[Exception], why: str
) -> None:
    addresses = pool("192.168.10.0/24")
    addresses.take(parse_address("", "192.168.10.9"))
    with pytest.raises(error, match=why):
        addresses.take(parse_address("", address))


def test_a_range_is_kept_to_but_not_by_who_asks_for_an_address() -> None:
    addresses = pool("10.5.0.0/16", within="10.5.5.0/30")
    assert [show(addresses.allocate()) for _ in range(4)] == [f"10.5.5.{i}" for i in range(4)]
    with pytest.raises(Conflict):
        addresses.allocate()
    assert addresses.take(parse_address("", "10.5.9.9"))


def test_a_range_at_the_end_of_its_subnet_leaves_out_the_broadcast_address() -> None:
    addresses = pool("10.5.0.0/24", within="10.5.0.252/30")
    assert [show(addresses.allocate()) for _ in range(3)] == [
        f"10.5.0.{i}" for i in (252, 253, 254)
    ]
    with pytest.raises(Conflict):
        addresses.allocate()


@settings(max_examples=60)
@given(
    st.integers(24, 30),
    st.lists(st.tuples(st.sampled_from(["allocate", "take", "release"]), st.integers(0, 300))),
)
def test_no_address_is_given_twice_whatever_happens(
    prefix: int, moves: list[tuple[str, int]]
) -> None:
    addresses = pool(f"10.9.0.0/{prefix}")
    subnet, held = addresses.subnet, set[int]()
    never = {subnet.first, subnet.first + 1, subnet.last}
    for move, offset in moves:
        address = subnet.first + offset
        try:
            if move == "release":
                addresses.release(address)
                held.discard(address)
                continue
            got = addresses.allocate() if move == "allocate" else addresses.take(address)
        except (Conflict, Usage):
            if move == "allocate":
                assert len(held) == subnet.size - 3
            continue
        assert got not in held | never
        assert got in subnet
        held.add(got)


@given(ADDRESSES)
def test_a_mac_is_a_station_s_own_and_locally_made(address: int) -> None:
    first = int(mac(address)[:2], 16)
    assert first & 3 == 2
    assert mac(address).replace(":", "")[4:] == f"{address:08x}"
