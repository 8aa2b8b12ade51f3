"""The file of events: whole lines from many writers, bounded, and never in the way."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from mydocker.lifecycle import events

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def lines(root: Path) -> list[str]:
    """What the newest file holds."""
    return (root / "events.jsonl").read_text().splitlines()


def write(root: str, number: int, count: int, size: int) -> None:
    for turn in range(count):
        events.emit(root, "container", "start", f"{number}-{turn}", {"name": "x" * size})


def test_an_event_is_a_line_of_json(tmp_path: Path) -> None:
    events.emit(str(tmp_path), "container", "die", "f" * 64, {"exitCode": "3", "name": "é\n"})
    (line,) = lines(tmp_path)
    event = json.loads(line)
    assert event.pop("time") > 10**18
    attributes = {"exitCode": "3", "name": "é\n"}
    expected = {"type": "container", "action": "die", "id": "f" * 64, "attributes": attributes}
    assert event == expected
    assert os.stat(tmp_path / "events.jsonl").st_mode & 0o777 == 0o600


def test_many_writers_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(6, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(write, str(tmp_path), n, 50, 3000) for n in range(6)]:
            future.result()
    found = [event["id"] for event in events.read(str(tmp_path / "events.jsonl"))]
    assert sorted(found) == sorted(f"{n}-{turn}" for n in range(6) for turn in range(50))


def test_the_files_are_bounded_and_hold_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LARGEST", 10_000)
    write(str(tmp_path), 0, 100, 500)
    names = sorted(os.listdir(tmp_path))
    assert names == ["events.jsonl", "events.jsonl.1"]
    assert all(os.stat(tmp_path / name).st_size <= 10_000 for name in names)
    both = [e["id"] for name in reversed(names) for e in events.read(str(tmp_path / name))]
    assert both == [f"0-{turn}" for turn in range(100 - len(both), 100)]


def test_one_event_larger_than_the_bound_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LARGEST", 100)
    write(str(tmp_path), 0, 3, 500)
    assert [json.loads(line)["id"] for line in lines(tmp_path)] == ["0-2"]


def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"time": 1, "id": "lo')
    write(str(tmp_path), 0, 2, 1)
    found = [event["id"] for event in events.read(str(tmp_path / "events.jsonl"))]
    assert found == ["0-0", "0-1"]


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    events.emit(str(tmp_path / "missing"), "container", "start", "0", {})
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    events.emit(str(tmp_path), "container", "start", "0", {})


def test_the_exit_code_of_one_that_is_gone(tmp_path: Path) -> None:
    for code in ("1", "2"):
        events.emit(str(tmp_path), "container", "die", "bird", {"exitCode": code})
    events.emit(str(tmp_path), "container", "destroy", "bird", {})
    assert events.exit_code(str(tmp_path), "bird", 9) == 2
    assert events.exit_code(str(tmp_path), "fish", 9) == 9
