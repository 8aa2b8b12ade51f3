"""diff: what a container changed in its files, read off the upper directory (the book's 4.4).

overlayfs has put there every file that was made or changed, and a mark for every one that was
deleted. What is added (A), changed (C) or deleted (D) is told by a look for the same name in the
image's layers below: they are asked for single names, and listed only where the upper directory
hides one of their directories whole.

Docker's words and rules: a file that was only opened for writing is not changed, nor is a directory
because of its time; the directories above a change are changed; of a directory that is gone, its
content is not told.
"""

from __future__ import annotations

import os
import stat

from mydocker.rootfs import layer
from mydocker.rootfs.layer import OVERLAY, lstat
from mydocker.rootfs.whiteout import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ADDED, CHANGED, DELETED = "A", "C", "D"


def diff(layers: list[str], upper: str, exclude: Iterable[str] = ()) -> list[tuple[str, bytes]]:
    """(kind, path) of each change, each directory before what is in it, by name.

    layers: the image's, lowest first; exclude: paths that something is mounted on.
    """
    skip = frozenset(path.strip("/").encode("utf-8", "surrogateescape") for path in exclude)
    kinds: dict[bytes, str] = {}
    below = {b"": [os.fsencode(path) for path in reversed(layers)]}
    for member, fd, base in layer.tree(upper, skip):
        path = member.name.rstrip(b"/")
        if path == b".":
            continue
        was, directories = look(below.get(path.rpartition(b"/")[0], []), base)
        if is_whiteout(member):
            if was:
                kinds[path] = DELETED
            continue
        now = lstat(base, fd)
        if now is None:  # a running container has removed it just now
            continue
        if was is None:
            kinds[path] = ADDED
        elif different(was, now):
            kinds[path] = CHANGED
        if not stat.S_ISDIR(now.st_mode):
            continue
        below[path] = directories
        if directories and member.xattrs.get(OVERLAY + b"opaque") == b"y":
            here = set(map(os.fsencode, os.listdir(b"/proc/self/fd/%d/%s" % (fd, base))))
            for name in names(directories) - here:
                if path + b"/" + name not in skip:
                    kinds[path + b"/" + name] = DELETED
    for path in list(kinds):
        while path := path.rpartition(b"/")[0]:
            kinds.setdefault(path, CHANGED)
    paths = sorted(kinds, key=lambda path: path.split(b"/"))
    return [(kinds[path], b"/" + path) for path in paths]


def look(directories: list[bytes], name: bytes) -> tuple[os.stat_result | None, list[bytes]]:
    """What the layers show under a name: its attributes, and the directories that are merged.

    directories: those of the layers in which to look, the uppermost first.
    """
    first: os.stat_result | None = None
    merged = []
    for directory in directories:
        path = directory + b"/" + name
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:  # deleted by this layer
            break
        first = first or found
        if not stat.S_ISDIR(found.st_mode):
            break
        merged.append(path)
        if _opaque(path):
            break
    return first, merged


def names(directories: list[bytes]) -> set[bytes]:
    """The names that the layers show in a directory that they merge."""
    listed = {name for directory in directories for name in os.listdir(directory)}
    return {name for name in listed if look(directories, name)[0]}


def different(was: os.stat_result, now: os.stat_result) -> bool:
    """Whether the attributes tell a change."""
    fields = ("st_mode", "st_uid", "st_gid", "st_rdev")
    if any(getattr(was, field) != getattr(now, field) for field in fields):
        return True
    if stat.S_ISDIR(now.st_mode):
        return False
    return was.st_size != now.st_size or was.st_mtime_ns != now.st_mtime_ns


def _opaque(path: bytes) -> bool:
    try:
        return os.getxattr(path, OVERLAY + b"opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
