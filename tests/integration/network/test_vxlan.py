"""One network over two hosts (the book's 6.6): two namespaces, each with a mydocker of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import CHECKOUT
from tests.integration.network.conftest import HOST, OUTSIDE, NetHost, network, pid_of, sh

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")
CREATE = ("network", "create", "--driver", "vxlan", "--subnet", "10.9.0.0/24")


def test_containers_of_two_hosts_are_neighbours(
    docker: Mydocker, net_host: NetHost, tmp_path: Path
) -> None:
    there = {
        "MYDOCKER_ROOT": str(tmp_path / "other"),
        "MYDOCKER_CGROUP_PARENT": f"{docker.cgroup_parent}-there",
    }
    docker.ok(*CREATE, "--peer", OUTSIDE, "wide")
    docker.ok("run", "-d", "--name", "here", "-net", "wide", "top")
    here = network(docker, "wide")
    with net_host.outside:
        docker.ok("import", str(CHECKOUT / "build/busybox.tar"), "busybox", **there)
        docker.ok(*CREATE, "--peer", HOST, "wide", **there)
        told = docker.ok(
            *("run", "--rm", "-net", "wide", "sh", "-c"),
            "ip -o -4 addr show eth0; ip link show eth0; ping -c 2 -W 2 10.9.0.2; ip neigh",
            **there,
        )
        docker.ok("network", "rm", "wide", **there)
        docker.ok("system", "check", **there)
        sh("sysctl -qw net.ipv4.ip_forward=0")
    assert "2 packets received" in told, told
    assert "10.9.0.129/24" in told  # .128 is there the gateway
    assert "mtu 1450" in told
    assert "02:42:0a:09:00:02" in told  # no router in between: its neighbour's own address
    assert here["Vxlan"]["Peers"] == [OUTSIDE]
    assert here["IPAM"]["Config"][0] == {
        "Subnet": "10.9.0.0/24",
        "Gateway": "10.9.0.1",
        "IPRange": "10.9.0.0/25",
    }
    assert OUTSIDE in docker.ok("network", "inspect", "--graph", "wide")
    assert OUTSIDE in docker.ok("network", "inspect", "--graph=mermaid", "wide")
    assert sh(f"nsenter -n -t {pid_of(docker, 'here')} ip route").startswith("default via 10.9.0.1")


def test_what_vxlan_needs_is_said(docker: Mydocker) -> None:
    for words, why in (
        ((*CREATE, "wide"), "needs a --peer"),
        ((*CREATE[:4], "--peer", OUTSIDE, "wide"), "needs a --subnet"),
        ((*CREATE, "--peer", "10.200.0.1", "wide"), "is not in a subnet of this host's"),
        ((*CREATE, "--peer", "x", "wide"), "not an IPv4 address"),
        ((*CREATE, "--peer", OUTSIDE, "-o", "vni=16777216", "wide"), "not a number from 1 to"),
        ((*CREATE[:5], "10.9.0.0/30", "--peer", OUTSIDE, "wide"), "is too small to be split"),
    ):
        assert why in docker.fails(125, *words)


def test_a_vxlan_network_comes_back_after_a_reboot(docker: Mydocker) -> None:
    docker.ok(*CREATE, "--peer", OUTSIDE, "-o", "vni=7", "wide")
    sh("ip link del wide; ip -o link show type vxlan | cut -d: -f2 | xargs -n1 ip link del")
    docker.ok("network", "reload", "wide")
    told = sh("ip -d -o link show type vxlan; bridge fdb show | grep '00:00:00:00:00:00'")
    assert "vxlan id 7 " in told
    assert f"dst {OUTSIDE}" in told
