"""Networks, stopped at every single thing that they ask of the kernel (as in ../test_faults.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until
from tests.integration.network.conftest import HAS_IPV6, Snapshot, names, network
from tests.integration.test_faults import WAYS, Scenario, Words, count, points_of, processes, sweep

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Mydocker

LIKE_OTHERS = ("RunDetached", "Disconnect")  # nearly all their points are another's
SAMPLE = 2  # points of each role of each scenario
pytestmark = pytest.mark.usefixtures("net_host")


class OnNetwork(Scenario):
    """A command about a network that is there all the time: its bridge and rules must be whole
    when the cure is done, with nobody in it."""

    def once(self) -> None:
        self.mydocker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")
        self.mydocker.ok("run", "--rm", "-net", "net1", "-p", "8080:80", "true")
        self.whole = Snapshot()

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("run", "--rm", "-net", "net1", "true")  # heals: it may say so
        assert network(self.mydocker, "net1")["Containers"] == {}
        assert Snapshot().differs(self.whole) == []


class RunPublished(OnNetwork):
    words: Words = ("run", "--rm", "--name", "bird", "-net", "net1", "-p", "8080:80", "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0, done.stderr
        assert all("put back" in line for line in done.stderr.splitlines()), done.stderr


class RunDetached(RunPublished):
    words: Words = ("run", "-d", "-net", "net1", "-p", "8080:80", "true")

    def settle(self) -> None:
        wait_until(lambda: not processes(self.mydocker))  # which hold the port until they end


class Connect(OnNetwork):
    words: Words = ("network", "connect", "net1", "bird")

    def before(self) -> None:
        if "bird" not in self.mydocker.ok("ps", "--format", "{{.Names}}"):
            self.mydocker.ok("run", "-d", "--name", "bird", "top")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "is in it already" in done.stderr, done.stderr


class Disconnect(Connect):
    words: Words = ("network", "disconnect", "net1", "bird")

    def before(self) -> None:
        super().before()
        self.mydocker.ok("network", "connect", "net1", "bird")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "is not in it" in done.stderr, done.stderr


class Create(Scenario):
    words: Words = ("network", "create", "--subnet", "192.168.10.1/24", "net1")

    def once(self) -> None:
        self.mydocker.ok("network", "create", "net0")  # which turns forwarding on
        self.mydocker.ok("run", "--rm", "-net", "net0", "true")
        self.bare = Snapshot()

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "exists already" in done.stderr, done.stderr
        self.mydocker.ok("run", "--rm", "-net", "net1", "true")

    def legitimate(self) -> None:
        self.mydocker.run("network", "rm", "net1")
        assert names(self.mydocker) == ["net0"]
        assert Snapshot().differs(self.bare) == []


class CreateWithIPv6(Create):
    words: Words = (
        *("network", "create", "--subnet", "192.168.10.1/24"),
        *("--ipv6", "--subnet", "fd00:6::/64", "net1"),
    )

    def once(self) -> None:
        self.mydocker.ok("network", "create", "--ipv6", "--subnet", "fd00:7::/64", "net0")
        self.mydocker.ok("run", "--rm", "-net", "net0", "true")
        self.bare = Snapshot()


class Remove(Create):
    words: Words = ("network", "rm", "net1")

    def before(self) -> None:
        self.mydocker.ok(*Create.words)

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "no such network" in done.stderr, done.stderr


SCENARIOS = {
    kind.__name__: kind
    for kind in (
        *(RunPublished, RunDetached, Connect, Disconnect),
        *((Create, Remove, CreateWithIPv6) if HAS_IPV6 else (Create, Remove)),
    )
}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LIKE_OTHERS])
def test_a_stopped_command_leaves_no_link_no_rule_and_no_address(
    name: str, docker: Mydocker, tmp_path: Path
) -> None:
    scenario = SCENARIOS[name](docker, tmp_path)
    scenario.once()
    failures = sweep(scenario, points_of(count(scenario), SAMPLE, WAYS))
    assert not failures, "\n".join(failures)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_step_of_a_command_can_be_stopped(
    name: str, way: str, docker: Mydocker, tmp_path: Path
) -> None:
    scenario = SCENARIOS[name](docker, tmp_path)
    scenario.once()
    failures = sweep(scenario, points_of(count(scenario), 0, (way,)))
    assert not failures, "\n".join(failures)
