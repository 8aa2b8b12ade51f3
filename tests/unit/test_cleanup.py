"""Steps are undone last first, all of them, and the first failure is told."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from mydocker.errors import interrupt
from mydocker.linux.cleanup import Cleanup

if TYPE_CHECKING:
    from collections.abc import Callable


def fail(text: str) -> None:
    raise ValueError(text)


def test_steps_are_undone_in_the_opposite_order() -> None:
    done: list[int] = []
    with Cleanup() as undo:
        for number in range(3):
            undo.push(done.append, number)
        assert done == []
    assert done == [2, 1, 0]


def test_what_is_kept_is_not_undone() -> None:
    done: list[int] = []
    with Cleanup() as undo:
        undo.push(done.append, 1)
        undo.keep()
        undo.push(done.append, 2)
    assert done == [2]


def test_a_step_that_fails_stops_no_other_and_the_first_failure_is_raised() -> None:
    done: list[int] = []
    undo = Cleanup()
    undo.push(done.append, 1)
    undo.push(fail, "second")
    undo.push(done.append, 2)
    undo.push(fail, "first")
    with pytest.raises(ValueError, match="first"):
        undo.unwind()
    assert done == [2, 1]
    undo.unwind()  # nothing is left to undo


def half_way() -> None:
    with Cleanup() as undo:
        undo.push(fail, "then")
        raise KeyError("at first")


def test_an_error_inside_stays_the_error_and_the_failure_is_noted() -> None:
    with pytest.raises(KeyError) as caught:
        half_way()
    assert caught.value.__notes__ == ["and while cleaning up: then"]


def test_a_second_ctrl_c_does_not_end_the_undoing_of_the_first(
    forked: Callable[[Callable[[], None]], int],
) -> None:
    def main() -> None:
        signal.signal(signal.SIGINT, interrupt)
        done: list[int] = []
        try:
            with Cleanup() as undo:
                undo.push(done.append, 1)
                undo.push(signal.raise_signal, signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            os._exit(0 if done else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(forked(main), 0)[1]) == 0
