"""The keys that leave a container alone, wherever they come in what is typed."""

from __future__ import annotations

import pytest

from mydocker.errors import Usage
from mydocker.lifecycle.attach import DETACH, Detector, parse_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DETACH, b"\x10\x11"),
        ("ctrl-a,d", b"\x01d"),
        ("CTRL-A", b"\x01"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,ctrl-@", b"\x1b\x1c\x1d\x1e\x1f\x00"),
        ("q", b"q"),
    ],
)
def test_keys_are_read(text: str, expected: bytes) -> None:
    assert parse_keys(text) == expected


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-pp", "alt-x", "ctrl-1", "a,,b", "ctrl-é", "é"])
def test_what_are_no_keys_is_named(text: str) -> None:
    with pytest.raises(Usage, match="--detach-keys"):
        parse_keys(text)


def test_they_are_found_in_one_read_and_in_many() -> None:
    assert Detector(b"\x10\x11").feed(b"ab\x10\x11cd") == (b"ab", True)
    detector = Detector(b"\x10\x11")
    assert detector.feed(b"a\x10") == (b"a", False)
    assert detector.feed(b"\x11") == (b"", True)


def test_a_beginning_that_comes_to_nothing_is_passed_on() -> None:
    detector = Detector(b"\x10\x11")
    assert detector.feed(b"\x10") == (b"", False)
    assert detector.feed(b"x") == (b"\x10x", False)
    assert detector.feed(b"\x10\x10\x11") == (b"\x10", True)
    assert Detector(b"aab").feed(b"aaab") == (b"a", True)


def test_without_keys_everything_is_passed_on() -> None:
    assert Detector(b"").feed(b"\x10\x11") == (b"\x10\x11", False)
