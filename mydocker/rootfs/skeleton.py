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
    from collections.abc import Callable, Iterator

NAME = "skeleton"
_CHUNK = 1 << 18


class Skeleton:
    """Writes `<directory>/skeleton` while a tar is unpacked into `<directory>/diff`."""

    def __init__(self, directory: str) -> None:
        import zlib

        self._file = open(f"{directory}/{NAME}", "xb")  # noqa: SIM115  # closed by `close`
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
    read = _inflated(f"{directory}/{NAME}")
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


def _inflated(path: str) -> Callable[[int], bytes]:
    """A function that reads so many bytes of the skeleton; b"" at its end."""
    import zlib

    try:
        file = open(path, "rb")  # noqa: SIM115  # closed at its end
    except OSError as error:
        raise Corrupt("layer", path, os.strerror(error.errno or 0).lower()) from None
    inflate = zlib.decompressobj()
    buffer = bytearray()

    def read(count: int) -> bytes:
        while len(buffer) < count and not inflate.eof:
            try:
                compressed = inflate.unconsumed_tail or file.read(_CHUNK)
                buffer.extend(inflate.decompress(compressed, _CHUNK))
            except zlib.error as error:
                raise Corrupt("layer", path, str(error)) from None
            if not compressed and not inflate.eof:
                raise Corrupt("layer", path, "is cut off")
        if inflate.eof:
            file.close()
        if buffer and len(buffer) < count:
            raise Corrupt("layer", path, "is cut off")
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    return read
