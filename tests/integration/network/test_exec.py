"""`exec` in a container that is in a network: its second command is, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.network.conftest import address

if TYPE_CHECKING:
    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")


def test_a_second_command_is_in_the_containers_network(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")
    docker.ok("run", "-d", "--name", "bird", "--net", "net1", "top")
    docker.ok("run", "-d", "--name", "fish", "--net", "net1", "top")
    docker.ok("run", "-d", "--name", "twin", "--net", "container:bird", "top")
    own, other = address(docker, "net1", "bird"), address(docker, "net1", "fish")
    for name in ("bird", "twin"):
        shown = docker.ok("exec", name, "ip", "-4", "address", "show", "eth0")
        assert f"inet {own}/24" in shown
        docker.ok("exec", name, "ping", "-c", "1", "-W", "2", other)
    namespaces = {docker.ok("exec", n, "readlink", "/proc/self/ns/net") for n in ("bird", "twin")}
    assert len(namespaces) == 1
    docker.ok("rm", "-f", "twin")
