"""The state machine, and the rules of restarting."""

from __future__ import annotations

import itertools

import pytest

from mydocker.errors import Conflict, Usage
from mydocker.lifecycle import restart, state
from mydocker.lifecycle.container import Container

ALLOWED = (
    "created>running created>exited created>dead running>paused running>restarting running>exited "
    "paused>running paused>restarting paused>exited restarting>running restarting>exited "
    "exited>created exited>dead"
).split()


def test_every_way_there_is_and_no_other() -> None:
    for before, after in itertools.product(state.STATES, repeat=2):
        container = Container(id="0" * 64, name="bird", image="busybox", status=before)
        if f"{before}>{after}" in ALLOWED:
            container.become(after)
            assert container.status == after
        else:
            with pytest.raises(Conflict, match=f"is {before}, cannot become {after}"):
                container.become(after)
            assert container.status == before


def test_every_state_can_be_reached_and_all_but_dead_be_left() -> None:
    assert {after for _, after in state.TRANSITIONS} == set(state.STATES)
    assert {before for before, _ in state.TRANSITIONS} == set(state.STATES) - {"dead"}


def test_each_end_is_told_as_die_and_each_start_as_start() -> None:
    for (before, after), event in state.TRANSITIONS.items():
        if before in ("running", "paused") and after in ("restarting", "exited"):
            assert event == "die"
        if after == "running" and before != "paused":
            assert event == "start"


# Restarting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", ("no", 0)),
        ("always", ("always", 0)),
        ("unless-stopped", ("unless-stopped", 0)),
        ("on-failure", ("on-failure", 0)),
        ("on-failure:3", ("on-failure", 3)),
    ],
)
def test_a_policy_is_read(text: str, expected: tuple[str, int]) -> None:
    assert restart.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "never", "ALWAYS", "always:3", "on-failure:", "on-failure:-1", "on-failure:²", ":"]
)
def test_what_is_no_policy_is_named(text: str) -> None:
    with pytest.raises(Usage, match="--restart"):
        restart.parse(text)


def test_who_is_started_again() -> None:
    assert not restart.wanted("no", 0, 0, 1)
    assert restart.wanted("always", 0, 1000, 0)
    assert restart.wanted("unless-stopped", 0, 1000, 0)
    assert restart.wanted("on-failure", 0, 1000, 1)
    assert not restart.wanted("on-failure", 0, 0, 0)
    assert restart.wanted("on-failure", 3, 2, 1)
    assert not restart.wanted("on-failure", 3, 3, 1)


def test_the_pause_doubles_to_a_minute_and_a_long_life_makes_it_short_again() -> None:
    backoff = restart.Backoff()
    pauses = [backoff.after(1) for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [60, 60]
    assert [backoff.after(10), backoff.after(9.9)] == [0.1, 0.2]
