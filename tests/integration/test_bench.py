"""The benchmark works, its JSON is what docs/performance.md says, and it leaves nothing behind.

No figure is asserted: those are for `make bench`, on a machine that does nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import host
from bench.engines import PEERS, Docker, Engine, Mydocker
from bench.profile import Profile
from bench.works import Between, Into
from tests.integration.network.conftest import new_place

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.bench


@pytest.fixture
def directory() -> Iterator[Path]:
    """A room as the benchmark has it."""
    with host.room() as name:
        yield Path(name)


def bench(*words: str) -> str:
    """What `python -m bench words…` prints."""
    return host.call([sys.executable, "-m", "bench", *words])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a benchmark of two rounds writes, against runc if that is installed."""
    output = tmp_path_factory.mktemp("bench") / "bench.json"
    bench("--rounds", "2", "--only", "run", "runc", "--output", str(output))
    told: dict[str, Any] = json.loads(output.read_text())
    return told


def test_the_result_says_on_which_machine_and_of_which_versions_it_is(told: dict[str, Any]) -> None:
    assert told["rounds"] == 2
    assert {"kernel", "cpus", "python", "cgroups", "filesystem", "load"} <= told["machine"].keys()
    assert set(told["versions"]) == set(told["works"]["run"]["engines"])


def test_a_peer_is_measured_or_it_is_said_how_to_install_it(told: dict[str, Any]) -> None:
    assert set(told["works"]["run"]["engines"]) | set(told["skipped"]) == {"mydocker", "runc"}
    for why in told["skipped"].values():
        assert "apt-get install runc" in why


def test_each_engine_has_a_sample_of_each_round(told: dict[str, Any]) -> None:
    for figures in told["works"]["run"]["engines"].values():
        assert len(figures["samples"]) == 2
        assert figures["least"] == min(figures["samples"]) > 0
        assert figures["q1"] <= figures["median"] <= figures["q3"]


def test_a_verdict_is_the_ratio_of_medians_beside_its_budget(told: dict[str, Any]) -> None:
    engines = told["works"]["run"]["engines"]
    verdicts = told["works"]["run"]["verdicts"]
    assert [verdict["against"] for verdict in verdicts] == [["runc"]] * ("runc" in engines)
    for verdict in verdicts:
        assert verdict["ratio"] == engines["mydocker"]["median"] / engines["runc"]["median"]
        assert verdict["met"] == (verdict["ratio"] <= verdict["budget"])
        assert verdict["aim"] < verdict["budget"]


@pytest.mark.parametrize("words", [("--rounds", "1"), ("--only", "nobody"), ("nothing",)])
def test_a_wrong_word_is_refused(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "bench", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", [Mydocker, *PEERS], ids=lambda kind: kind.name)
def test_an_engine_leaves_nothing_behind(
    directory: Path, kind: type[Engine], host_unchanged: None
) -> None:
    engine = kind(directory)
    if why := engine.missing():
        pytest.skip(why)
    with engine:
        host.timed(engine.run("--network", "none"), engine.environment)
    assert not engine.directory.exists()
    assert not [*host.CGROUPS.glob(f"**/{engine.cgroup}")]


@pytest.mark.parametrize("work", [Between(), Into()], ids=lambda work: work.name)
def test_iperf3_says_what_a_byte_costs_on_a_bridge(
    directory: Path, work: Between, host_unchanged: None
) -> None:
    if why := work.missing():
        pytest.skip(why)
    with new_place(), Mydocker(directory) as engine:
        work.prepare(engine)
        assert 1 < work.sample(engine) < 1e6
        work.clear(engine)
        engine.call("network", "rm", "bridge")


def test_an_engine_that_does_not_start_leaves_nothing_behind(
    directory: Path, monkeypatch: pytest.MonkeyPatch, host_unchanged: None
) -> None:
    engine = Docker(directory)
    if why := engine.missing():
        pytest.skip(why)
    monkeypatch.setattr(Docker, "IN_NAMESPACES", "echo no docker today >&2; exit 1")
    with pytest.raises(host.Failed, match="no docker today"):
        engine.__enter__()
    assert not engine.directory.exists()


def test_what_still_runs_in_the_cgroup_of_an_engine_is_ended(
    directory: Path, host_unchanged: None
) -> None:
    with Mydocker(directory) as engine:
        engine.call("run", "-d", "--name", "left", "busybox", "sleep", "1000")
        assert [*host.CGROUPS.glob(f"**/{engine.cgroup}")]
    assert not [*host.CGROUPS.glob(f"**/{engine.cgroup}")]


def test_the_profile_sees_both_interpreters_and_every_phase(directory: Path) -> None:
    with Mydocker(directory) as engine:
        pieces = Profile(engine).watched()
    assert pieces.interpreters == 2, "one, and the protected one that it executes"
    phases = ("imports", "set-up: the root", "handshake", "the command", "tear-down", "end of")
    for phase in phases:
        assert any(name.startswith(phase) for name in pieces.phases), phase


def test_the_profile_knows_the_modules_that_a_run_imports(directory: Path) -> None:
    with Mydocker(directory) as engine:
        modules = [item.module for item in Profile(engine).imports()]
    assert "mydocker.lifecycle.run" in modules
    assert len(modules) == len(set(modules)), "of one interpreter, not of both"
