"""Where a saved image is read from: a directory, a tar file, or a stream, each as named files.

A tar is not unpacked: a first pass notes where in it each file is, passing over the contents, and
what is wanted is then read from there. What cannot be gone back in (a pipe) or is compressed is
first copied to a scratch file of the store.

Invariant: a name leads to a regular file of the archive or to nothing. Links, which `docker save`
wrote for layers that images share, are followed within the archive only; a name that occurs twice,
that is absolute or that has `..` in it is refused, and so is one that is too much to remember.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls
from mydocker.rootfs import compression, oci, tar
from mydocker.rootfs.tar import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Protocol, Self

    from mydocker.linux.cleanup import Cleanup
    from mydocker.rootfs.store import Store

    class Archive(Protocol):
        """Files by name: `open` gives one to read, with its size; NoSuchFile if there is none."""

        name: str

        def open(self, path: str) -> Part: ...


MOST_MEMBERS = 100_000


class NoSuchFile(Error):
    """The archive has no file of that name."""


def _bad(archive: str, name: bytes | str, why: str, kind: type[Error] = Error) -> Error:
    """What is wrong with one file of an archive."""
    text = printable(name) if isinstance(name, bytes) else name
    return kind("load", archive, f"{text} {why}")


class Part:
    """A stretch of an open file, to be read once from its beginning."""

    def __init__(self, fd: int, offset: int, size: int, own: bool = False) -> None:
        self.size = size
        self._fd = fd
        self._offset = offset
        self._left = size
        self._own = own

    def read(self, count: int) -> bytes:
        """Up to so many bytes; b"" at the end."""
        piece = os.pread(self._fd, min(count, self._left), self._offset)
        self._offset += len(piece)
        self._left -= len(piece)
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            os.close(self._fd)


def read(archive: Archive, path: str) -> bytes:
    """The whole of a document, which must not be longer than `oci.LIMIT`."""
    with archive.open(path) as part:
        if part.size > oci.LIMIT:
            raise _bad(archive.name, path, f"is a document of {part.size} bytes")
        pieces = []
        while piece := part.read(oci.LIMIT):
            pieces.append(piece)
    return b"".join(pieces)


def open_path(store: Store, path: str, undo: Cleanup) -> Archive:
    """The archive that a path leads to; it is closed, and what it needed removed, by `undo`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error, "open", path) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        undo.push(os.close, fd)
        return Directory(path, fd)
    file = os.fdopen(fd, "rb", buffering=0)
    undo.push(file.close)
    return open_stream(store, file, path, undo)


def open_stream(store: Store, stream: BinaryIO, name: str, undo: Cleanup) -> Archive:
    """The tar that comes from a stream, plain or compressed."""
    fd = _plain_file(stream)
    if fd < 0:
        fd = _copy(store, stream, undo)
    return TarFile(name, fd)


def _plain_file(stream: BinaryIO) -> int:
    """The stream's descriptor, if it is a file that holds a tar from its very beginning; or -1."""
    try:
        fd = stream.fileno()
        if not stat.S_ISREG(os.fstat(fd).st_mode) or os.lseek(fd, 0, os.SEEK_CUR):
            return -1
        return fd if not compression.is_compressed(os.pread(fd, 8, 0)) else -1
    except (OSError, ValueError):
        return -1


def _copy(store: Store, stream: BinaryIO, undo: Cleanup) -> int:
    """Copy a stream, uncompressed, to a scratch file; the file's descriptor."""
    from mydocker.linux.trace import step
    from mydocker.rootfs.store import Scratch

    scratch = Scratch(store).__enter__()
    undo.push(scratch.__exit__)
    path = f"{scratch.directory}/archive.tar"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    undo.push(os.close, fd)
    more = compression.pieces(stream)

    def copy(_: str) -> None:
        while piece := more():
            files.write_all(fd, piece)

    try:
        step("copy", (path,), copy)
    except OSError as error:
        raise KernelError.of(error, "write", path) from None
    return fd


class Directory:
    """A directory, as an OCI layout may be: no name leads out of it."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd

    def open(self, path: str) -> Part:
        """The file `path` below the directory."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        rules = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
        try:
            fd = syscalls.openat2(self._fd, path, flags, 0, rules)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise _bad(self.name, path, "is missing", NoSuchFile) from None
            leads = error.errno == errno.EXDEV
            why = "leads out of the directory" if leads else f"cannot be read: {error.why}"
            raise _bad(self.name, path, why) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise _bad(self.name, path, "is not a file")
        return Part(fd, 0, found.st_size, own=True)


class TarFile:
    """A tar in a file that can be read anywhere (`fd`)."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        self._parts: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._look()

    def _look(self) -> None:
        size = os.fstat(self._fd).st_size
        at = 0

        def more() -> bytes:
            nonlocal at
            piece = os.pread(self._fd, 4096, at)
            at += len(piece)
            return piece

        def seek(count: int) -> None:
            nonlocal at
            at += count

        reader = tar.Reader(more, seek=seek)
        seen = set[str]()
        for member in reader:
            if len(seen) > MOST_MEMBERS:
                raise _bad(self.name, member.name, "is one file too many")
            path = self._path(member.name, member)
            if path in seen and member.type != tar.DIRECTORY:
                raise _bad(self.name, member.name, "is in the archive twice")
            seen.add(path)
            if member.type == tar.REGULAR and member.sparse is None:
                if reader.offset + member.size > size:
                    raise _bad(self.name, member.name, "is cut off by the end of the archive")
                self._parts[path] = reader.offset, member.size
            elif member.type in (tar.SYMLINK, tar.HARD_LINK):
                above = posixpath.dirname(path) if member.type == tar.SYMLINK else ""
                self._links[path] = self._path(member.link, member, above)
            elif member.type != tar.DIRECTORY:
                raise _bad(self.name, member.name, "has no place in an image archive")

    def _path(self, name: bytes, member: tar.Member, above: str = "") -> str:
        """The name as a plain path below the archive's top; Error if it is none."""
        text = os.fsdecode(name)
        plain = posixpath.normpath(posixpath.join(above, text))
        climbs = plain.startswith("../") or plain == ".." or (".." in text.split("/") and not above)
        if text.startswith("/") or climbs:
            raise _bad(self.name, member.name, "leads out of the archive")
        return plain

    def open(self, path: str) -> Part:
        """The file `path` of the tar."""
        for _ in range(8):
            if path in self._parts:
                return Part(self._fd, *self._parts[path])
            if path not in self._links:
                raise _bad(self.name, path, "is missing", NoSuchFile)
            path = self._links[path]
        raise _bad(self.name, path, "is a link to a link to a link …")
