"""What is refused, in one line and with the host as it was (the fixture looks); damage; many."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.network import subnets
from tests.conftest import CHECKOUT, wait_until
from tests.integration.network.conftest import (
    HOST,
    OUTSIDE,
    NetHost,
    Snapshot,
    names,
    network,
    pid_of,
    sh,
    who,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")

BAD: list[tuple[tuple[str, ...], str]] = [
    (("uplink",), "uplink: an interface of that name is there already"),
    (("lo",), "lo: an interface of that name is there already"),
    (("a-network-of-many-letters",), "the name of an interface has at most 15 bytes"),
    (("-o", "interface=uplink", "net2"), "uplink: an interface of that name is there already"),
    (("-o", "interface=a/b", "net2"), "not a name"),
    (("net1",), "net1: exists already"),
    (("host",), "is the name of a mode"),
    (("none",), "is the name of a mode"),
    (("../net2",), "not a name"),
    (("",), "not a name"),
    (("-x",), "no such option"),
    (("--", "-x"), "not a name"),
    (("net 2",), "not a name"),
    (("--subnet", "192.168.10.0/24", "net2"), "overlaps 192.168.10.0/24 of the network net1"),
    (("--subnet", "192.168.0.0/16", "net2"), "overlaps 192.168.10.0/24 of the network net1"),
    (("--subnet", "192.168.10.64/26", "net2"), "overlaps 192.168.10.0/24 of the network net1"),
    (("--subnet", "198.51.100.128/25", "net2"), "overlaps the host's route to 198.51.100.0/24"),
    (("--subnet", "198.0.0.0/8", "net2"), "overlaps the host's route to 198.51.100.0/24"),
    (("--subnet", "10.0.0.0/31", "net2"), "its prefix is not from /8 to /30"),
    (("--subnet", "0.0.0.0/0", "net2"), "its prefix is not from /8 to /30"),
    (("--subnet", "127.1.0.0/16", "net2"), "127.0.0.0/8 is not for hosts"),
    (("--subnet", "224.1.0.0/16", "net2"), "224.0.0.0/3 is not for hosts"),
    (("--subnet", "10.0.0.255/24", "net2"), "ends in the broadcast address"),
    (("--subnet", "10.0.0", "net2"), "not ADDRESS/PREFIX"),
    (("--subnet", "fd00::/64", "net2"), "is of IPv6: say --ipv6 too"),
    (("--subnet", "1.2.3.4/24; reboot", "net2"), "not ADDRESS/PREFIX"),
    (("--subnet", "10.0.0.0/24", "--gateway", "10.0.1.1", "net2"), "is not in the subnet"),
    (("--subnet", "10.0.0.0/24", "--gateway", "10.0.0.255", "net2"), "the first or the last"),
    (("--subnet", "10.0.0.0/24", "--gateway", "x", "net2"), "not an IPv4 address"),
    (("--subnet", "10.0.0.0/24", "--ip-range", "10.0.1.0/24", "net2"), "is not within the subnet"),
    (("--subnet", "10.0.0.0/24", "--ip-range", "10.0.0.0/23", "net2"), "is not within the subnet"),
    (("--gateway", "10.0.0.1", "net2"), "needs a --subnet"),
    (("--driver", "overlay", "net2"), "overlay: no such driver"),
    (("--peer", "1.2.3.4", "net2"), "only a network of the driver vxlan has peers"),
    (("-o", "mtu=60", "net2"), "not a number from 68 to 65535"),
    (("-o", "mtu=big", "net2"), "not a number from 68 to 65535"),
    (("-o", "mtu", "net2"), "not NAME=VALUE"),
    ((), "too few arguments"),
    (("net2", "net3"), "one argument too many"),
]


@pytest.fixture
def net1(docker: Mydocker) -> str:
    docker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")
    return "net1"


def test_a_network_that_cannot_be_is_refused_and_nothing_is_made(
    docker: Mydocker, net1: str
) -> None:
    before = Snapshot()
    for words, why in BAD:
        line = docker.fails(125, "network", "create", *words)
        assert why in line, f"{words}: {line}"
    assert Snapshot().differs(before) == []
    assert names(docker) == [net1]


def test_an_interface_that_was_there_is_never_removed(docker: Mydocker, net1: str) -> None:
    """Somebody else's bridge under our network's name: neither used nor removed."""
    sh("ip link del net1; ip link add net1 type bridge; ip link set net1 up")
    line = docker.fails(125, "run", "--rm", "-net", net1, "true")
    assert "an interface of that name is there already, and it is not net1's" in line
    docker.ok("network", "rm", net1)
    assert "net1" in sh("ip -o link show net1")
    sh("ip link del net1")


def test_a_network_in_use_is_not_removed(docker: Mydocker, net1: str) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "top")
    line = docker.fails(1, "network", "rm", net1)
    assert line == "mydocker: network: net1: is in use by bird"
    docker.ok("network", "disconnect", net1, "bird")
    docker.ok("network", "rm", net1)
    assert docker.fails(1, "network", "rm", net1) == "mydocker: network: net1: no such network"


def test_an_address_that_cannot_be_had_is_refused(docker: Mydocker, net1: str) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "top")
    for address, why in (
        ("192.168.10.2", "is taken by bird"),
        ("192.168.10.1", "is the gateway's"),
        ("192.168.10.0", "is the network's own address"),
        ("192.168.10.255", "is the broadcast address"),
        ("10.1.1.1", "is not in the subnet 192.168.10.0/24"),
        ("192.168.10", "not an IPv4 address"),
    ):
        line = docker.fails(125, "run", "--rm", "-net", net1, "--ip", address, "true")
        assert why in line
    for words, why in (
        (("-net", "nonesuch"), "nonesuch: no such network"),
        (("-net", "../net1"), "no such network"),
        (("--ip", "192.168.10.9"), "means nothing with --network none"),
        (("-net", "host", "--network-alias", "x"), "means nothing with --network host"),
        (("-net", net1, "--mac-address", "01:00:00:00:00:01"), "not a MAC of one station"),
        (("-net", net1, "--mac-address", "x"), "not a MAC of one station"),
    ):
        assert why in docker.fails(125, "run", "--rm", *words, "true")
    (member,) = network(docker, net1)["Containers"].values()
    assert member["Name"] == "bird"
    assert docker.ok("ps", "-aq").split() == docker.ok("ps", "-q").split()


def test_a_free_subnet_is_found_between_those_that_are_taken(docker: Mydocker) -> None:
    sh("ip route add 10.77.0.0/24 via 198.51.100.2; ip addr add 10.77.1.7/24 dev uplink")
    docker.ok("network", "create", "--subnet", "10.77.2.128/25", "net1")
    docker.ok("network", "create", "net2")
    assert network(docker, "net2")["IPAM"]["Config"][0] == {
        "Subnet": "10.77.3.0/24",
        "Gateway": "10.77.3.1",
    }
    sh("ip route del 10.77.0.0/24; ip addr del 10.77.1.7/24 dev uplink")


def test_ls_and_prune(docker: Mydocker, net1: str) -> None:
    docker.ok("network", "create", "--label", "a=b", "net2")
    docker.ok("network", "create", "--label", "a", "net3")
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "top")
    docker.ok("create", "--name", "egg", "-net", "net2", "true")
    listed = docker.ok("network", "ls").splitlines()
    assert listed[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE", "SUBNET"]
    assert [line.split()[-4] for line in listed[1:4]] == ["net1", "net2", "net3"]
    assert docker.ok("network", "list", "-q", "-f", "label=a=b") == (
        network(docker, "net2")["Id"][:12] + "\n"
    )
    assert len(docker.ok("network", "ls", "-q", "--filter", "label=a").split()) == 2
    told = docker.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}", "-f", "driver=bridge")
    assert told == "net1 bridge\nnet2 bridge\nnet3 bridge\n"
    told = docker.ok(
        "network", "inspect", "-f", "{{.Name}} {{(index .IPAM.Config 0).Subnet}}", net1
    )
    assert told == "net1 192.168.10.0/24\n"
    assert docker.ok("inspect", "--format", "{{.Driver}}", net1) == "bridge\n"
    assert docker.ok("network", "prune", "-f") == "Deleted Networks:\nnet3\n"
    assert names(docker) == ["net1", "net2"] or names(docker) == ["net2", "net1"]
    identity = network(docker, "net2")["Id"]
    docker.ok("rm", "egg")
    docker.ok("network", "remove", identity[:6])


def test_a_damaged_record_is_told_and_moved_aside(docker: Mydocker, net1: str) -> None:
    path = docker.root / "networks/net1.json"
    good = path.read_text()
    for text in (
        "",
        "[]",
        "{}",
        good[:100],
        good.replace('"192.168.10.0/24"', "7"),
        good.replace("192.168.10.1", "192.168.300.1"),
        good.replace('"name": "net1"', '"name": "net9"'),
        good.replace('"endpoints": []', '"endpoints": [{"container": 3, "address": "1.2.3.4"}]'),
        "[" * 100_000,
    ):
        path.write_text(text)
        line = docker.fails(125, "run", "--rm", "-net", net1, "true")
        assert line.startswith("mydocker: network record: ")
        assert "does not describe a network" in line
    told = docker.run("system", "check").stdout
    assert "network record: " in told
    docker.run("system", "check", "--repair")
    assert not path.exists()
    assert list((docker.root / "damaged").glob("network-net1-*"))
    assert "MYDOCKER" not in sh("iptables-save")
    sh("ip link del net1")  # whose it was, nothing tells any more


def test_flushed_rules_come_back_at_the_next_run_and_it_is_told(
    docker: Mydocker, net1: str, net_host: NetHost, serve: Callable[..., str]
) -> None:
    serve("web", "-p", "8080:80")
    for flush in ("iptables -F; iptables -t nat -F", "iptables -D FORWARD -j MYDOCKER-FORWARD"):
        sh(flush)
        assert "rules: of net1" in docker.run("system", "check").stdout
        done = docker.run("run", "--rm", "-net", net1, "true")
        assert done.returncode == 0
        assert re.fullmatch(
            r"mydocker: network net1: somebody has removed rules of .*FORWARD.*: put back\n",
            done.stderr,
        )
        assert docker.run("run", "--rm", "-net", net1, "true").stderr == ""
        assert net_host.outside.get(HOST, 8080) == f"{OUTSIDE} web"


def test_reload_puts_everything_in_place_again(
    docker: Mydocker, net1: str, serve: Callable[..., str]
) -> None:
    serve("web", "-p", "8080:80")
    sh("iptables -t nat -F; ip addr flush dev net1; ip link set net1 down")
    assert who("127.0.0.1", 8080, 0.5) == ""
    done = docker.run("network", "reload")
    assert done.returncode == 0
    assert "somebody has removed rules" in done.stderr
    assert who("127.0.0.1", 8080) == "192.168.10.1 web"
    assert docker.ok("network", "reload", net1) == ""


def test_other_people_s_rules_stay_where_they_are(docker: Mydocker, net_host: NetHost) -> None:
    own = (
        "iptables -A FORWARD -s 10.9.9.9/32 -j DROP; iptables -t nat -A POSTROUTING -s 10.8.8.8/32 "
        "-j MASQUERADE; iptables -N DOCKER-USER; iptables -I FORWARD -j DOCKER-USER"
    )
    sh(own)
    before = sh("iptables-save | grep ^-A")
    docker.ok("network", "create", "net1")
    docker.ok("run", "--rm", "-net", "net1", "-p", "8080:80", "true")
    during = sh("iptables-save | grep ^-A")
    assert [line for line in during.splitlines() if "MYDOCKER" not in line] == before.splitlines()
    docker.ok("network", "rm", "net1")
    assert sh("iptables-save | grep ^-A") == before
    sh("iptables -F; iptables -X; iptables -t nat -F")


def test_a_bridge_comes_back_after_a_reboot(docker: Mydocker, net1: str) -> None:
    """A reboot leaves the record, with endpoints of another boot, and nothing in the kernel."""
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "-p", "8080:80", "top")
    path = docker.root / "networks/net1.json"
    record = json.loads(path.read_text())
    docker.ok("rm", "-f", "bird")
    record["endpoints"][0]["bootId"] = "another"
    path.write_text(json.dumps(record))
    sh("ip link del net1")
    for table in ("filter", "nat"):
        sh(f"iptables -t {table} -F; iptables -t {table} -X")
    assert network(docker, net1)["Containers"] == {}
    done = docker.run("run", "--rm", "-net", net1, "ip", "addr")
    assert (done.returncode, done.stderr) == (0, "")
    assert "192.168.10.2/24" in done.stdout


def test_a_container_whose_monitor_is_killed_leaves_the_network(
    docker: Mydocker, net1: str, serve: Callable[..., str]
) -> None:
    serve("bird", "-p", "8080:80")
    (record,) = json.loads(docker.ok("inspect", "bird"))
    sh(f"kill -9 {record['monitorPid']}")
    wait_until(lambda: not Path(f"/proc/{record['pid']}").exists())
    assert "192.168.10.2 in net1, of bird, which is gone" in docker.run("system", "check").stdout
    assert network(docker, net1)["Containers"] == {}
    docker.ok("run", "-d", "--name", "heir", "-net", net1, "-p", "8080:80", "top")
    assert "192.168.10.2/24" in sh(f"nsenter -n -t {pid_of(docker, 'heir')} ip addr")
    rules = sh("iptables-save | grep DNAT.*to-dest")
    assert len(rules.splitlines()) == 1
    docker.ok("rm", "bird")
    docker.ok("system", "check")


def test_two_state_roots_share_a_host_and_do_not_touch_each_other(
    docker: Mydocker, net1: str, tmp_path: Path, net_host: NetHost, serve: Callable[..., str]
) -> None:
    serve("web", "-p", "8080:80")
    other = {"MYDOCKER_ROOT": str(tmp_path / "other")}
    docker.ok("import", str(CHECKOUT / "build/busybox.tar"), "busybox", **other)
    assert "overlaps the host's route" in docker.fails(
        125, "network", "create", "--subnet", "192.168.10.0/24", "net2", **other
    )
    docker.ok("network", "create", "net2", **other)
    docker.ok("network", "create", "net3", **other)
    line = docker.fails(125, "run", "--rm", "-net", "net2", "-p", "8080:80", "true", **other)
    assert "8080/tcp: is in use by another program" in line
    docker.ok("run", "--rm", "-net", "net2", "-p", "8081:80", "true", **other)
    docker.ok("network", "rm", "net2", "net3", **other)
    docker.ok("system", "check", **other)
    assert net_host.outside.get(HOST, 8080) == f"{OUTSIDE} web"
    docker.ok("system", "check")
    if not (docker.root / "ip_forward.json").exists():
        pytest.fail("the first root turned forwarding on, and did not write it down")


def test_an_iptables_that_fails_is_told_and_undone(docker: Mydocker, tmp_path: Path) -> None:
    for name, body in (("save", "exec iptables-save"), ("restore", "echo oh no >&2; exit 1")):
        program = tmp_path / f"broken-{name}"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin",
        "MYDOCKER_IPTABLES": "broken",
    }
    line = docker.fails(125, "network", "create", "net1", **environment)
    assert line.startswith("mydocker: iptables: restore: oh no")
    line = docker.fails(125, "network", "create", "net1", MYDOCKER_IPTABLES="no-such")
    assert line.startswith("mydocker: no-such-save: is not installed")
    docker.run("system", "check", "--repair")
    assert names(docker) == []


def test_a_graph_names_everything_on_the_way(docker: Mydocker, net1: str) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "-p", "8080:80", "top")
    (member,) = network(docker, net1)["Containers"].values()
    for kind in ("--graph", "--graph=text", "--graph=mermaid"):
        told = docker.ok("network", "inspect", kind, net1)
        for part in ("192.168.10.1/24", member["HostInterface"], "bird", "192.168.10.2"):
            assert part in told
        assert "0.0.0.0:8080->80/tcp" in told
    sh(f"ip link del {member['HostInterface']}")
    assert "(no cable)" in docker.ok("network", "inspect", "--graph", net1)


def test_the_pool_is_not_where_docker_and_libvirt_have_theirs() -> None:
    assert subnets.POOL.startswith("10.77.")
