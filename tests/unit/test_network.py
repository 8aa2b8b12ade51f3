"""Networks without a kernel: the rules as text, the plan of a change, ports, names, parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import Usage
from mydocker.network import firewall, nat, publish, vxlan
from mydocker.network.ipam import Subnet
from mydocker.network.names import add_host, block, change
from mydocker.network.record import Endpoint, Network, Port

if TYPE_CHECKING:
    from pathlib import Path


def never(key: str) -> bool:
    return False


def network(name: str = "net1", *ports_: Port, internal: bool = False) -> Network:
    member = Endpoint(container="c" * 64, name="bird", address="10.1.0.2", ports=list(ports_))
    return Network(
        id=name[-1] * 64,
        name=name,
        subnet="10.1.0.0/24",
        gateway="10.1.0.1",
        interface=name,
        internal=internal,
        endpoints=[member],
    )


def apply(saved: dict[str, list[str]], lines: list[str]) -> dict[str, list[str]]:
    """What iptables-restore --noflush makes of the lines, which must be in an order it takes."""
    tables = {name: list(rules) for name, rules in saved.items()}
    for line in lines:
        word, chain, *rest = line.split(" ", 2)
        if word.startswith(":"):
            tables[word[1:]] = []
        elif word == "-A":
            tables[chain].append(rest[0])
        elif word == "-I":
            tables[chain].insert(0, rest[0].removeprefix("1 "))
        elif word == "-D":
            tables[chain].remove(rest[0])
        elif word == "-F":
            tables[chain].clear()
        elif word == "-X":
            assert not tables.pop(chain)
            used = [rule for rules in tables.values() for rule in rules]
            assert not any(rule.split()[-1] == chain for rule in used), chain
    for rules in tables.values():
        for rule in rules:
            target = rule.partition("-j ")[2].split()[0]
            assert target in tables or not target.startswith(nat.PREFIX), f"{target} is missing"
    return tables


BARE: dict[str, dict[str, list[str]]] = {
    "filter": {"INPUT": [], "FORWARD": ["-j OTHER"], "OUTPUT": [], "OTHER": []},
    "nat": {"PREROUTING": [], "INPUT": [], "OUTPUT": [], "POSTROUTING": []},
}


@pytest.mark.parametrize("table", ["filter", "nat"])
def test_networks_come_and_go_in_any_order_and_nothing_is_left(table: str) -> None:
    nets = {
        "t-1": network("net1", Port(container_port=80, host_port=8080)),
        "t-2": network("net2"),
        "t-3": network("net3", internal=True),
    }
    saved = BARE[table]
    for key, net in nets.items():
        saved = apply(saved, firewall.plan(table, saved, {key: net}, never))
        assert firewall.plan(table, saved, {key: net}, never) == []
        assert firewall.missing(table, saved, {key: net}) == []
    for key, net in nets.items():
        assert firewall.plan(table, saved, {key: net}, never) == [], "a later one disturbed it"
    for key in ("t-2", "t-1", "t-3"):
        saved = apply(saved, firewall.plan(table, saved, {}, key.__eq__))
    assert saved == BARE[table]


@given(st.data())
def test_whatever_was_taken_away_is_put_back(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(["filter", "nat"]))
    nets = {"t-1": network("net1", Port(container_port=80, host_port=8080)), "t-2": network("net2")}
    whole = apply(BARE[table], firewall.plan(table, BARE[table], nets, never))
    broken = {}
    for chain, rules in whole.items():
        kept = data.draw(st.lists(st.sampled_from(rules), unique=True) if rules else st.just([]))
        broken[chain] = [rule for rule in rules if rule in kept]
    mended = apply(broken, firewall.plan(table, broken, nets, never))
    for chain, rules in whole.items():
        ours = [rule for rule in rules if nat.PREFIX in f"{chain} {rule}"]
        assert set(ours) <= set(mended[chain])
    assert bool(firewall.missing(table, broken, nets)) == any(
        rule not in broken[chain]
        for chain, rules in whole.items()
        for rule in rules
        if nat.PREFIX in f"{chain} {rule}"
    )


def test_only_what_leaves_is_masqueraded() -> None:
    rules = nat.chains(network(), "k")["nat"]["MYDOCKER-k-OUT"][2]
    assert rules[0] == "-s 10.1.0.0/24 ! -o net1 -j MASQUERADE"
    assert nat.chains(network(internal=True), "k")["nat"] == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        ("8080:80/udp", [("", 8080, 80, "udp")]),
        ("1.2.3.4:8080:80", [("1.2.3.4", 8080, 80, "tcp")]),
        ("0.0.0.0:8080:80", [("", 8080, 80, "tcp")]),
        ("1.2.3.4::80", [("1.2.3.4", 0, 80, "tcp")]),
        ("7-8:9-10", [("", 7, 9, "tcp"), ("", 8, 10, "tcp")]),
        ("7-8", [("", 0, 7, "tcp"), ("", 0, 8, "tcp")]),
        ("0:80", [("", 0, 80, "tcp")]),
    ],
)
def test_ports_are_read_as_docker_does(
    text: str, expected: list[tuple[str, int, int, str]]
) -> None:
    found = [(p.host_ip, p.host_port, p.container_port, p.protocol) for p in publish.parse(text)]
    assert found == expected


@given(st.text(alphabet="0123456789:-/.tcpud[] ", max_size=20))
def test_no_text_makes_a_port_out_of_range(text: str) -> None:
    try:
        found = publish.parse(text)
    except Usage:
        return
    assert found
    for port in found:
        assert 1 <= port.container_port <= 65535
        assert 0 <= port.host_port <= 65535


def test_the_hosts_file_keeps_what_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n# mydocker: net1\nold\n# end of net1\nmine\n")
    net = network()
    change(str(path), "net1", block(net, net.endpoints[0]))
    assert path.read_text() == (
        "127.0.0.1 localhost\n# mydocker: net1\n10.1.0.2\tbird cccccccccccc\n# end of net1\nmine\n"
    )
    change(str(path), "net1", "")
    assert path.read_text() == "127.0.0.1 localhost\nmine\n"
    assert add_host("db:1.2.3.4") == "1.2.3.4\tdb"


@given(st.integers(8, 24), st.sets(st.integers(1, 2**32 - 1), min_size=2, max_size=9))
def test_the_parts_of_hosts_do_not_overlap_and_lie_in_the_subnet(
    prefix: int, hosts: set[int]
) -> None:
    subnet = Subnet(0x0A000000, prefix)
    parts = [vxlan.part(subnet, list(hosts), host) for host in hosts]
    for number, one in enumerate(parts):
        assert one.first in subnet
        assert one.last in subnet
        assert not any(one.overlaps(other) for other in parts[:number])


def test_a_record_comes_back_from_json_as_it_was() -> None:
    net = network("net1", Port(container_port=80, host_port=8080))
    assert Network.from_json(net.to_json()) == net
