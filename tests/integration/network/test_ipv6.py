"""`network create --ipv6`: second addresses, their routes, rules and names."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.integration.network.conftest import (
    HAS_IPV6,
    OUTSIDE,
    NetHost,
    inside,
    network,
    pid_of,
    sh,
    sysctl,
)

if TYPE_CHECKING:
    from tests.conftest import Mydocker

pytestmark = [
    pytest.mark.usefixtures("net_host"),
    pytest.mark.skipif(not HAS_IPV6, reason="a kernel without IPv6"),
]
CREATE = ("network", "create", "--ipv6", "--subnet", "192.168.10.1/24")
FAR, HOST6 = "2001:db8::2", "2001:db8::1"  # 2001:db8::/32 is for documentation


@pytest.fixture
def dual(docker: Mydocker, net_host: NetHost) -> Mydocker:
    """A network of both kinds, and an outside host that has both kinds of addresses."""
    sh(f"ip -6 address add {HOST6}/64 dev uplink nodad")
    net_host.outside.sh(f"ip -6 address add {FAR}/64 dev eth0 nodad")
    net_host.before.addresses = sh("ip -o address | grep -v ' fe80:' | sed 's/^[0-9]*: //'")
    net_host.before.routes6 = sh("ip -6 route show | grep -v ^fe80: || true")
    docker.ok(*CREATE, "--subnet", "fd00:6::/64", "net1")
    return docker


@pytest.mark.v2
def test_a_container_has_the_same_place_in_both_subnets_and_a_route_of_each_kind(
    dual: Mydocker,
) -> None:
    dual.ok("run", "-d", "--name", "bird", "-net", "net1", "top")
    words = ("-net", "net1", "--ip", "192.168.10.77")
    told = dual.ok(
        "run", "--rm", *words, "sh", "-c", "ip addr show eth0; ip -6 route; cat /etc/hosts"
    )
    assert "inet 192.168.10.77/24" in told
    assert "inet6 fd00:6::4d/64 scope global" in told
    assert "default via fd00:6::1 dev eth0" in told
    assert "\nfd00:6::2\tbird " in told
    (link,) = json.loads(sh("ip -j -6 addr show net1"))
    own = [(a["local"], a["prefixlen"]) for a in link["addr_info"] if a["scope"] == "global"]
    assert own == [("fd00:6::1", 64)]
    found = network(dual, "net1")
    assert found["EnableIPv6"] is True
    assert found["IPAM"]["Config"][1] == {"Subnet": "fd00:6::/64", "Gateway": "fd00:6::1"}
    assert [c["IPv6Address"] for c in found["Containers"].values()] == ["fd00:6::2/64"]
    assert "fd00:6::2" in dual.ok("network", "inspect", "--graph", "net1")
    format = "{{.NetworkSettings.Networks.net1.GlobalIPv6Address}}"
    assert dual.ok("inspect", "--format", format, "bird") == "fd00:6::2\n"
    assert "1 packets received" in inside(dual, "net1", "ping -6 -c 1 -W 2 bird")


def test_outside_is_reached_as_the_host_and_does_not_reach_in(
    dual: Mydocker, net_host: NetHost
) -> None:
    with net_host.outside:
        server = socket.create_server((FAR, 0), family=socket.AF_INET6)
    with server:
        server.settimeout(20)
        run = dual.start("run", "--rm", "-net", "net1", "nc", FAR, str(server.getsockname()[1]))
        connection, client = server.accept()
        connection.close()
        run.communicate()
    assert client[0] == HOST6
    dual.ok("run", "-d", "--name", "bird", "-net", "net1", "top")
    net_host.outside.sh(f"ip -6 route add fd00:6::/64 via {HOST6}")
    told = net_host.outside.sh("busybox ping -6 -c 1 -W 1 fd00:6::2 || true")
    assert "100% packet loss" in told


def test_bridges_are_isolated_and_an_internal_network_has_no_way_out(dual: Mydocker) -> None:
    dual.ok("run", "-d", "--name", "bird", "-net", "net1", "top")
    dual.ok("network", "create", "--ipv6", "--internal", "--subnet", "fd00:7::/64", "net2")
    lost = "100% packet loss"
    dual.ok("network", "create", "--ipv6", "--subnet", "fd00:8::/64", "net3")
    assert lost in inside(dual, "net3", "ping -6 -c 1 -W 1 fd00:6::2 || true")
    way = f"ip -6 route add default via fd00:7::1; ping -6 -c 1 -W 1 {FAR} || true"
    assert lost in dual.ok("run", "--rm", "--cap-add", "NET_ADMIN", "-net", "net2", "sh", "-c", way)


def test_forwarding_is_recorded_and_nobody_believes_a_router_on_the_bridge(dual: Mydocker) -> None:
    assert sysctl("net.ipv6.conf.all.forwarding") == "1"
    assert "turned on by mydocker at " in network(dual, "net1")["Ip6Forward"]
    assert sysctl("net.ipv6.conf.net1.accept_ra") == "0"
    assert inside(dual, "net1", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra") == "0\n"


def test_where_a_network_has_no_ipv6_its_containers_have_none(docker: Mydocker) -> None:
    docker.ok("network", "create", "net1")
    assert inside(docker, "net1", "ip -6 addr show eth0") == ""
    assert sysctl("net.ipv6.conf.all.forwarding") == "0"


def test_flushed_rules_come_back(dual: Mydocker) -> None:
    before = sh("ip6tables-save | grep MYDOCKER")
    sh("ip6tables -F; ip6tables -t nat -F")
    assert "not as they should be" in dual.run("system", "check").stdout
    assert "put back" in dual.run("run", "--rm", "-net", "net1", "true").stderr
    assert sh("ip6tables-save | grep MYDOCKER") == before
    assert dual.run("system", "check").returncode == 0


def test_the_gateway_typed_as_a_host_s_address_is_nobody_else_s(docker: Mydocker) -> None:
    docker.ok(*CREATE, "--subnet", "fd00:6::2/64", "net1")
    assert "fd00:6::3/64" in inside(docker, "net1", "ip addr show eth0")
    pid = pid_of(docker, docker.ok("run", "-d", "-net", "net1", "top").strip())
    assert "default via fd00:6::2" in sh(f"nsenter -n -t {pid} ip -6 route")


def test_what_cannot_be_is_refused_in_one_line(docker: Mydocker) -> None:
    docker.ok(*CREATE, "--subnet", "fd00:6::/64", "net1")
    vxlan = ("-d", "vxlan", "--peer", OUTSIDE, "--subnet", "10.9.0.0/24")
    sh("ip -6 route add fd00:9::/48 dev uplink")
    for words, why in (
        (("--ipv6",), "needs a --subnet of IPv6"),
        (("--subnet", "fd00:1::/64"), "say --ipv6 too"),
        (("--ipv6", "--subnet", "fd00:6::/32"), "overlaps fd00:6::/64 of the network net1"),
        (("--ipv6", "--subnet", "fd00:9:0:7::/64"), "overlaps the host's route to fd00:9::/48"),
        (
            ("--ipv6", "--subnet", "10.0.0.0/8", "--subnet", "fd00:1::/120"),
            "its prefix is not from /16 to /104",
        ),
        (("--ipv6", "--subnet", "fd00:1::/64", "-o", "mtu=1279"), "IPv6 needs 1280 at least"),
        (("--ipv6", "--subnet", "fe80::/64"), "is not for hosts"),
        (("--ipv6", "--subnet", "fd00::1::/64"), "not ADDRESS/PREFIX"),
        (("--ipv6", "--subnet", "fd00:1::/64", "--subnet", "fd00:2::/64"), "one of each kind"),
        ((*vxlan, "--ipv6", "--subnet", "fd00:1::/64"), "has IPv4 only"),
    ):
        assert why in docker.fails(125, "network", "create", *words, "net2"), words
    sh("ip -6 route del fd00:9::/48 dev uplink")


def test_a_running_container_is_brought_into_such_a_network(dual: Mydocker) -> None:
    dual.ok("run", "-d", "--name", "bird", "-net", "net1", "top")
    dual.ok("run", "-d", "--name", "late", "top")
    dual.ok("network", "connect", "net1", "late")
    enter = f"nsenter -n -t {pid_of(dual, 'late')} "
    assert "fd00:6::3/64" in sh(f"{enter} ip addr")
    assert "default via fd00:6::1" in sh(f"{enter} ip -6 route")
    assert "1 packets received" in sh(f"{enter} busybox ping -6 -c 1 -W 2 fd00:6::2")
    dual.ok("network", "disconnect", "net1", "late")
    assert "fd00:6::3" not in sh(f"{enter} ip addr")
