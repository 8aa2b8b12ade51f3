"""What a container may be called."""

from __future__ import annotations

import pytest

from mydocker.errors import Usage
from mydocker.lifecycle import names


def test_invented_names_are_two_words_that_may_be_names() -> None:
    found = {names.invent() for _ in range(200)}
    assert len(found) > 100
    for name in found:
        left, right = names.check(name).split("_")
        assert left in names.LEFT
        assert right in names.RIGHT


def test_the_words_are_plain_and_each_is_there_once() -> None:
    for words in (names.LEFT, names.RIGHT):
        assert len(words) == len(set(words)) > 40
        assert all(word.isascii() and word.isalpha() and word.islower() for word in words)


@pytest.mark.parametrize("name", ["bird", "Bird-2", "a.b_c-d", "9x", "x" * 128])
def test_dockers_names_are_names(name: str) -> None:
    assert names.check(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a", "-ab", ".ab", "_ab", "..", "a/b", "a b", "a\nb", "böse", "a:b", "x" * 129, "ab" * 32],
)
def test_what_could_be_a_path_a_flag_or_an_id_is_no_name(name: str) -> None:
    with pytest.raises(Usage) as caught:
        names.check(name)
    assert str(caught.value).startswith("--name: ")
