"""The log of a container, read again: all of it, its end, or on and on while it grows.

The writer (logs.py) renames a full log.json to log.json.1 and begins a new one. A reader tells the
files apart by their inode, which stays the same when the name changes (stat(2)); it holds the one
that it reads open, so what was written into that is read to its end even when it has been removed.

Invariant: each entry once, in the order written, none left out, unless so much was rotated away
that the file which comes next is gone. A line that is only half there is left for the next look.
"""

from __future__ import annotations

import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    Entries = list[dict[str, str]]

_BLOCK = 1 << 16
_PAUSE = 0.05
"""Seconds between two looks at a log that has not grown."""


def entries(path: str) -> Iterator[dict[str, str]]:
    """All entries that there are, oldest first."""
    for batch in read(path):
        yield from batch


def read(path: str, tail: int = -1, lives: Callable[[], bool] | None = None) -> Iterator[Entries]:
    """Entries in batches, as they are found; the last `tail` of what is there, if not all.

    With `lives` it goes on until that says no: who writes the log must then have written it all.
    """
    chain = _open_all(path)
    if tail >= 0:
        for file in reversed(chain):  # from the newest back
            tail -= _seek_back(file, tail)
    current = chain[-1] if chain else None
    for file in chain:
        yield from _batches(file)
    while lives:
        going = lives()  # asked before we look, so that nothing comes after the look
        if current:
            yield from _batches(current)
        newer = _next(path, current)
        if newer:
            if current:
                yield from _batches(current)  # written until the new one was begun
            current = newer
        elif not going:
            return
        else:
            time.sleep(_PAUSE)


def _open_all(path: str) -> list[BinaryIO]:
    """The files of the log, oldest first.

    Opened from the newest back: one that is renamed meanwhile shows twice, and none is missed.
    """
    found: dict[int, BinaryIO] = {}
    number = 0
    while True:
        try:
            file = open(f"{path}.{number}" if number else path, "rb")  # noqa: SIM115  # kept open
        except OSError:
            if number:
                return [*reversed(found.values())]
        else:
            found.setdefault(os.fstat(file.fileno()).st_ino, file)
        number += 1


def _next(path: str, current: BinaryIO | None) -> BinaryIO | None:
    """The file that was begun after this one; None if there is none (yet)."""
    inode = os.fstat(current.fileno()).st_ino if current else 0
    try:
        if os.stat(path).st_ino == inode:
            return None
    except OSError:
        return None
    chain = _open_all(path)
    inodes = [os.fstat(file.fileno()).st_ino for file in chain]
    place = inodes.index(inode) + 1 if inode in inodes else 0
    return chain[place] if place < len(chain) else None


def _batches(file: BinaryIO) -> Iterator[Entries]:
    """What is in the file from here on, as far as its lines are whole."""
    if os.fstat(file.fileno()).st_size < file.tell():  # somebody has emptied it
        file.seek(0)
    while True:
        data = file.read(_BLOCK)
        if len(data) == _BLOCK:
            data += file.readline()
        end = data.rfind(b"\n") + 1
        file.seek(end - len(data), os.SEEK_CUR)
        if not end:
            return
        yield [entry for entry in map(_entry, data[:end].split(b"\n")) if entry]


def _entry(line: bytes) -> dict[str, str]:
    """One line; nothing if it is damaged, as by a crash or a full disk."""
    try:
        entry = json.loads(line)
        complete = isinstance(entry["log"], str) and entry["stream"] in ("stdout", "stderr")
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return entry if complete and isinstance(entry.get("time"), str) else {}


def _seek_back(file: BinaryIO, count: int) -> int:
    """Go to where the last `count` lines begin; returns how many there are from there on."""
    found, place = 0, file.seek(0, os.SEEK_END)
    while place > 0:
        size = min(_BLOCK, place)
        place -= size
        file.seek(place)
        data = file.read(size)
        end = len(data)
        while (end := data.rfind(b"\n", 0, end)) >= 0:
            if found == count:
                file.seek(place + end + 1)
                return count
            found += 1
    file.seek(0)
    return found
