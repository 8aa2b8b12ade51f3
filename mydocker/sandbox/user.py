"""`-u NAME[:GROUP]` becomes numbers, by the container's own /etc/passwd and /etc/group.

The files are parsed here, by hand: the C library's getpwnam(3) would load the name-service
modules of the container into our process, which still has all its power (CVE-2019-14271).
passwd(5), group(5).
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error

_MAX = 2**31 - 1  # past it some programs see a negative id, hence root's (CVE-2024-40635)


class Identity:
    """uid, gid, supplementary groups and home directory of the user a process runs as."""

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def resolve(word: str, root: str = "/") -> Identity:
    """The identity behind `user`, `uid`, `user:group` or `uid:gid`; empty is root.

    A number needs no entry in the files. Supplementary groups are those that /etc/group lists the
    user in, unless a group was given, as with Docker; and the group itself, or a program could drop
    it for good and pass where a file denies it to that very group (CVE-2022-36109).
    """
    user, _, group = word.partition(":")
    user = user or "0"
    uid, gid, name, home = -1, 0, "", "/"
    for entry in _table(f"{root}/etc/passwd", 6):
        if user in (entry[0], entry[2]) and _is_number(entry[3]):
            uid, gid = _number("user", entry[2]), _number("group", entry[3])
            name, home = entry[0], entry[5] or "/"
            break
    if uid < 0:
        uid = _number("user", user)
    groups: list[int] = []
    table = _table(f"{root}/etc/group", 3)
    if group:
        named = [entry[2] for entry in table if group == entry[0]]
        gid = _number("group", named[0] if named else group)
    elif name:
        rows = [entry for entry in table if len(entry) > 3 and name in entry[3].split(",")]
        groups = [_number("group", entry[2]) for entry in rows]
    return Identity(uid, gid, [gid, *(number for number in groups if number != gid)], home)


def _table(path: str, columns: int) -> list[list[str]]:
    """The rows of a colon-separated file that have enough columns and a number in the third."""
    try:
        # Without O_NONBLOCK, a FIFO in the place of the file would hold us for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    regular = stat.S_ISREG(os.fstat(fd).st_mode)
    data = os.read(fd, 1 << 20) if regular else b""
    os.close(fd)
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) >= columns and _is_number(row[2])]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(kind: str, text: str) -> int:
    if not _is_number(text):
        raise Error(
            kind, text, f"not in the container's /etc/{'passwd' if kind == 'user' else 'group'}"
        )
    if len(text) > 10 or int(text) > _MAX:
        raise Error(kind, text, f"larger than {_MAX}")
    return int(text)
