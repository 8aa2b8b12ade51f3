"""Containers on a bridge (the book's 6.3 to 6.5), seen from inside, outside and by the kernel."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.network.conftest import (
    HOST,
    OUTSIDE,
    NetHost,
    address,
    inside,
    network,
    pid_of,
    sh,
    sysctl,
)
from tests.integration.test_import_budget import COMMANDS, DEAR, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")
CREATE = ("network", "create", "--driver", "bridge", "--subnet", "192.168.10.1/24")


@pytest.fixture
def net1(docker: Mydocker) -> str:
    docker.ok(*CREATE, "net1")
    return "net1"


@pytest.mark.v2
def test_the_address_in_the_subnet_is_the_gateway_s_and_the_bridge_is_called_as_the_network(
    docker: Mydocker, net1: str
) -> None:
    (link,) = json.loads(sh("ip -j -d link show net1"))
    assert link["linkinfo"]["info_kind"] == "bridge"
    assert "UP" in link["flags"]
    (found,) = json.loads(sh("ip -j -4 addr show net1"))
    (own,) = found["addr_info"]
    assert (own["local"], own["prefixlen"], own["broadcast"]) == (
        "192.168.10.1",
        24,
        "192.168.10.255",
    )
    config = network(docker, net1)["IPAM"]["Config"]
    assert config == [{"Subnet": "192.168.10.0/24", "Gateway": "192.168.10.1"}]


def test_a_container_has_its_address_its_mac_and_its_route_before_its_first_instruction(
    docker: Mydocker, net1: str
) -> None:
    told = inside(docker, net1, "ip -o -4 addr show dev eth0; ip -o link show dev eth0; ip route")
    assert "inet 192.168.10.2/24 brd 192.168.10.255" in told
    assert "02:42:c0:a8:0a:02" in told
    assert "LOWER_UP" in told
    assert "default via 192.168.10.1 dev eth0" in told
    assert "192.168.10.0/24 dev eth0" in told


def test_loopback_is_up_and_eth0_is_the_only_other_interface(docker: Mydocker, net1: str) -> None:
    told = inside(docker, net1, "ip -o link; ping -c 1 -W 1 127.0.0.1 >/dev/null && echo answers")
    assert re.findall(r"^\d+: ([^:@]+)", told, re.MULTILINE) == ["lo", "eth0"]
    assert "answers" in told


@pytest.mark.v2
def test_two_containers_the_host_and_the_gateway_reach_each_other(
    docker: Mydocker, net1: str, serve: Callable[..., str]
) -> None:
    first = serve("first")
    assert sh(f"busybox ping -c 1 -W 5 {first}")
    told = inside(docker, net1, f"wget -qO- {first}/cgi-bin/who; ping -qc 1 -W 5 192.168.10.1")
    assert told.split()[:2] == ["192.168.10.3", "first"]


@pytest.mark.v2
def test_outside_sees_the_host_s_address_and_not_the_container_s(
    docker: Mydocker, net1: str, net_host: NetHost
) -> None:
    with net_host.outside.listen() as server:
        port = server.getsockname()[1]
        run = docker.start("run", "--rm", "-net", net1, "nc", OUTSIDE, str(port))
        connection, (client, _) = server.accept()
        connection.sendall(b"from outside\n")
        connection.close()
        assert run.communicate()[0] == "from outside\n"
    assert client == HOST


def test_what_stays_within_the_bridge_is_not_masqueraded(
    docker: Mydocker, net1: str, serve: Callable[..., str]
) -> None:
    first = serve("first")
    assert inside(docker, net1, f"wget -qO- {first}/cgi-bin/who").startswith("192.168.10.3 ")


def test_the_first_network_turns_forwarding_on_and_says_so(docker: Mydocker, net1: str) -> None:
    assert sysctl("net.ipv4.ip_forward") == "1"
    assert "turned on by mydocker at " in network(docker, net1)["IpForward"]


def test_an_internal_network_needs_no_forwarding_and_has_no_way_out(
    docker: Mydocker, net_host: NetHost, serve: Callable[..., str]
) -> None:
    docker.ok("network", "create", "--internal", "net1")
    assert sysctl("net.ipv4.ip_forward") == "0"
    sh("sysctl -qw net.ipv4.ip_forward=1")  # others may have it on: the rules have to hold
    first = serve("first")
    gateway = network(docker, "net1")["IPAM"]["Config"][0]["Gateway"]
    told = inside(docker, "net1", f"wget -qO- {first}/cgi-bin/who; ip route")
    assert "first" in told
    assert "default" not in told
    way = f"ip route add default via {gateway}; ping -qc 1 -W 1 {OUTSIDE}"
    done = docker.run("run", "--rm", "--cap-add", "NET_ADMIN", "-net", "net1", "sh", "-c", way)
    assert "100% packet loss" in done.stdout
    net_host.outside.sh(f"ip route add {first} via {HOST}")
    assert net_host.outside.get(first, 80, 0.5) == ""
    sh("sysctl -qw net.ipv4.ip_forward=0")


def test_bridges_are_isolated_from_each_other_and_from_neighbours_of_the_host(
    docker: Mydocker, net1: str, net_host: NetHost, serve: Callable[..., str]
) -> None:
    first = serve("first")
    docker.ok("network", "create", "net2")
    # 143: the time was over. (wget's own -T crashes in busybox 1.35.)
    told = inside(docker, "net2", f"timeout 1 wget -qO- {first}/cgi-bin/who 2>/dev/null; echo $?")
    assert told == "143\n"
    net_host.outside.sh(f"ip route add {first} via {HOST}")
    assert net_host.outside.get(first, 80, 0.5) == ""


def test_a_container_cannot_reach_the_host_s_own_loopback(
    docker: Mydocker, net1: str, net_host: NetHost, serve: Callable[..., str]
) -> None:
    """Publishing sets route_localnet, after which only a rule stands between (CVE-2020-8558)."""
    serve("first", "-p", "8080:80")
    assert sysctl("net.ipv4.conf.net1.route_localnet") == "1"
    with net_host.place.listen() as server:
        port = server.getsockname()[1]
        way = (
            "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 192.168.10.1;"
            f"echo loopback | timeout 0.5 nc 127.0.0.1 {port};"
            f"echo gateway | timeout 5 nc 192.168.10.1 {port}"
        )
        words = ("run", "--rm", "--privileged", "-net", net1, "sh", "-c", way)
        assert "RTNETLINK" not in docker.run(*words).stderr
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b"gateway\n"


def test_nothing_is_left_when_the_container_and_the_network_are_gone(
    docker: Mydocker, net1: str, net_host: NetHost
) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "-p", "8080:80", "top")
    docker.ok("rm", "-f", "bird")
    assert docker.ok("network", "rm", net1) == "net1\n"
    # the fixture compares links, addresses, routes, rules and sysctls


def test_a_host_may_drop_what_it_forwards_and_the_network_works_all_the_same(
    docker: Mydocker, net1: str, net_host: NetHost, serve: Callable[..., str]
) -> None:
    sh("iptables -P FORWARD DROP")
    serve("first", "-p", "8080:80")
    assert net_host.outside.get(HOST, 8080) == f"{OUTSIDE} first"
    assert inside(docker, net1, f"ping -qc 1 -W 2 {OUTSIDE}")
    sh("iptables -P FORWARD ACCEPT")


def test_the_mtu_is_the_bridge_s_and_both_ends_of_the_cable_s(docker: Mydocker) -> None:
    docker.ok("network", "create", "-o", "mtu=1400", "net1")
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "top")
    assert "mtu 1400" in inside(docker, "net1", "ip link show eth0")
    mtus = {link["ifname"]: link["mtu"] for link in json.loads(sh("ip -j link"))}
    link = next(iter(network(docker, "net1")["Containers"].values()))["HostInterface"]
    assert (mtus["net1"], mtus[link]) == (1400, 1400)


def test_ip_gives_that_address_and_its_mac(docker: Mydocker, net1: str) -> None:
    words = ("run", "--rm", "-net", net1, "--ip", "192.168.10.77", "ip", "addr", "show", "eth0")
    told = docker.ok(*words)
    assert "192.168.10.77/24" in told
    assert "02:42:c0:a8:0a:4d" in told


def test_a_chosen_mac_is_had(docker: Mydocker, net1: str) -> None:
    words = ("run", "--rm", "-net", net1, "--mac-address", "02:00:00:00:00:AA", "ip", "link")
    assert "02:00:00:00:00:aa" in docker.ok(*words)


def test_a_slash_30_has_one_container_and_then_says_so(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "10.1.1.0/30", "tiny")
    docker.ok("run", "-d", "--name", "bird", "-net", "tiny", "top")
    line = docker.fails(125, "run", "--rm", "-net", "tiny", "true")
    assert line == "mydocker: network tiny: 10.1.1.0/30: every address is taken"
    docker.ok("rm", "-f", "bird")
    assert "10.1.1.2/30" in inside(docker, "tiny", "ip addr")


def test_a_slash_8_starts_no_slower_and_keeps_no_large_file(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "10.0.0.0/8", "huge")
    assert "10.0.0.2/8" in inside(docker, "huge", "ip addr")
    assert "10.255.255.254/8" in docker.ok(
        "run", "--rm", "-net", "huge", "--ip", "10.255.255.254", "ip", "addr"
    )
    files = [path.stat().st_size for path in (docker.root / "networks").iterdir()]
    assert max(files) < 4096


def test_an_address_is_released_however_the_container_ends(docker: Mydocker, net1: str) -> None:
    docker.ok("run", "--rm", "-net", net1, "true")
    docker.run("run", "--name", "fails", "-net", net1, "false")
    docker.fails(127, "run", "--rm", "-net", net1, "--image", "busybox", "no-such-command")
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "top")
    assert address(docker, net1, "bird") == "192.168.10.2"
    docker.ok("rm", "-f", "bird")
    assert network(docker, net1)["Containers"] == {}


def test_the_bridge_network_is_made_when_it_is_first_wanted(docker: Mydocker) -> None:
    assert "10.77.0.2/24" in inside(docker, "bridge", "ip addr")
    assert network(docker, "bridge")["Interface"] == "mydocker0"
    docker.ok("network", "rm", "bridge")
    assert "10.77.0.2/24" in inside(docker, "bridge", "ip addr")


def test_the_default_network_can_be_configured(docker: Mydocker) -> None:
    assert "eth0" not in docker.ok("run", "--rm", "ip", "link")
    (docker.root / "config.json").write_text('{"default_network": "bridge"}')
    assert "eth0" in docker.ok("run", "--rm", "ip", "link")
    assert "eth0" not in docker.ok("run", "--rm", "ip", "link", MYDOCKER_DEFAULT_NETWORK="none")
    (docker.root / "config.json").write_text("[]")
    assert "is not a JSON object" in docker.fails(125, "run", "--rm", "true")


def test_host_shows_the_host_s_interfaces_and_files(docker: Mydocker) -> None:
    told = docker.ok("run", "--rm", "-net", "host", "sh", "-c", "ip link; cat /etc/resolv.conf")
    assert "uplink" in told
    assert "nameserver" in told


def test_container_x_shares_another_s_network_and_names(docker: Mydocker, net1: str) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", net1, "top")
    told = docker.ok(
        *("run", "--rm", "-net", "container:bird"),
        *("sh", "-c", "hostname; ip -o -4 addr show eth0; cat /etc/hosts; readlink /proc/1/ns/net"),
    )
    assert "192.168.10.2/24" in told
    assert "192.168.10.2\t" in told
    assert told.split()[0] in sh(f"nsenter -t {pid_of(docker, 'bird')} -u hostname")
    assert sh(f"readlink /proc/{pid_of(docker, 'bird')}/ns/net").strip() in told
    docker.ok("rm", "-f", "bird")


def test_container_x_that_does_not_run_is_refused(docker: Mydocker) -> None:
    docker.ok("run", "--name", "bird", "true")
    line = docker.fails(125, "run", "--rm", "-net", "container:bird", "true")
    assert line == "mydocker: container: bird: is exited: its network is there only while it runs"
    line = docker.fails(125, "run", "--rm", "-net", "container:nobody", "true")
    assert line == "mydocker: container: nobody: no such container"


def test_a_root_of_another_user_namespace_has_a_network_too(docker: Mydocker, net1: str) -> None:
    told = docker.run("run", "--rm", "--userns", "auto", "-net", net1, "sh", "-c", "ip addr; id")
    if "id mapping" in told.stderr or "idmap" in told.stderr:
        pytest.skip("no id mapping on this file system")
    assert "192.168.10.2/24" in told.stdout


def test_explain_tells_each_netlink_request_and_rule(docker: Mydocker) -> None:
    told = docker.run("network", "create", "--subnet", "10.3.0.0/24", "net1", "--explain").stderr
    told += docker.run("run", "--rm", "--explain", "-net", "net1", "-p", "8080:80", "true").stderr
    for text in (
        'RTM_NEWLINK("net1", "type bridge", "address 02:42:0a:03:00:01", "mtu 1500") = 0',
        'RTM_NEWADDR("10.3.0.1/24", "dev net1") = 0',
        '"peer name eth0", "address 02:42:0a:03:00:02"',
        'RTM_NEWADDR("10.3.0.2/24", "dev eth0") = 0',
        'RTM_NEWROUTE("default", "via 10.3.0.1", "dev eth0") = 0',
        "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.3.0.2:80",
        "-s 10.3.0.0/24 ! -o net1 -j MASQUERADE",
        "RTM_DELLINK",
        'write("/proc/sys/net/ipv4/ip_forward", "1")',
    ):
        assert text in told, told
    sections = {line[9:31].strip() for line in told.splitlines() if "RTM_" in line}
    assert sections == {"6.4 bridge", "6.5 endpoint"}


def test_a_run_on_a_bridge_imports_nothing_that_is_dear(docker: Mydocker, net1: str) -> None:
    *_, loaded = run(docker, "-net", net1, "-p", "8080:80", "true")
    assert "mydocker.network.nat" in loaded
    dear = {*DEAR, "pyroute2", "ipaddress"}
    assert loaded & dear == set()
    assert {name for name in loaded if name.startswith("mydocker.cli")} == COMMANDS
