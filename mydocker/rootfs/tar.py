"""The tar format: members read from a stream, and members written as bytes.

A tar is a row of 512-byte blocks: for each member a header, then its content filled up to a whole
block; two blocks of zeros end it (POSIX pax, "ustar Interchange Format"). What does not fit into
the header's fields (long names, big numbers, exact times, extended attributes) stands in a member
of its own before it: pax records (`x`), or GNU's `L` and `K`. All of these are read, with GNU's
and pax's sparse files; what we write is ustar with pax records where they are needed.

The standard library's `tarfile` keeps every member in memory, has no sparse files in a stream, and
would not tell us which bytes were headers, and those are what it takes to make the same tar again
(skeleton.py).

Invariant: reading uses bounded memory whatever the stream says, and either understands a member or
refuses the tar; names are bytes, as the kernel has them.
"""

from __future__ import annotations

import os

from mydocker.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 512
CHUNK = 65536
_LIMIT = 1 << 20  # bytes of pax records, of a long name, of a sparse map: as Go's reader has it

REGULAR, HARD_LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = (bytes([c]) for c in b"0123456")
_KNOWN = frozenset((REGULAR, HARD_LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_XATTR = b"SCHILY.xattr."


class Member:
    """One entry of a tar.

    type: one of the constants above; mode: permission bits; size: bytes of the file; mtime:
    nanoseconds since 1970; link: the target of a link; major, minor: of a device; sparse: the
    parts of the file that the tar holds, as (offset, length), or None if it holds all of it.
    """

    __slots__ = tuple("name type mode uid gid size mtime link major minor xattrs sparse".split())

    def __init__(self, name: bytes, type: bytes = REGULAR, mode: int = 0o644) -> None:
        self.name = name
        self.type = type
        self.mode = mode
        self.uid = self.gid = self.size = self.mtime = self.major = self.minor = 0
        self.link = b""
        self.xattrs: dict[bytes, bytes] = {}
        self.sparse: list[tuple[int, int]] | None = None


def printable(name: bytes) -> str:
    """A name for a message: whatever a terminal could obey is written as an escape."""
    text = os.fsdecode(name)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _bad(name: bytes, why: str) -> Error:
    return Error("tar", printable(name) or "the archive", why)


class Reader:
    """The members of a tar that comes in pieces: `more()` gives the next piece, or b"" at the end.

    Iterate over it for the members; after a regular one, `data()` gives its content piece by piece
    (what is not asked for is skipped). `digest` is the sha256 of all that has passed; `keep` is
    given what was not given out as content: headers, padding, skipped members.

    Who only wants to know what is where gives `seek(count)`, which passes over so many bytes of
    the stream: content that is not asked for is then not read, and not in the digest.
    """

    def __init__(
        self,
        more: Callable[[], bytes],
        keep: Callable[[bytes], object] = lambda _: None,
        seek: Callable[[int], object] | None = None,
    ) -> None:
        import hashlib

        self._more = more
        self._keep = keep
        self._seek = seek
        self._buffer = b""
        self._at = 0
        self._passed = 0  # bytes of the stream up to the end of the buffer
        self._left = 0  # bytes of the current member's content that the stream still holds
        self._padding = 0
        self._name = b""
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """`sha256:…` of everything that was read."""
        return f"sha256:{self._sha256.hexdigest()}"

    @property
    def offset(self) -> int:
        """Where in the stream the reading is: at the member's content, until that is asked for."""
        return self._passed - len(self._buffer) + self._at

    # Bytes

    def _fill(self) -> bool:
        self._buffer, self._at = self._more(), 0
        self._sha256.update(self._buffer)
        self._passed += len(self._buffer)
        return bool(self._buffer)

    def _take(self, count: int) -> bytes:
        """Exactly `count` bytes, which are kept too; fewer only at the end of the stream."""
        end = self._at + count
        if end <= len(self._buffer):
            taken = self._buffer[self._at : end]
            self._at = end
        else:
            parts = [self._buffer[self._at :]]
            count -= len(parts[0])
            self._at = len(self._buffer)
            while count and self._fill():
                parts.append(self._buffer[:count])
                self._at = len(parts[-1])
                count -= self._at
            taken = b"".join(parts)
        self._keep(taken)
        return taken

    def _whole(self, count: int) -> bytes:
        taken = self._take(count)
        if len(taken) != count:
            raise _bad(self._name, "the archive ends in the middle of it")
        return taken

    def _content(self, size: int) -> bytes:
        """The whole content of a member that only describes another one."""
        if size > _LIMIT:
            raise _bad(self._name, f"has a header of {size} bytes")
        return self._whole(-(-size // BLOCK) * BLOCK)[:size]

    def data(self, limit: int = CHUNK) -> bytes:
        """The next piece of the member's content, of `limit` bytes at most; b"" after the last."""
        if not self._left:
            return b""
        if self._at == len(self._buffer) and not self._fill():
            raise _bad(self._name, "the archive ends in the middle of it")
        end = min(self._at + min(limit, self._left), len(self._buffer))
        piece = self._buffer[self._at : end]
        self._at = end
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        """Pass over what is left of the current member, a piece at a time."""
        rest = len(self._buffer) - self._at
        if self._seek and self._left > rest:
            self._seek(self._left - rest)
            self._passed += self._left - rest
            self._buffer, self._at, self._left = b"", 0, 0
        while self._left:
            self._left -= len(self._whole(min(self._left, CHUNK)))
        if self._padding:
            self._whole(self._padding)
            self._padding = 0

    # Members

    def __iter__(self) -> Iterator[Member]:
        records: dict[bytes, bytes] = {}
        defaults: dict[bytes, bytes] = {}
        first = True
        while (header := self._header(first)) is not None:
            first = False
            kind = header[156:157]
            if kind in b"xXgLK":
                size = _number(header[124:136], b"size", self._name)
                content = self._content(size)
                if kind == b"g":
                    defaults.update(_pax(content, self._name))
                elif kind == b"L":
                    records[b"path"] = content.split(b"\0", 1)[0]
                elif kind == b"K":
                    records[b"linkpath"] = content.split(b"\0", 1)[0]
                else:
                    records.update(_pax(content, self._name))
                continue
            member = self._member(header, defaults | records if defaults else records)
            records = {}
            if member is not None:
                yield member
            self.skip()
        while self._take(CHUNK):  # the digest covers what follows the end, too
            pass

    def _header(self, first: bool) -> bytes | None:
        header = self._take(BLOCK)
        if not header and not first:
            return None  # no blocks of zeros at the end: every reader accepts that
        if len(header) < BLOCK:
            if first:
                raise _bad(b"", "is not a tar" if header else "is empty")
            raise _bad(b"", f"ends in the middle of a header after {printable(self._name)}")
        if header.count(0) == BLOCK:
            return None
        recorded = _octal(header[148:156])
        total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
        if total != recorded and total - 256 * sum(b > 127 for b in header) != recorded:
            raise _bad(
                b"", "is not a tar" if first else f"is damaged after {printable(self._name)}"
            )
        return header

    def _member(self, header: bytes, records: dict[bytes, bytes]) -> Member | None:
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and header[345]:  # POSIX's prefix; GNU's has another use
            name = header[345:500].split(b"\0", 1)[0] + b"/" + name
        name = records.get(b"GNU.sparse.name") or records.get(b"path") or name
        self._name = name
        member = Member(name, header[156:157])
        member.mode = _number(header[100:108], b"mode", name) & 0o7777
        member.uid = _number(header[108:116], b"uid", name)
        member.gid = _number(header[116:124], b"gid", name)
        size = _number(header[124:136], b"size", name)
        member.mtime = _number(header[136:148], b"mtime", name, signed=True) * 1_000_000_000
        member.link = header[157:257].split(b"\0", 1)[0]
        if records:
            member.uid = _decimal(records, b"uid", name, member.uid)
            member.gid = _decimal(records, b"gid", name, member.gid)
            size = _decimal(records, b"size", name, size)
            member.link = records.get(b"linkpath") or member.link
            if records.get(b"mtime"):
                member.mtime = _time(records[b"mtime"], name)
            for key, value in records.items():
                if key.startswith(_XATTR):
                    member.xattrs[key[len(_XATTR) :]] = value
        kind = member.type
        if kind in (b"\0", b"7", b"0"):
            member.type = DIRECTORY if kind == b"\0" and name.endswith(b"/") else REGULAR
        elif kind == b"D":  # GNU's incremental backups: a directory, whose content lists it
            member.type = DIRECTORY
        elif kind in (CHAR, BLOCK_DEVICE):
            member.major = _number(header[329:337], b"device", name)
            member.minor = _number(header[337:345], b"device", name)
        elif kind not in _KNOWN and kind not in b"SV":
            raise _bad(name, f"has the unknown type '{printable(kind)}'")
        holds = kind == b"D" or member.type in (REGULAR, b"S", b"V")
        self._left = size if holds else 0  # links and devices may state a size: it means nothing
        self._padding = -self._left % BLOCK
        member.size = size if member.type == REGULAR else 0
        if kind == b"S":
            self._old_sparse(member, header)
        elif member.type == REGULAR and any(key.startswith(b"GNU.sparse.") for key in records):
            self._pax_sparse(member, records)
        return None if kind == b"V" else member

    # Sparse files: the tar holds only the parts that are not holes

    def _old_sparse(self, member: Member, header: bytes) -> None:
        """GNU's own: four parts in the header, 21 more in each block that follows it."""
        member.type = REGULAR
        member.size = _number(header[483:495], b"size", member.name)
        parts: list[tuple[int, int]] = []
        fields, more = header[386:482], header[482]
        while True:
            for at in range(0, len(fields), 24):
                if fields[at] or fields[at + 12]:
                    offset = _number(fields[at : at + 12], b"sparse map", member.name)
                    length = _number(fields[at + 12 : at + 24], b"sparse map", member.name)
                    parts.append((offset, length))
            if not more:
                break
            if len(parts) * 24 > _LIMIT:
                raise _bad(member.name, "has too many holes")
            block = self._whole(BLOCK)
            fields, more = block[:504], block[504]
        self._set_sparse(member, parts)

    def _pax_sparse(self, member: Member, records: dict[bytes, bytes]) -> None:
        """Pax's versions 0.0 and 0.1 (the map is a record) and 1.0 (it stands before the data)."""
        name = member.name
        if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            member.size = _decimal(records, b"GNU.sparse.realsize", name, member.size)
            numbers = self._sparse_map(name)
        elif b"GNU.sparse.map" in records:
            member.size = _decimal(records, b"GNU.sparse.size", name, member.size)
            text = records[b"GNU.sparse.map"]
            numbers = (
                [_digits(word, b"sparse map", name) for word in text.split(b",")] if text else []
            )
        else:
            raise _bad(name, "is a sparse file of an unknown kind")
        if len(numbers) % 2:
            raise _bad(name, "has half a sparse map")
        self._set_sparse(member, list(zip(numbers[::2], numbers[1::2], strict=True)))

    def _sparse_map(self, name: bytes) -> list[int]:
        text, count = b"", -1
        while count < 0 or text.count(b"\n") < count:
            if len(text) > _LIMIT:
                raise _bad(name, "has too many holes")
            if self._left < BLOCK:
                raise _bad(name, "has half a sparse map")
            text += self._whole(BLOCK)
            self._left -= BLOCK
            if count < 0 and b"\n" in text:
                count = 2 * _digits(text.split(b"\n", 1)[0], b"sparse map", name) + 1
        return [_digits(word, b"sparse map", name) for word in text.split(b"\n")[1:count]]

    def _set_sparse(self, member: Member, parts: list[tuple[int, int]]) -> None:
        end = 0
        for offset, length in parts:
            if offset < end or offset + length > member.size:
                raise _bad(member.name, "has a sparse map that makes no sense")
            end = offset + length
        if sum(length for _, length in parts) != self._left:
            raise _bad(member.name, "has a sparse map that does not match its size")
        member.sparse = [part for part in parts if part[1]]


def _number(field: bytes, what: bytes, name: bytes, signed: bool = False) -> int:
    """A number of a header: octal digits, or GNU's base 256 where the first bit is set."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if value >> (bits - 1):
            value -= 1 << bits
    else:
        value = _octal(field)
        if value < 0:
            raise _bad(name, f"has no sound {what.decode()}")
    if value < 0 and not signed:
        raise _bad(name, f"has a negative {what.decode()}")
    return value


def _octal(field: bytes) -> int:
    """Octal digits, with spaces before or after, up to a zero byte; -1 if it is something else."""
    text = field.split(b"\0", 1)[0].strip()
    try:
        return int(text or b"0", 8) if not text or text.isdigit() else -1
    except ValueError:
        return -1


def _digits(text: bytes, what: bytes, name: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise _bad(name, f"has no sound {what.decode()}")
    return int(text)


def _decimal(records: dict[bytes, bytes], key: bytes, name: bytes, default: int) -> int:
    text = records.get(key)
    return _digits(text, key, name) if text else default


def _time(text: bytes, name: bytes) -> int:
    """Pax's `1700000000.25`, as nanoseconds."""
    whole, _, part = text.removeprefix(b"-").partition(b".")
    nanoseconds = _digits(whole, b"mtime", name) * 1_000_000_000
    if part:
        nanoseconds += _digits(part[:9].ljust(9, b"0"), b"mtime", name)
    return -nanoseconds if text.startswith(b"-") else nanoseconds


def _pax(content: bytes, name: bytes) -> dict[bytes, bytes]:
    """Records, each `LENGTH KEY=VALUE\\n`, the length counting itself."""
    records: dict[bytes, bytes] = {}
    numbers: list[bytes] = []  # the sparse map of pax's version 0.0 repeats its keys
    at = 0
    while at < len(content) and content[at]:
        digits = content[at : at + 8].split(b" ", 1)[0]
        end = at + (int(digits) if digits.isdigit() else 0)
        key, equals, value = content[at + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or end > len(content) or content[end - 1 : end] != b"\n":
            raise _bad(name, "has damaged pax records")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            numbers.append(value)
        elif b"\0" in key or (b"\0" in value and not key.startswith(_XATTR)):
            raise _bad(name, "has damaged pax records")
        else:
            records[key] = value
        at = end
    if numbers:
        records[b"GNU.sparse.map"] = b",".join(numbers)
    return records


# Writing

END = bytes(2 * BLOCK)


def encode(member: Member) -> bytes:
    """A member's header, with the pax records before it that it needs.

    The same member always gives the same bytes: no names of users, no other times than mtime.
    """
    records: dict[bytes, bytes] = {}
    if len(member.name) > 100:
        records[b"path"] = member.name
    if len(member.link) > 100:
        records[b"linkpath"] = member.link
    numbers = {b"uid": (member.uid, 8), b"gid": (member.gid, 8), b"size": (member.size, 12)}
    for key, (value, width) in numbers.items():
        if value >= 8 ** (width - 1):
            records[key] = b"%d" % value
    seconds, part = divmod(member.mtime, 1_000_000_000)
    if part or not 0 <= seconds < 8**11:
        records[b"mtime"] = _time_text(member.mtime)
    records.update({_XATTR + attribute: text for attribute, text in member.xattrs.items()})
    if not records:
        return _header(member, member.name, member.type, member.size, member.mtime)
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    name = b"PaxHeaders/" + member.name.rstrip(b"/").rsplit(b"/", 1)[-1]
    padding = bytes(-len(content) % BLOCK)
    before = _header(Member(b""), name, b"x", len(content), 0)
    header = _header(member, member.name, member.type, member.size, member.mtime)
    return before + content + padding + header


def _time_text(mtime: int) -> bytes:
    whole, part = divmod(abs(mtime), 1_000_000_000)
    text = b"%d.%09d" % (whole, part)
    return (b"-" if mtime < 0 else b"") + text.rstrip(b"0").rstrip(b".")


def _record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3  # the space, the equals sign, the newline
    total = length + len(b"%d" % length)
    total = length + len(b"%d" % total)
    return b"%d %s=%s\n" % (total, key, value)


def _header(member: Member, name: bytes, kind: bytes, size: int, mtime: int) -> bytes:
    def octal(value: int, width: int) -> bytes:
        fits = 0 <= value < 8 ** (width - 1)
        return b"%0*o\0" % (width - 1, value if fits else 0)

    block = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            octal(member.mode, 8),
            octal(member.uid, 8),
            octal(member.gid, 8),
            octal(size, 12),
            octal(mtime // 1_000_000_000, 12),
            b"        ",
            kind,
            member.link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            octal(member.major, 8),
            octal(member.minor, 8),
            bytes(167),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
