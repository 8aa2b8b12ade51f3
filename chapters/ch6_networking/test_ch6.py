"""Chapter 6: what the kernel shows of a container's network. The host has a network of its own."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from lab.course.host import Done, Host, Wrong, until

step = pytest.mark.step
pytestmark = pytest.mark.network

OUTSIDE = "198.51.100.1"
HOST = "198.51.100.2"


def network(host: Host, subnet: str = "192.168.10.1/24", *flags: str) -> str:
    """A new network with the book's subnet."""
    name = f"net{secrets.token_hex(3)}"
    done = host.run("network", "create", "--driver", "bridge", "--subnet", subnet, *flags, name)
    if done.code:
        done.refuse()
    return name


def bird(host: Host, net: str, *flags: str, command: str = "sleep 1000; :") -> str:
    """A container in the background, in that network; its name."""
    name = f"bird{secrets.token_hex(3)}"
    done = host.run("run", "-d", "--net", net, "--name", name, *flags, "sh", "-c", command)
    if done.code:
        done.refuse()
    return name


def links(host: Host) -> list[dict[str, Any]]:
    """The host's interfaces with their addresses."""
    found: list[dict[str, Any]] = json.loads(host.shell("ip -d -j addr"))
    return found


def inside(host: Host, name: str, command: str) -> str:
    """What a tool of the host's says in a container's network namespace."""
    (path,) = [
        p
        for p in host.root.glob("containers/*/container.json")
        if json.loads(p.read_text())["name"] == name
    ]
    pid = json.loads(path.read_text())["pid"]
    return host.shell(f"nsenter -t {pid} -n {command}")


def address(host: Host, name: str) -> str:
    """The address of a container's eth0, as the kernel has it."""
    for link in json.loads(inside(host, name, "ip -j addr")):
        if link["ifname"] == "eth0":
            return next((a["local"] for a in link["addr_info"] if a["family"] == "inet"), "")
    return ""


def outside(host: Host) -> None:
    """Another host, on a wire of its own; it knows no way to the containers."""
    host.shell(
        "rm -f /run/netns/out; ip netns add out;"
        "ip link add wire type veth peer name eth0 netns out;"
        f"ip addr add {HOST}/24 dev wire; ip link set wire up;"
        f"ip -n out addr add {OUTSIDE}/24 dev eth0; ip -n out link set eth0 up;"
        "ip -n out link set lo up"
    )


def asks(host: Host, where: str, target: str, port: int) -> str:
    """What somebody gets who connects: `where` is a prefix such as `nsenter --net=…`."""
    return host.shell(f"{where} busybox nc -w 2 {target} {port} </dev/null 2>&1").strip()


SERVE = "while :; do echo {word} | nc -l -p {port}; done"


# 6.1 IPAM


@step("6.1")
def test_every_address_once_and_none_that_is_nobodys(host: Host) -> None:
    net = network(host, "192.168.10.1/29")
    names = [bird(host, net) for _ in range(5)]
    got = [address(host, name) for name in names]
    see = f"mydocker network create --subnet 192.168.10.1/29 {net}; mydocker run -net {net} ip addr"
    for one in got:
        if one.rpartition(".")[2] in ("0", "1", "7"):
            raise Wrong(
                "not-an-address",
                expected="192.168.10.2 to .6",
                got=" ".join(got),
                see=see,
                address=one,
            )
    if len(set(got)) < len(got):
        raise Wrong("given-twice", expected="five addresses", got=" ".join(got), see=see)
    if sorted(got) != [f"192.168.10.{n}" for n in range(2, 7)]:
        raise Wrong("not-lowest", expected="192.168.10.2 to .6", got=" ".join(got), see=see)
    full = host.run("run", "--rm", "--net", net, "ip", "addr")
    if full.code == 0:
        raise Wrong(
            "full-unsaid", expected="an error: every address is taken", got=full.out, see=see
        )
    if "is a bug" in full.err or "not written" in full.err:
        full.refuse()
    host.ok("rm", "-f", names[1])
    again = bird(host, net)
    if address(host, again) != got[1]:
        raise Wrong(
            "not-lowest",
            expected=f"{got[1]}, which is free again",
            got=address(host, again),
            see=see,
        )


@step("6.1")
def test_an_address_that_was_asked_for(host: Host) -> None:
    net = network(host)
    bird(host, net, "--ip", "192.168.10.77")
    for taken in ("192.168.10.77", "192.168.10.1", "192.168.10.255", "10.0.0.1"):
        done = host.run("run", "--rm", "--net", net, "--ip", taken, "true")
        if done.code == 0:
            raise Wrong("taken-ignored", expected=f"{taken} is refused", got="exit 0", see=done.see)
        if "is a bug" in done.err or "not written" in done.err:
            done.refuse()


# 6.2 The bridge


@step("6.2")
def test_the_bridge_is_up_and_has_the_gateways_address(host: Host) -> None:
    net = network(host)
    see = f"mydocker network create --subnet 192.168.10.1/24 {net}; ip -d addr"
    bridges = [
        link for link in links(host) if link.get("linkinfo", {}).get("info_kind") == "bridge"
    ]
    if not bridges:
        raise Wrong(
            "no-bridge",
            expected="a bridge",
            got=" ".join(link["ifname"] for link in links(host)),
            see=see,
        )
    bridge = bridges[0]
    if "UP" not in bridge["flags"]:
        raise Wrong("bridge-down", expected="UP", got=" ".join(bridge["flags"]), see=see)
    have = [f"{a['local']}/{a['prefixlen']}" for a in bridge["addr_info"] if a["family"] == "inet"]
    if have != ["192.168.10.1/24"]:
        raise Wrong("no-gateway", expected="192.168.10.1/24", got=" ".join(have) or "none", see=see)
    if bridge["address"] != "02:42:c0:a8:0a:01":
        raise Wrong("wrong-mac", expected="02:42:c0:a8:0a:01", got=bridge["address"], see=see)
    done = host.run("network", "rm", net)
    if done.code:
        done.refuse()


@step("6.2")
def test_an_interface_of_somebody_elses_is_left_alone(host: Host) -> None:
    net = network(host)
    name = next(
        link["ifname"]
        for link in links(host)
        if link.get("linkinfo", {}).get("info_kind") == "bridge"
    )
    host.shell(f"ip link del {name}; ip link add {name} type bridge")
    done = host.run("run", "--rm", "--net", net, "true")
    now = next((link for link in links(host) if link["ifname"] == name), {"addr_info": [1]})
    if done.code == 0 or now["addr_info"]:
        raise Wrong(
            "adopted",
            expected="an error, and the interface as it was",
            got=f"exit {done.code}",
            see=f"ip link add {name} type bridge; mydocker run -net {net} true",
        )
    if "is a bug" in done.err or "not written" in done.err:
        done.refuse()


# 6.3 The cable


@step("6.3")
def test_each_container_is_plugged_into_the_bridge(host: Host) -> None:
    net = network(host)
    first = host.run("run", "-d", "--net", net, "--name", "one", "sleep", "1000")
    second = host.run("run", "-d", "--net", net, "--name", "two", "sleep", "1000")
    for done in (first, second):
        if "file exists" in done.err:
            done.refuse_as("same-name")
        if done.code:
            done.refuse()
    see = f"mydocker run -d -net {net} top; ip -d link; bridge link"
    bridge = next(
        link["ifname"]
        for link in links(host)
        if link.get("linkinfo", {}).get("info_kind") == "bridge"
    )
    ports = [link for link in links(host) if link.get("master") == bridge]
    if len(ports) != 2 or any("UP" not in port["flags"] for port in ports):
        raise Wrong(
            "no-port",
            expected="two ports, up",
            got=" ".join(port["ifname"] for port in ports) or "none",
            see=see,
        )
    if (
        any(len(port["ifname"]) > 15 for port in ports)
        or len({port["ifname"] for port in ports}) < 2
    ):
        raise Wrong(
            "same-name",
            expected="two names of 15 bytes",
            got=" ".join(port["ifname"] for port in ports),
            see=see,
        )
    for name in ("one", "two"):
        if "eth0" not in inside(host, name, "ip -j link"):
            raise Wrong("no-eth0", expected="eth0", got=inside(host, name, "ip -br link"), see=see)
        if not address(host, name):
            raise Wrong("not-configured", expected="an address", got="none", see=see)


# 6.4 Inside


@step("6.4")
def test_address_state_and_route(host: Host) -> None:
    net = network(host)
    done = host.run("run", "-d", "--net", net, "--name", "one", "sleep", "1000")
    if "unreachable" in done.err or "network is down" in done.err:
        done.refuse_as("inner-down", "a default route, which needs eth0 up and the gateway near")
    if done.code:
        done.refuse()
    see = f"mydocker run -net {net} sh -c 'ip addr; ip route'"
    eth0 = next(
        link for link in json.loads(inside(host, "one", "ip -j addr")) if link["ifname"] == "eth0"
    )
    if "UP" not in eth0["flags"]:
        raise Wrong("inner-down", expected="eth0 UP", got=" ".join(eth0["flags"]), see=see)
    have = [f"{a['local']}/{a['prefixlen']}" for a in eth0["addr_info"] if a["family"] == "inet"]
    if have != ["192.168.10.2/24"]:
        raise Wrong("prefix", expected="192.168.10.2/24", got=" ".join(have) or "none", see=see)
    routes = json.loads(inside(host, "one", "ip -j route"))
    gateways = [route.get("gateway") for route in routes if route["dst"] == "default"]
    if gateways != ["192.168.10.1"]:
        raise Wrong("no-route", expected="default via 192.168.10.1", got=str(gateways), see=see)
    bird(host, net)
    for who in ("192.168.10.1", "192.168.10.3"):
        if "1 packets received" not in inside(host, "one", f"busybox ping -c 1 -W 2 {who}"):
            raise Wrong("not-answered", expected=f"{who} answers", got="nothing", see=see, who=who)


# 6.5 Out of the bridge


@step("6.5")
def test_what_leaves_has_the_hosts_address_and_what_stays_has_its_own(host: Host) -> None:
    outside(host)
    host.shell("iptables -P FORWARD DROP")
    net = network(host)
    one = bird(host, net, command=SERVE.format(word="private", port=81))
    see = f"mydocker run -net {net} ping {OUTSIDE}"
    told = inside(host, one, f"busybox ping -c 1 -W 2 {OUTSIDE}")
    rules = host.shell("iptables-save -t nat; iptables-save -t filter")
    if "1 packets received" not in told:
        diagnosis = "not-forwarded" if "MASQUERADE" in rules else "no-masquerade"
        if "MASQUERADE" in rules and not masqueraded(host, one):
            diagnosis = "no-masquerade"
        raise Wrong(diagnosis, expected=f"{OUTSIDE} answers", got=told.strip()[-200:], see=see)
    two = bird(host, net)
    inside(host, two, f"busybox ping -c 1 -W 1 {address(host, one)}")
    names = [
        line
        for line in rules.splitlines()
        if line.endswith("-j MASQUERADE") and "192.168.10.0/24" in line
    ]
    if any("!" not in line and "DNAT" not in line for line in names):
        raise Wrong(
            "all-masqueraded", expected="! -o the bridge", got=names[0], see="iptables-save -t nat"
        )
    host.shell(f"ip -n out route add 192.168.10.0/24 via {HOST}")
    until(lambda: "private" in asks(host, "", address(host, one), 81), 3.0)
    for _ in range(5):
        got = asks(host, "nsenter --net=/run/netns/out", address(host, one), 81)
        if "refused" not in got:  # else it was just between one and the next
            break
    if "private" in got:
        raise Wrong(
            "open-inside",
            expected="no answer: port 81 is not published",
            got=got,
            see=f"nc {address(host, one)} 81, from another host",
        )


def masqueraded(host: Host, name: str) -> bool:
    """Whether a rule changes the address of what leaves, other than for published ports."""
    text = host.shell("iptables-save -t nat")
    return any("192.168.10.0/24 ! -o" in line for line in text.splitlines())


# 6.6 Published ports


@step("6.6")
def test_a_port_answers_from_outside_and_at_home(host: Host) -> None:
    outside(host)
    net = network(host)
    word = secrets.token_hex(4)
    bird(host, net, "-p", "8080:80", command=SERVE.format(word=word, port=80))
    see = f"mydocker run -d -p 8080:80 -net {net} …; nc {HOST} 8080"
    if not until(lambda: word in asks(host, "nsenter --net=/run/netns/out", HOST, 8080), 6.0):
        rules = [line for line in host.shell("iptables-save -t nat").splitlines() if "DNAT" in line]
        raise Wrong("unreachable", expected=word, got="\n".join(rules) or "no DNAT rule", see=see)
    if not until(lambda: word in asks(host, "", "127.0.0.1", 8080), 5.0):
        raise Wrong("localhost", expected=word, got="no answer", see="nc 127.0.0.1 8080")


@step("6.6")
def test_the_hosts_loopback_stays_the_hosts(host: Host) -> None:
    net = network(host)
    one = bird(host, net, "-p", "8081:80")
    host.shell("busybox nc -l -p 9999 -s 127.0.0.1 -e echo secret >/dev/null 2>&1 &")
    inside(host, one, "ip route add 127.0.0.0/8 via 192.168.10.1 table 77")
    rules = host.shell("iptables-save -t filter")
    if not any("127.0.0.0/8" in line and line.endswith("DROP") for line in rules.splitlines()):
        raise Wrong(
            "loopback-open",
            expected="-d 127.0.0.0/8 … -j DROP",
            got="no such rule",
            see="iptables-save -t filter",
        )


# 6.7 Names, and the end


@step("6.7")
def test_containers_know_each_other_by_name(host: Host) -> None:
    net = network(host)
    one = bird(host, net)
    done: Done = host.run("run", "--rm", "--net", net, "cat", "/etc/hosts")
    if done.code:
        done.refuse()
    lines = [line.split() for line in done.out.splitlines() if one in line.split()]
    if not lines:
        raise Wrong(
            "no-name", expected=f"{address(host, one)} {one}", got=done.out.strip(), see=done.see
        )
    if lines[0][0] != address(host, one):
        raise Wrong(
            "wrong-name",
            expected=f"{address(host, one)} {one}",
            got=" ".join(lines[0]),
            see=done.see,
        )


@step("6.7")
def test_nothing_is_left(host: Host) -> None:
    before = {link["ifname"] for link in links(host)}
    net = network(host)
    name = bird(host, net)
    host.ok("network", "disconnect", net, name)
    see = f"mydocker network disconnect {net} {name}; ip link"
    cables = [
        link["ifname"]
        for link in links(host)
        if link.get("linkinfo", {}).get("info_kind") == "veth"
    ]
    if cables:
        raise Wrong("link-left", expected="no veth", got=" ".join(cables), see=see)
    host.ok("rm", "-f", name)
    done = host.run("network", "rm", net)
    if done.code:
        done.refuse()
    left = {link["ifname"] for link in links(host)} - before
    if left:
        raise Wrong(
            "bridge-left",
            expected="no bridge",
            got=" ".join(left),
            see=f"mydocker network rm {net}; ip link",
        )
