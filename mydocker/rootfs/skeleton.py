"""The same tar again: what is left of a tar when the content of its files is taken out.

A layer is known by the digest of its tar, but what we keep is the unpacked directory, and two tars
of the same files differ: in the order of members, in padding, in how a long name is written. So
the bytes that are not content are kept beside the directory, compressed, with marks where the
content of which file goes: `assemble` puts both together again. The tar is not kept twice, and a
file of the layer that was altered shows in the digest. (Docker does the same: tar-split.)

Shape: one zlib stream of records, each

    u32 length, that many bytes of the tar     then, if the next number is not 0,
    u64 length, u64 offset, u32 generation, u16 length and that many bytes of a path below diff/

for `length` bytes of that file from `offset`. A tar may hold a name twice, the later replacing the
earlier; the earlier content is then in replaced/, under the digest of its path and its generation.
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "skeleton"
_CHUNK = 1 << 18


class Skeleton:
    """Writes `<directory>/skeleton` while a tar is unpacked into `<directory>/diff`."""

    def __init__(self, directory: str) -> None:
        import zlib

        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(f"{directory}/{NAME}", flags, 0o600), "wb")
        self._zlib = zlib.compressobj(1)
        self._pending = bytearray()

    def keep(self, verbatim: bytes) -> None:
        """These bytes of the tar are no file's content."""
        self._pending += verbatim
        if len(self._pending) > _CHUNK:
            self._record(b"\0" * 8)

    def content(self, path: bytes, offset: int, length: int, generation: int) -> None:
        """Here the tar has this part of the file `path`."""
        if length:
            numbers = length.to_bytes(8, "big") + offset.to_bytes(8, "big")
            name = generation.to_bytes(4, "big") + len(path).to_bytes(2, "big") + path
            self._record(numbers + name)

    def _record(self, end: bytes) -> None:
        head = len(self._pending).to_bytes(4, "big")
        self._file.write(self._zlib.compress(head + self._pending + end))
        self._pending.clear()

    def close(self) -> None:
        """Write what is left, and make sure that it is on the disk."""
        self._record(b"\0" * 8)
        self._file.write(self._zlib.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, if it still is open: it will be removed."""
        try:
            self._file.close()
        except OSError:
            pass  # what was still to be written found no room: whoever abandons it knows already


def replaced(path: bytes, generation: int) -> str:
    """Where the content of a file goes that a later member of the same tar replaces."""
    import hashlib

    return f"replaced/{hashlib.sha256(path).hexdigest()}.{generation}"


def assemble(directory: str) -> Iterator[bytes]:
    """The tar, piece by piece; Corrupt names what is missing. Whether it is the same, its digest
    tells: that is for the caller to compare."""
    file = _Inflated(f"{directory}/{NAME}")
    read = file.read
    root = os.open(f"{directory}/diff", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    twice = os.path.isdir(f"{directory}/replaced")
    try:
        while head := read(4):
            verbatim = read(int.from_bytes(head, "big"))
            if verbatim:
                yield verbatim
            length = int.from_bytes(read(8), "big")
            if length:
                offset = int.from_bytes(read(8), "big")
                generation = int.from_bytes(read(4), "big")
                path = read(int.from_bytes(read(2), "big"))
                earlier = f"{directory}/{replaced(path, generation)}" if twice else ""
                yield from _content(root, path, earlier, offset, length)
    finally:
        os.close(root)
        file.close()


def size(directory: str) -> int:
    """How many bytes `assemble` gives, told from the skeleton alone."""
    file = _Inflated(f"{directory}/{NAME}")
    total = 0
    try:
        while head := file.read(4):
            verbatim = int.from_bytes(head, "big")
            file.read(verbatim)
            length = int.from_bytes(file.read(8), "big")
            total += verbatim + length
            if length:
                file.read(12)
                file.read(int.from_bytes(file.read(2), "big"))
    finally:
        file.close()
    return total


def _content(root: int, path: bytes, earlier: str, offset: int, length: int) -> Iterator[bytes]:
    name = os.fsdecode(path)
    try:
        if earlier and os.path.exists(earlier):
            fd = os.open(earlier, os.O_RDONLY | os.O_CLOEXEC)
        else:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except OSError as error:
        raise Corrupt("layer", name, os.strerror(error.errno or 0).lower()) from None
    try:
        while length:
            piece = os.pread(fd, min(length, _CHUNK), offset)
            if not piece:
                raise Corrupt("layer", name, "is shorter than it was")
            yield piece
            offset += len(piece)
            length -= len(piece)
    finally:
        os.close(fd)


class _Inflated:
    """Reads the compressed file of a skeleton: so many bytes at a time, b"" at its end."""

    def __init__(self, path: str) -> None:
        import zlib

        self.path = path
        try:
            self._file = open(path, "rb")  # noqa: SIM115  # closed by `close`
        except OSError as error:
            raise Corrupt("layer", path, os.strerror(error.errno or 0).lower()) from None
        self._zlib = zlib.decompressobj()
        self._error = zlib.error
        self._buffer = bytearray()

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count and not self._zlib.eof:
            try:
                compressed = self._zlib.unconsumed_tail or self._file.read(_CHUNK)
                self._buffer += self._zlib.decompress(compressed, _CHUNK)
            except self._error as error:
                raise Corrupt("layer", self.path, str(error)) from None
            if not compressed and not self._zlib.eof:
                raise Corrupt("layer", self.path, "is cut off")
        if self._buffer and len(self._buffer) < count:
            raise Corrupt("layer", self.path, "is cut off")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def close(self) -> None:
        self._file.close()
