"""`-u` by the files of a root directory; test_run.py has the same by the kernel's account."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mydocker.errors import Error
from mydocker.sandbox import user

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(
        b"root:x:0:0:root:/root:/bin/sh\n#comment\n\nbird:x:7:8::/home/bird:\n"
        b"\xff:x:9:9::/:\nno-home:x:10:10:::\nbird:x:99:99::/second:\nshort:x:1\n"
    )
    (tmp_path / "etc/group").write_text(
        "root:x:0:\nwheel:x:10:bird,root\nbird:x:8:bird\nodd:x:y:bird\n"
    )
    return str(tmp_path)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", (0, 0, [0, 10], "/root")),
        ("bird", (7, 8, [8, 10], "/home/bird")),
        ("7", (7, 8, [8, 10], "/home/bird")),
        ("bird:wheel", (7, 10, [10], "/home/bird")),
        ("bird:12", (7, 12, [12], "/home/bird")),
        ("12:bird", (12, 8, [8], "/")),
        ("12", (12, 0, [0], "/")),
        (":8", (0, 8, [8], "/root")),
        (os.fsdecode(b"\xff"), (9, 9, [9], "/")),
        ("no-home", (10, 10, [10], "/")),
    ],
)
def test_a_word_becomes_an_identity(
    root: str, word: str, expected: tuple[int, int, list[int], str]
) -> None:
    found = user.resolve(word, root)
    assert (found.uid, found.gid, found.groups, found.home) == expected


@pytest.mark.parametrize("word", ["short", "nobody", "7x", "-1", "٣", "2147483648", "9" * 9999])
def test_an_unknown_or_too_large_user_is_refused(root: str, word: str) -> None:
    with pytest.raises(Error, match=r"^user: "):
        user.resolve(word, root)
    with pytest.raises(Error, match=r"^group: "):
        user.resolve(f"0:{word}", root)


def test_without_the_files_numbers_still_work(tmp_path: Path) -> None:
    found = user.resolve("5:6", str(tmp_path))
    assert (found.uid, found.gid, found.groups, found.home) == (5, 6, [6], "/")
    assert user.resolve("", str(tmp_path)).uid == 0
