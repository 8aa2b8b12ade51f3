"""`-u NAME[:GROUP]` becomes numbers, by the container's own /etc/passwd and /etc/group.

The files are parsed here, by hand: the C library's getpwnam(3) would load the name-service
modules of the container into our process, which still has all its power (CVE-2019-14271).
passwd(5), group(5).
"""

from __future__ import annotations

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
    user in, unless a group was given, as with Docker.
    """
    user, _, group = (word or "0").partition(":")
    uid, gid, name, home = -1, 0, "", "/"
    for entry in _table(f"{root}/etc/passwd", 6):
        if user in (entry[0], entry[2]) and entry[3].isdigit():
            uid, gid, name, home = int(entry[2]), int(entry[3]), entry[0], entry[5] or "/"
            break
    if uid < 0:
        uid = _number("user", user)
    groups: list[int] = []
    table = _table(f"{root}/etc/group", 3)
    if group:
        named = [int(entry[2]) for entry in table if group == entry[0]]
        gid = named[0] if named else _number("group", group)
    elif name:
        members = [(int(entry[2]), entry[3].split(",")) for entry in table if len(entry) > 3]
        groups = [number for number, names in members if name in names and number != gid]
    return Identity(uid, gid, groups, home)


def _table(path: str, columns: int) -> list[list[str]]:
    """The rows of a colon-separated file that have enough columns and a number in the third."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) >= columns and row[2].isdigit()]


def _number(kind: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Error(
            kind, text, f"not in the container's /etc/{'passwd' if kind == 'user' else 'group'}"
        )
    if int(text) > _MAX:
        raise Error(kind, text, f"larger than {_MAX}")
    return int(text)
