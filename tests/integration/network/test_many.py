"""Many containers: at once, and on one bridge."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.network.conftest import inside, network, pid_of, sh

if TYPE_CHECKING:
    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")


@pytest.fixture
def net1(docker: Mydocker) -> str:
    docker.ok("network", "create", "--subnet", "192.168.0.1/16", "net1")
    return "net1"


def at_once(docker: Mydocker, words: list[list[str]], most: int = 100) -> None:
    """Run commands, so many at the same time; none may say a word on stderr."""
    for first in range(0, len(words), most):
        runs = [docker.start(*each) for each in words[first : first + most]]
        failed = [run.communicate(timeout=600)[1] for run in runs]
        assert [text for text in failed if text] == []


def addresses(docker: Mydocker, net: str) -> set[str]:
    """The addresses that are given."""
    return {str(m["IPv4Address"]) for m in network(docker, net)["Containers"].values()}


def test_of_many_runs_at_once_each_has_an_address_of_its_own(docker: Mydocker, net1: str) -> None:
    at_once(docker, [["run", "-d", "-net", net1, "top"]] * 20)
    assert len(addresses(docker, net1)) == 20


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_of_a_hundred_runs_at_once_no_two_share_an_address(docker: Mydocker, net1: str) -> None:
    at_once(docker, [["run", "-d", "--name", f"c{n}", "-net", net1, "top"] for n in range(100)])
    assert len(addresses(docker, net1)) == 100
    at_once(docker, [["rm", "-f", f"c{n}"] for n in range(100)])
    assert addresses(docker, net1) == set()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_hundreds_of_endpoints_on_one_bridge_reach_each_other_by_name(
    docker: Mydocker, net1: str
) -> None:
    many = 300
    at_once(
        docker, [["run", "-d", "--name", f"c{n}", "-net", net1, "top"] for n in range(many)], 20
    )
    assert len(addresses(docker, net1)) == many
    ports = sh("ip -o link show master net1").splitlines()
    assert len(ports) == many
    told = inside(docker, net1, f"for n in 0 77 {many - 1}; do ping -c 1 -W 2 c$n; done")
    assert told.count("1 packets received") == 3
    hosts = sh(f"nsenter -m -t {pid_of(docker, 'c7')} cat /etc/hosts")
    assert {word for word in hosts.split() if re.fullmatch(r"c\d{1,3}", word)} == {
        f"c{n}" for n in range(many)
    }
    at_once(docker, [["rm", "-f", f"c{n}"] for n in range(many)], 20)
    assert addresses(docker, net1) == set()
    assert sh("ip -o link show master net1") == ""


@pytest.mark.soak  # the kernel takes half a minute for so many interfaces
def test_a_bridge_without_a_free_port_is_told(docker: Mydocker, net1: str) -> None:
    """A bridge has 1023 at most; here others fill them."""
    lines = ""
    for number in range(512):
        pair = f"link add a{number} type veth peer name b{number}\n"
        lines += pair + "".join(
            f"link set {end}{number} master net1\n" for end in "ab"[: 1023 - 2 * number]
        )
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
    line = docker.fails(125, "run", "--rm", "-net", net1, "true")
    assert line == "mydocker: network: net1: its bridge has no free port: 1023 are the most"
    assert addresses(docker, net1) == set()
    gone = "".join(f"link del a{number}\n" for number in range(512))
    subprocess.run(["ip", "-batch", "-"], input=gone, text=True, check=True)


def test_runs_and_removals_of_networks_at_once_leave_no_half(docker: Mydocker) -> None:
    runs: list[subprocess.Popen[str]] = []
    for number in range(6):
        runs.append(docker.start("network", "create", f"net{number % 3}"))
        runs.append(docker.start("run", "--rm", "-net", f"net{number % 3}", "true"))
        runs.append(docker.start("network", "rm", f"net{number % 3}"))
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert "bug" not in errors
        assert len(errors.splitlines()) <= 2, errors
    docker.ok("system", "check")
