"""A host of the tests' own: a network namespace that plays it, and another that is the outside.

The test's own process goes into it, and with it every mydocker it starts, so that the machine's own
interfaces and rules are neither seen nor changed. The outside host knows the way to the first one's
address and nothing behind it, as a neighbour on the Internet does::

    [outside 198.51.100.2] ── uplink ── [host 198.51.100.1, and 203.0.113.1] ── bridges
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mydocker.linux import syscalls
from tests.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Mydocker

HAS_IPV6 = Path("/proc/sys/net/ipv6").exists()
HOST, SECOND, OUTSIDE = "198.51.100.1", "203.0.113.1", "198.51.100.2"

TABLES = (
    "*filter\\n:INPUT ACCEPT\\n:FORWARD ACCEPT\\n:OUTPUT ACCEPT\\nCOMMIT\\n"
    "*nat\\n:PREROUTING ACCEPT\\n:INPUT ACCEPT\\n:OUTPUT ACCEPT\\n:POSTROUTING ACCEPT\\nCOMMIT\\n"
)

SERVER = (
    "mkdir -p /www/cgi-bin; cd /www/cgi-bin; printf '#!/bin/sh\\necho\\necho $REMOTE_ADDR NAME\\n' "
    '> who; sed -i "s/NAME/$(hostname)/" who; chmod 755 who; exec httpd -f -p 0.0.0.0:PORT -h /www'
)
"""What a container runs that tells its clients who they are."""


def sh(command: str) -> str:
    """Run a shell command on the host; what it prints."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


FORWARD = {"ip_forward": "net.ipv4.ip_forward", "ip6_forward": "net.ipv6.conf.all.forwarding"}


def batch(*lines: str) -> None:
    """Several commands of ip(8) in one process."""
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)


class Place:
    """A network namespace, by the file that stands for it."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        self.back = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        syscalls.setns(self.fd, syscalls.CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        syscalls.setns(self.back, syscalls.CLONE_NEWNET)
        os.close(self.back)

    def sh(self, command: str) -> str:
        """Run a shell command there."""
        with self:
            return sh(command)

    def listen(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket that listens there, on a free port."""
        with self:
            server = socket.socket(socket.AF_INET, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        server.bind(("0.0.0.0", 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        server.settimeout(20)
        return server

    def get(self, address: str, port: int, wait: float = 10) -> str:
        """Ask a server of ours who we are; empty if nobody answers."""
        with self:
            return who(address, port, wait)


def who(address: str, port: int, wait: float = 10) -> str:
    """Ask a server of ours (SERVER) who we are and who it is; empty if nobody answers."""
    try:
        with socket.create_connection((address, port), wait) as connection:
            connection.sendall(b"GET /cgi-bin/who HTTP/1.0\r\n\r\n")
            told = b""
            while piece := connection.recv(4096):
                told += piece
    except OSError:
        return ""
    return (told.decode().splitlines() or [""])[-1]  # a proxy answers without a server, by nothing


def new_place() -> Place:
    """A new network namespace, with its loopback up and nothing else."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    try:
        sh("ip link set lo up; sysctl -qw net.ipv4.ip_forward=0")
        return Place("/proc/self/ns/net")
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWNET)
        os.close(own)


def settings() -> Iterator[str]:
    """Every setting of this network, a line each."""
    for directory, _, names in os.walk("/proc/sys/net"):
        for name in names:
            if name != "nf_conntrack_count" and "nf_log" not in directory:
                try:
                    yield f"{directory}/{name} = {Path(directory, name).read_text()}"
                except OSError:  # it can only be written, or its interface is gone
                    continue


class Snapshot:
    """All that a network of ours could change on the host."""

    def __init__(self) -> None:
        # Without what depends on whether a bridge has a port just now.
        self.links = sh("ip -o link | sed 's/^[0-9]*: //; s/NO-CARRIER,//; s/,LOWER_UP//'")
        self.links = re.sub(r"state \w+ ", "", self.links)
        # fe80:: comes a while after its interface, by the kernel's own doing.
        self.addresses = sh("ip -o address | grep -v ' fe80:' | sed 's/^[0-9]*: //'")
        self.routes = sh("ip -4 route show table all | sed 's/ linkdown//'")
        self.routes6 = sh("ip -6 route show | grep -v ^fe80: || true")
        program = os.environ.get("MYDOCKER_IPTABLES") or "iptables"
        self.rules = sh(f"{program}-save | sed 's/^#.*//; s/ \\[.*//'")
        program = program.replace("iptables", "ip6tables")
        self.rules6 = sh(f"{program}-save 2>/dev/null | sed 's/^#.*//; s/ \\[.*//'")
        self.sysctls = "".join(settings())

    def differs(self, other: Snapshot) -> list[str]:
        """The lines of what is not the same."""
        found = []
        for name, text in vars(self).items():
            mine, theirs = set(text.splitlines()), set(vars(other)[name].splitlines())
            found += [f"{name}: {line}" for line in sorted(mine ^ theirs)]
        return found


class NetHost:
    """The namespace that plays the host, and the outside."""

    def __init__(self) -> None:
        self.place = Place("/proc/self/ns/net")
        self.outside = new_place()
        path = f"/proc/{os.getpid()}/fd/{self.outside.fd}"
        batch(
            *(f"link add uplink type veth peer name eth0 netns {path}", "link set uplink up"),
            *(f"addr add {HOST}/24 dev uplink", f"addr add {SECOND}/32 dev uplink"),
        )
        with self.outside:
            up = (f"addr add {OUTSIDE}/24 dev eth0", "link set eth0 up")
            batch(*up, f"route add {SECOND} via {HOST}")
        # Or their empty tables would be news.
        programs = "iptables iptables-legacy" + " ip6tables" * HAS_IPV6
        sh(f"for p in {programs}; do printf '{TABLES}' | $p-restore || exit; done")
        self.before = Snapshot()


@pytest.fixture
def net_host() -> Iterator[NetHost]:
    """The test runs on a host of its own, network-wise."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    try:
        sh("ip link set lo up; sysctl -qw net.ipv4.ip_forward=0")
        host = NetHost()
        yield host
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWNET)
        os.close(own)
    for fd in (host.place.fd, host.outside.fd):
        os.close(fd)


@pytest.fixture
def docker(net_host: NetHost, mydocker: Mydocker) -> Iterator[Mydocker]:
    """A mydocker on that host; afterwards the host's network must be as it was, apart from what is
    recorded: that it forwards."""
    yield mydocker
    mydocker.clean_up()
    if left := names(mydocker):
        mydocker.ok("network", "rm", *left)
    for name, setting in FORWARD.items():
        forwards = sysctl(setting) == "1"
        assert (mydocker.root / f"{name}.json").exists() == forwards
        if forwards:
            sh(f"sysctl -qw {setting}=0")
    assert Snapshot().differs(net_host.before) == []


def names(mydocker: Mydocker) -> list[str]:
    """The networks there are."""
    return [path.stem for path in (mydocker.root / "networks").glob("*.json")]


def network(mydocker: Mydocker, name: str) -> dict[str, Any]:
    """What `network inspect` tells of one."""
    (found,) = json.loads(mydocker.ok("network", "inspect", name))
    return found  # type: ignore[no-any-return]  # JSON


def address(mydocker: Mydocker, name: str, word: str) -> str:
    """The address of a container in a network."""
    found = network(mydocker, name)["Containers"].values()
    return next(str(c["IPv4Address"]).split("/")[0] for c in found if c["Name"] == word)


@pytest.fixture
def serve(docker: Mydocker) -> Callable[..., str]:
    """`serve(name, *flags, port=80)`: start a container that tells who asks; its address."""

    def start(name: str, *flags: str, net: str = "net1", port: int = 80) -> str:
        command = SERVER.replace("PORT", str(port))
        docker.ok("run", "-d", "--name", name, "-h", name, "-net", net, *flags, "sh", "-c", command)
        found = address(docker, net, name)
        wait_until(lambda: who(found, port))
        return found

    return start


def inside(mydocker: Mydocker, net: str, command: str) -> str:
    """What a shell command prints in a new container in that network."""
    return mydocker.ok("run", "--rm", "-net", net, "sh", "-c", command)


def pid_of(mydocker: Mydocker, word: str) -> int:
    """The first process of a container, as the host sees it."""
    (record,) = json.loads(mydocker.ok("inspect", word))
    return int(record["pid"])


def sysctl(name: str) -> str:
    """A setting of the host's network."""
    return Path(f"/proc/sys/{name.replace('.', '/')}").read_text().strip()
