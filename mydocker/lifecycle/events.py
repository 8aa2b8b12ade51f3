"""What has happened to containers, one JSON line each, for `mydocker events` to tell.

A daemon would keep this in memory and send it to who listens. Without one it is a file that
everybody appends to: `events.jsonl` below the state root, and one older file beside it, so that
both together never hold more than twice LARGEST bytes.

Invariant: a line is whole and in its place, however many write at once (flock(2)); and telling what
happened never stops it from happening: a full disk costs the event, not the container.
"""

from __future__ import annotations

import fcntl
import os

from mydocker.linux import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mydocker.lifecycle.container import Container

LARGEST = 1 << 20


def path(root: str) -> str:
    """The file of the newest events; the older ones are in the same name with `.1`."""
    return f"{root}/events.jsonl"


def emit(root: str, kind: str, action: str, identity: str, attributes: dict[str, str]) -> None:
    """Append one event: what kind of object, what happened, to which one, and what more to say."""
    import time

    event = {
        "time": time.time_ns(),
        "type": kind,
        "action": action,
        "id": identity,
        "attributes": attributes,
    }
    try:
        _append(path(root), (jsontext.dumps(event) + "\n").encode())
    except OSError:  # see the invariant
        pass


def container(root: str, action: str, about: Container, **more: str) -> None:
    """Append an event of a container, with its name, its image and its labels, as Docker does."""
    attributes = {**about.labels, "image": about.image, "name": about.name, **more}
    emit(root, "container", action, about.id, attributes)


def exit_code(root: str, identity: str, unknown: int) -> int:
    """The exit code with which a container ended that may be gone by now."""
    for name in (path(root), f"{path(root)}.1"):
        for event in reversed(list(read(name))):
            if event["id"] == identity and event["action"] == "die":
                return int(event["attributes"]["exitCode"])
    return unknown


def read(path: str) -> Iterator[dict[str, Any]]:
    """The events in a file, oldest first; half a line is left out."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except FileNotFoundError:
        return
    yield from filter(None, map(parse, lines))


def parse(line: str) -> dict[str, Any] | None:
    """One line as an event; None if it is none."""
    try:
        event = jsontext.loads(line)
    except ValueError:
        return None
    whole = isinstance(event, dict) and {"time", "type", "id", "action", "attributes"} <= {*event}
    return event if whole else None


def _append(path: str, line: bytes) -> None:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            status = os.fstat(fd)
            if status.st_nlink == 0 or status.st_ino != os.stat(path).st_ino:
                continue  # another has just put it aside
            if status.st_size + len(line) > LARGEST and status.st_size:
                os.rename(path, f"{path}.1")
                continue
            # A full disk may have left half a line: it must not become one with this.
            if status.st_size and os.pread(fd, 1, status.st_size - 1) != b"\n":
                line = b"\n" + line
            os.write(fd, line)
            return
        except FileNotFoundError:
            continue
        finally:
            os.close(fd)
