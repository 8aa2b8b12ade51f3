"""Read the events (events.py): those since a moment, and those to come, until a moment.

Invariant: each event is told once and in order, also when the file is put aside meanwhile.
"""

from __future__ import annotations

import os
import time

from mydocker.errors import Usage
from mydocker.lifecycle import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    Event = dict[str, Any]

PAUSE = 0.05
"""Seconds between two looks at the file."""

KEYS = ("container", "event", "image", "label", "type")


def follow(root: str, since: int | None, until: int | None) -> Iterator[Event]:
    """Events from `since` on, or from now, up to `until`, or for ever: nanoseconds since 1970."""
    path = events.path(root)
    now = time.time_ns()
    if since is None:
        since = now
    while True:
        file = _open(path)
        if file:
            break
        if until is not None and time.time_ns() > until:
            return
        time.sleep(PAUSE)
    if since < now:
        older = _open(f"{path}.1")
        if older and not os.path.samestat(os.fstat(older.fileno()), os.fstat(file.fileno())):
            yield from (e for e in _lines(older, []) if _within(e, since, until))
    rest: list[str] = []
    while True:
        over = until is not None and time.time_ns() > until
        moved = not _same(file, path)
        # In this order: what was written before it was put aside, or before the end, is read.
        for event in _lines(file, rest):
            if _within(event, since, until):
                yield event
        if moved:
            file.close()
            file = _open(path) or file
            rest.clear()
        elif over:
            return
        else:
            time.sleep(PAUSE)


def _within(event: Event, since: int, until: int | None) -> bool:
    return bool(event["time"] >= since and (until is None or event["time"] <= until))


def _open(path: str) -> TextIO | None:
    try:
        return open(path, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _same(file: TextIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:  # it is being put aside
        return True


def _lines(file: TextIO, rest: list[str]) -> Iterator[Event]:
    """The whole lines that are there; the begin of one that is not is kept in `rest`."""
    for line in file.read().splitlines(keepends=True):
        text = "".join(rest) + line
        rest.clear()
        if not text.endswith("\n"):
            rest.append(text)
            return
        event = events.parse(text)
        if event:
            yield event


def fits(event: Event, wanted: dict[str, list[str]]) -> bool:
    """Whether the event is one that the filters let through: any value of a key, every key."""
    return all(
        (all if key == "label" else any)(_holds(event, key, value) for value in values)
        for key, values in wanted.items()
    )


def _holds(event: Event, key: str, value: str) -> bool:
    attributes = event["attributes"]
    if key == "container":
        return bool(value) and (value == attributes.get("name") or event["id"].startswith(value))
    if key == "event":  # `health_status` also means `health_status: healthy`
        return bool(event["action"].partition(":")[0] == value or event["action"] == value)
    if key == "image":
        image: str = attributes.get("image", "")
        return value.removesuffix(":latest") == image.removesuffix(":latest")
    return _label(attributes, value) if key == "label" else bool(value == event["type"])


def _label(attributes: dict[str, str], value: str) -> bool:
    name, separator, text = value.partition("=")
    return name in attributes and (not separator or attributes[name] == text)


def filters(words: list[str]) -> dict[str, list[str]]:
    """`--filter KEY=VALUE` by key."""
    found: dict[str, list[str]] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key not in KEYS:
            raise Usage("--filter", word, "no such filter", hint=f"{', '.join(KEYS)}=VALUE")
        found.setdefault(key, []).append(value)
    return found
