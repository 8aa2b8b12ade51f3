"""The book's 6.5 to the letter, typed at terminals, three times in a row."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.integration.network.conftest import HOST, OUTSIDE, NetHost, Snapshot, sh
from tests.integration.test_seed import Terminal, typed

if TYPE_CHECKING:
    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")

CREATE = "build/mydocker network create --driver bridge --subnet 192.168.10.1/24 testbridge"
RUN = "build/mydocker run -ti -net testbridge sh"
PUBLISH = "build/mydocker run -ti -p 80:80 -net testbridge sh"
FAR = "110.242.68.66"  # the seed's server on the Internet, which the outside host plays


@pytest.mark.v2
def test_6_5_three_times_in_a_row(docker: Mydocker, net_host: NetHost) -> None:
    net_host.outside.sh(f"ip addr add {FAR}/32 dev lo")
    sh(f"ip route add default via {OUTSIDE}")
    sh("sysctl -w net.ipv4.conf.all.forwarding=1")
    before = Snapshot()
    for _ in range(3):
        play(docker, net_host)
        assert Snapshot().differs(before) == []
    sh("ip route del default; sysctl -w net.ipv4.conf.all.forwarding=0")


def play(docker: Mydocker, net_host: NetHost) -> None:
    """The section once, and its network away again."""
    assert len(typed(docker, CREATE).strip()) == 64
    first = Terminal(docker, RUN)
    assert "inet 192.168.10.2/24" in first.type("ip addr show eth0")
    second = Terminal(docker, RUN)
    assert "inet 192.168.10.3/24" in second.type("ip addr show eth0")
    assert "1 packets received" in second.type("ping -c 1 192.168.10.2")
    assert "1 packets received" in first.type("ping -c 1 192.168.10.3")
    first.type('echo "nameserver 10.143.22.118" > /etc/resolv.conf')
    assert first.type("cat /etc/resolv.conf") == "nameserver 10.143.22.118"
    assert "1 packets received" in first.type(f"ping -c 1 {FAR}")
    third = Terminal(docker, PUBLISH)
    third.spawned.expect("/ # ")
    third.spawned.sendline("nc -lp 80")
    third.spawned.expect_exact("nc -lp 80\r\n")
    with net_host.outside:
        client = socket.socket()
    with client:
        connected = 111
        while connected:  # until nc listens
            connected = client.connect_ex((HOST, 80))
        client.sendall(b"hello from outside\n")
        third.spawned.expect_exact("hello from outside")
    assert third.leave() == 0
    assert second.leave() == 0
    assert first.leave() == 0
    assert typed(docker, "build/mydocker network remove testbridge") == "testbridge\n"
    docker.ok("rm", *docker.ok("ps", "-aq").split())


def test_6_5_interrupted_leaves_nothing(docker: Mydocker, net_host: NetHost) -> None:
    """Closing the terminal's window in the middle of it."""
    typed(docker, CREATE)
    terminal = Terminal(docker, PUBLISH)
    terminal.type("ip addr show eth0")
    terminal.spawned.close()  # hangs up
    terminal = Terminal(docker, PUBLISH)
    assert "192.168.10.2/24" in terminal.type("ip addr show eth0")
    terminal.spawned.sendline("exit")
    terminal.spawned.expect(pexpect.EOF)
    terminal.spawned.close()
    docker.ok("system", "check")
