"""What `stats` says is what the kernel counted, on both versions of cgroups."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Mydocker, settle, stock, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIELDS = ("Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """Containers that the tests only look at: one that spins, one that sleeps and holds memory,
    and one that has ended."""
    instance = Mydocker(tmp_path_factory.mktemp("zoo"))
    stock(instance, stocked_root)
    spin = "while :; do :; done"
    instance.ok("run", "-d", "--name", "mill", "--cpus", "0.5", "sh", "-c", spin)
    hold = "head -c 20m /dev/zero > /dev/shm/x; sleep 1000 & sleep 1000 & echo ready; wait"
    instance.ok("run", "-d", "--name", "pond", "-m", "80m", "sh", "-c", hold)
    instance.ok("run", "--name", "husk", "true")
    wait_until(lambda: instance.ok("logs", "pond") == "ready\n", seconds=60)
    yield instance
    settle(instance)


def stats(zoo: Mydocker, *words: str) -> dict[str, dict[str, str]]:
    """What `stats --no-stream words…` says, by the container's name."""
    told = zoo.ok("stats", "--no-stream", "--format", "json", *words).splitlines()
    return {line["Name"]: line for line in map(json.loads, told)}


def number(text: str) -> float:
    """The figure at the beginning of a cell."""
    return float(re.split(r"[^\d.]", text)[0])


@pytest.mark.v2
def test_the_table_has_dockers_columns_for_what_runs(zoo: Mydocker) -> None:
    header, *lines = zoo.ok("stats", "--no-stream").splitlines()
    heads = ("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O")
    assert re.split(r"\s{2,}", header) == [*heads, "PIDS"]
    assert sorted(line.split()[1] for line in lines) == ["mill", "pond"]


@pytest.mark.v2
def test_the_figures_are_the_kernels(zoo: Mydocker) -> None:
    found = stats(zoo)
    mill, pond = found["mill"], found["pond"]
    assert number(mill["CPUPerc"]) > number(pond["CPUPerc"])
    assert number(mill["CPUPerc"]) > 1
    usage, limit = pond["MemUsage"].split(" / ")
    assert 20 <= number(usage) < 40
    assert usage.endswith("MiB")
    assert limit == "80MiB"
    assert 25 <= number(pond["MemPerc"]) < 50
    assert pond["PIDs"] == "3"
    assert mill["PIDs"] == "1"
    assert mill["MemUsage"].endswith("GiB") or mill["MemUsage"].endswith("MiB")
    assert mill["NetIO"] == "0B / 0B"
    assert re.fullmatch(r"\S+B / \S+B", mill["BlockIO"])


def test_what_does_not_run_has_no_figures(zoo: Mydocker) -> None:
    assert "husk" not in stats(zoo)
    husk = stats(zoo, "-a")["husk"]
    assert {husk[name].replace("-- / --", "--") for name in FIELDS[1:]} == {"--"}
    assert stats(zoo, "husk").keys() == {"husk"}


def test_names_pick_containers_and_one_that_is_missing_is_named(zoo: Mydocker) -> None:
    assert stats(zoo, "pond").keys() == {"pond"}
    assert "no such container" in zoo.fails(125, "stats", "--no-stream", "pond", "nope")
    assert zoo.ok("stats", "--no-stream", "--format", "{{.Name}}: {{.PIDs}}", "pond") == "pond: 3\n"
    assert "no such field: .Nope" in zoo.fails(125, "stats", "--no-stream", "--format", "{{.Nope}}")


def test_at_a_terminal_the_table_renews_itself_until_it_is_stopped(zoo: Mydocker) -> None:
    child = zoo.terminal("stats")
    for _ in range(2):
        child.expect_exact("\033[H")
        child.expect("NAME.*mill")
    child.sendintr()
    child.read()
    child.wait()
    assert child.exitstatus == 130


def test_it_ends_when_what_it_watches_is_gone(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    watching = mydocker.start("stats", "--format", "{{.Name}} {{.PIDs}}", "bird")
    assert watching.stdout
    assert watching.stdout.readline() == "bird 1\n"
    mydocker.ok("rm", "-f", "bird")
    watching.communicate(timeout=20)
    assert watching.returncode == 0


@pytest.mark.v2
def test_the_groups_version_is_known(zoo: Mydocker) -> None:
    version = zoo.ok("system", "info", "--format", "{{.CgroupVersion}}").strip()
    controllers = zoo.ok("system", "info", "--format", "{{.CgroupControllers}}").split()
    assert version in ("1", "2")
    assert {"memory", "pids", "cpu"} <= set(controllers)
    assert ("freezer" in controllers) == (version == "1")
