"""Published ports, from wherever somebody can ask for them."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until
from tests.integration.network.conftest import (
    HOST,
    OUTSIDE,
    SECOND,
    NetHost,
    Place,
    inside,
    network,
    pid_of,
    sh,
    who,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")


@pytest.fixture(autouse=True)
def net1(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")


@pytest.mark.v2
def test_a_port_is_reached_from_everywhere_and_the_client_s_address_is_kept(
    docker: Mydocker, net_host: NetHost, serve: Callable[..., str]
) -> None:
    """One server, and everybody who may ask; each answer says who the server saw."""
    serve("web", "-p", "8080:80")
    assert net_host.outside.get(HOST, 8080) == f"{OUTSIDE} web"
    assert net_host.outside.get(SECOND, 8080) == f"{OUTSIDE} web"
    assert who("127.0.0.1", 8080) == "192.168.10.1 web"
    assert who("127.8.9.1", 8080) == "192.168.10.1 web"
    assert who(HOST, 8080) == f"{HOST} web"
    assert who("192.168.10.1", 8080) == "192.168.10.1 web"
    docker.ok("network", "create", "--subnet", "192.168.20.1/24", "net2")
    for net, seen in (("net1", "192.168.10.1"), ("net2", "192.168.10.1")):
        told = inside(docker, net, f"timeout 3 wget -qO- {HOST}:8080/cgi-bin/who").strip()
        assert told == f"{seen} web"
    (record,) = json.loads(docker.ok("inspect", "web"))
    enter = (
        f"nsenter -n -t {record['pid']} busybox timeout 3 busybox wget -qO- {HOST}:8080/cgi-bin/who"
    )
    assert sh(enter).strip() == "192.168.10.1 web"


def test_only_the_address_that_was_asked_for_is_opened(
    docker: Mydocker, net_host: NetHost, serve: Callable[..., str]
) -> None:
    serve("web", "-p", f"{SECOND}:8080:80", "-p", "127.0.0.1:8081:80")
    assert net_host.outside.get(SECOND, 8080) == f"{OUTSIDE} web"
    assert net_host.outside.get(HOST, 8080, 0.5) == ""
    assert who("127.0.0.1", 8080, 0.5) == ""
    assert who("127.0.0.1", 8081).endswith(" web")
    assert who(HOST, 8081, 0.5) == ""
    assert net_host.outside.get(HOST, 8081, 0.5) == ""
    # A neighbour may put any address on the wire, also the host's own 127.0.0.1 (CVE-2025-54388).
    wire = (
        "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo;"
        f"ip route add 127.0.0.1 via {HOST} dev eth0 src {OUTSIDE}"
    )
    net_host.outside.sh(wire)
    assert net_host.outside.get("127.0.0.1", 8081, 0.5) == ""


def test_udp_is_published_beside_tcp(docker: Mydocker, net_host: NetHost) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "-p", "5353:53/udp", "top")
    with Place(f"/proc/{pid_of(docker, 'bird')}/ns/net"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with net_host.outside:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server, client:
        server.bind(("0.0.0.0", 53))
        for end in (server, client):
            end.settimeout(5)
        client.sendto(b"hello", (HOST, 5353))
        told, (seen, port) = server.recvfrom(100)
        assert (told, seen) == (b"hello", OUTSIDE)
        server.sendto(b"welcome", (seen, port))
        assert client.recvfrom(100) == (b"welcome", (HOST, 5353))
    assert docker.ok("port", "bird") == "53/udp -> 0.0.0.0:5353\n"


def test_every_form_of_p(docker: Mydocker) -> None:
    forms = ("7001:1", f"{HOST}:7002:2", "7003-7004:3-4", "7005:5/udp", f"{HOST}::6", "7", "0:8")
    flags = [word for form in forms for word in ("-p", form)]
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", *flags, "-p7009-7010:9/tcp", "top")
    told = docker.ok("port", "bird").splitlines()
    for line in (
        "1/tcp -> 0.0.0.0:7001",
        f"2/tcp -> {HOST}:7002",
        "3/tcp -> 0.0.0.0:7003",
        "4/tcp -> 0.0.0.0:7004",
        "5/udp -> 0.0.0.0:7005",
        "9/tcp -> 0.0.0.0:7009",
    ):
        assert line in told
    free = [line for line in told if line[0] in "678"]
    assert all(re.fullmatch(r"\d/tcp -> [\d.]+:\d{4,5}", line) for line in free), free
    assert len(free) == 3
    assert docker.ok("port", "bird", "2") == f"{HOST}:7002\n"
    assert docker.ok("port", "bird", "5/udp") == "0.0.0.0:7005\n"
    assert docker.fails(1, "port", "bird", "5") == "mydocker: port: 5: bird does not publish it"


def test_capital_p_publishes_what_the_image_exposes(docker: Mydocker) -> None:
    docker.ok("run", "--name", "seed", "true")
    docker.ok("commit", "-c", "EXPOSE 80", "-c", "EXPOSE 53/udp", "seed", "exposing")
    docker.ok(
        "run", "-d", "--name", "bird", "-net", "net1", "-P", "-p", "7001:80", "exposing", "top"
    )
    told = docker.ok("port", "bird")
    assert "80/tcp -> 0.0.0.0:7001\n" in told
    assert re.search(r"53/udp -> 0.0.0.0:\d+\n", told)
    assert len(told.splitlines()) == 2


def test_ps_and_inspect_tell_where_a_container_is_reached(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "-p", "8080:80", "top")
    told = docker.ok("ps", "--format", "{{.Ports}} {{.Networks}} {{.Mounts}}")
    assert told == "0.0.0.0:8080->80/tcp net1 \n"
    template = (
        "{{.NetworkSettings.IPAddress}} {{.HostConfig.NetworkMode}} "
        "{{.NetworkSettings.Networks.net1.MacAddress}} {{json .NetworkSettings.Ports}}"
    )
    ports = '{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]}'
    expected = f"192.168.10.2 net1 02:42:c0:a8:0a:02 {ports}\n"
    assert docker.ok("inspect", "--format", template, "bird") == expected


def test_a_port_of_another_container_is_refused_by_naming_it(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "-p", "8080:80", "top")
    for publish in ("8080:81", f"{HOST}:8080:81", "127.0.0.1:8080:1"):
        line = docker.fails(125, "run", "--rm", "-net", "net1", "-p", publish, "true")
        assert "8080/tcp: is in use by the container bird" in line
    docker.ok("run", "--rm", "-net", "net1", "-p", "8080:80/udp", "true")
    docker.ok("rm", "-f", "bird")
    docker.ok("run", "--rm", "-net", "net1", "-p", "8080:80", "true")


def test_a_port_of_a_program_of_the_host_s_is_refused_by_naming_it(
    docker: Mydocker, net_host: NetHost
) -> None:
    with net_host.place.listen() as server:
        port = server.getsockname()[1]
        line = docker.fails(125, "run", "--rm", "-net", "net1", "-p", f"{port}:80", "true")
        name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
        told = f"mydocker: port: 0.0.0.0:{port}/tcp: is in use by process {os.getpid()}, {name}"
        assert line == told
    line = docker.fails(125, "run", "--rm", "-net", "net1", "-p", "192.0.2.9:80:80", "true")
    assert line == "mydocker: port: 192.0.2.9:80/tcp: is not an address of this host"


def test_another_program_cannot_take_a_published_port(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "-p", "8080:80", "top")
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with pytest.raises(OSError, match="in use"), server:
        server.bind(("0.0.0.0", 8080))


def test_lingering_connections_of_a_server_that_ended_are_no_hindrance(
    docker: Mydocker, net_host: NetHost
) -> None:
    with net_host.place.listen() as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the first to close keeps the port in TIME_WAIT
        client.close()
    wait_until(lambda: "TIME-WAIT" in sh(f"ss -tan sport = :{port}"))
    docker.ok("run", "--rm", "-net", "net1", "-p", f"{port}:80", "true")


def test_a_range_of_the_host_s_gives_the_first_that_is_free(docker: Mydocker) -> None:
    for name in ("one", "two"):
        docker.ok("run", "-d", "--name", name, "-net", "net1", "-p", "9000-9001:80", "top")
    assert docker.ok("port", "one", "80") == "0.0.0.0:9000\n"
    assert docker.ok("port", "two", "80") == "0.0.0.0:9001\n"
    docker.fails(125, "run", "--rm", "-net", "net1", "-p", "9000-9001:80", "true")


def test_p_without_a_network_means_the_bridge(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "-p", "8080:80", "top")
    assert "bird" in str(network(docker, "bridge")["Containers"])


BAD = [
    ("", "not a port"),
    (":", "not a port"),
    ("80:", "not a port"),
    ("0", "not a port"),
    ("65536", "not a port"),
    ("80:70000", "not a port"),
    ("-1:80", "not a port"),
    ("a:80", "not a port"),
    ("８０:80", "not a port"),
    ("1:2:3:4", "not [IP:]"),
    ("80/sctp", "no protocol"),
    ("/tcp", "not"),
    ("90-80:90-80", "ends before"),
    ("80-82:1-2", "3 ports for 2"),
    ("1.2.3:80:80", "not an IPv4"),
    ("localhost:80:80", "not an IPv4"),
    ("[::1]:80:80", "not [IP:]"),
    ("80:80\n", "not a port"),
]


def test_what_is_no_port_is_refused_in_one_line(docker: Mydocker) -> None:
    for text, why in BAD:
        line = docker.fails(125, "run", "--rm", "-net", "net1", "-p", text, "true")
        assert line.startswith("mydocker: --publish: ")
        assert why in line


def test_a_mode_without_a_network_of_its_own_publishes_nothing(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "top")
    for mode in ("none", "host", "container:bird"):
        line = docker.fails(125, "run", "--rm", "-net", mode, "-p", "80:80", "true")
        assert line.startswith("mydocker: --publish: ")


def test_an_internal_network_publishes_nothing(docker: Mydocker) -> None:
    docker.ok("network", "create", "--internal", "inner")
    line = docker.fails(125, "run", "--rm", "-net", "inner", "-p", "80:80", "true")
    assert line == "mydocker: --publish: inner: is internal: nobody outside can reach it"


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_both_kinds_of_iptables_do(
    docker: Mydocker,
    net_host: NetHost,
    serve: Callable[..., str],
    program: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docker.ok("network", "rm", "net1")
    docker.environment["MYDOCKER_IPTABLES"] = program
    monkeypatch.setenv("MYDOCKER_IPTABLES", program)
    docker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")
    serve("web", "-p", "8080:80")
    assert net_host.outside.get(HOST, 8080) == f"{OUTSIDE} web"
    assert who("127.0.0.1", 8080) == "192.168.10.1 web"
    rules = sh(f"{program}-save")
    done = docker.run("network", "reload", "net1")
    assert (done.returncode, done.stderr) == (0, ""), "rules that are right were not recognised"
    assert sh(f"{program}-save | grep ^-A").splitlines() == [
        line for line in rules.splitlines() if line.startswith("-A")
    ]
    docker.ok("rm", "-f", "web")
    docker.ok("network", "rm", "net1")
    assert "MYDOCKER" not in sh(f"{program}-save")


def test_the_rules_of_a_port_are_one_change(docker: Mydocker) -> None:
    """A run that publishes writes once, and one that does not writes nothing."""
    told = docker.run("run", "--rm", "--explain", "-net", "net1", "-p", "8080:80", "true").stderr
    writes = [line for line in told.splitlines() if "iptables-restore(" in line]
    assert len(writes) == 2  # one to open, one to close
    told = docker.run("run", "--rm", "--explain", "-net", "net1", "true").stderr
    assert "iptables-restore(" not in told


def test_nothing_listens_for_a_published_port(docker: Mydocker) -> None:
    """No proxy: the port is kept by a socket that does not listen, and packets are led past it."""
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "-p", "8080:80", "top")
    assert "8080" not in sh("ss -Htln")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", 8080), 3)  # by the container, where nobody listens
