"""Compressed streams, told by their first bytes: gzip, bzip2, xz, zstd, or none.

Invariant: bounded memory, whatever the stream expands to; a damaged stream is an Error, and so is
one that ends too early.
"""

from __future__ import annotations

from mydocker.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Stream(Protocol):
        """What is read from: `read(n)` gives up to n bytes, b"" at the end."""

        def read(self, count: int, /) -> bytes: ...

    class Decompressor(Protocol):
        """What the modules bz2, lzma and (from Python 3.14) compression.zstd have in common."""

        def decompress(self, data: bytes, max_length: int) -> bytes: ...
        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...


CHUNK = 1 << 18

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def pieces(stream: Stream) -> Callable[[], bytes]:
    """A function that gives the next piece of the stream's uncompressed content; b"" at its end."""
    head = _read(stream)
    while 0 < len(head) < 6:
        more = _read(stream)
        if not more:
            break
        head += more
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return _Stream(stream, head, magic, kind).more
    waiting = [head]
    return lambda: waiting.pop() if waiting else _read(stream)


def is_compressed(head: bytes) -> bool:
    """Whether a stream that begins so is in one of the compressed formats."""
    return head.startswith(tuple(_MAGIC))


def _read(stream: Stream) -> bytes:
    try:
        return stream.read(CHUNK) or b""
    except OSError as error:
        raise Error("read", str(getattr(stream, "name", "the archive")), str(error)) from None


class _Stream:
    """One or several compressed streams in a row, as gzip and zstd write them side by side."""

    def __init__(self, stream: Stream, head: bytes, magic: bytes, kind: str) -> None:
        self.stream = stream
        self.magic = magic
        self.kind = kind
        self.input = head
        self.one = _decompressor(kind)

    def more(self) -> bytes:
        while True:
            if self.one.eof:
                rest = (self.one.unused_data or self.input) or _read(self.stream)
                while 0 < len(rest) < len(self.magic) and (more := _read(self.stream)):
                    rest += more
                if not rest.startswith(self.magic):
                    self._refuse_rest(rest)
                    return b""
                self.one, self.input = _decompressor(self.kind), rest
            elif self.one.needs_input and not self.input:
                self.input = _read(self.stream)
                if not self.input:
                    raise Error(self.kind, "the archive", "ends too early")
            data, self.input = self.input, b""
            try:
                piece = self.one.decompress(data, CHUNK)
            except _errors() as error:
                raise Error(self.kind, "the archive", f"is damaged: {error}") from None
            if piece:
                return piece

    def _refuse_rest(self, rest: bytes) -> None:
        while rest:
            if rest.strip(b"\0"):
                raise Error(self.kind, "the archive", "is followed by something else")
            rest = _read(self.stream)


def _errors() -> tuple[type[Exception], ...]:
    """What decompressors raise; two of the modules, if they are in use, have an error of theirs."""
    import sys

    names = {"lzma": "LZMAError", "compression.zstd": "ZstdError"}
    own = [getattr(sys.modules[name], names[name]) for name in names if name in sys.modules]
    return (OSError, ValueError, EOFError, *own)


def _decompressor(kind: str) -> Decompressor:
    if kind == "gzip":
        return Gzip()
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    if kind == "xz":
        import lzma

        return lzma.LZMADecompressor()
    return _zstd()


class Gzip:
    """zlib's decompressor with the manners of the other modules'."""

    def __init__(self) -> None:
        import zlib

        self._error = zlib.error
        self._zlib = zlib.decompressobj(31)  # 31: a gzip header, and its checksum is compared

    def decompress(self, data: bytes, max_length: int) -> bytes:
        try:
            return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        except self._error as error:
            raise ValueError(str(error)) from None

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _zstd() -> Decompressor:
    """Python has zstd from 3.14 on; before that we ask the library itself, which dpkg needs too."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return zstd.ZstdDecompressor()  # type: ignore[no-any-return,unused-ignore]
    except ImportError:
        return Zstd()


class Zstd:
    """libzstd's streaming decompressor (zstd.h, ZSTD_decompressStream), through ctypes."""

    def __init__(self) -> None:
        import ctypes

        class Buffer(ctypes.Structure):
            _fields_ = [
                ("data", ctypes.c_void_p),
                ("size", ctypes.c_size_t),
                ("at", ctypes.c_size_t),
            ]

        try:
            self._lib = ctypes.CDLL("libzstd.so.1")
        except OSError:
            hint = "install libzstd1, or decompress it first"
            raise Error("zstd", "the archive", "libzstd is not installed", hint=hint) from None
        self._lib.ZSTD_createDStream.restype = ctypes.c_void_p
        self._lib.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        self._lib.ZSTD_decompressStream.restype = ctypes.c_size_t
        self._lib.ZSTD_decompressStream.argtypes = [ctypes.c_void_p] * 3
        self._lib.ZSTD_getErrorName.restype = ctypes.c_char_p
        self._lib.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        self._ctypes = ctypes
        self._buffer = Buffer
        self._stream = self._lib.ZSTD_createDStream()
        self._out = ctypes.create_string_buffer(CHUNK)
        self._waiting = b""
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def __del__(self) -> None:
        if getattr(self, "_stream", None):
            self._lib.ZSTD_freeDStream(self._stream)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._waiting + data
        address = self._ctypes.cast(self._ctypes.c_char_p(data), self._ctypes.c_void_p)
        source = self._buffer(address, len(data), 0)
        target = self._buffer(self._ctypes.addressof(self._out), min(max_length, CHUNK), 0)
        left = self._lib.ZSTD_decompressStream(
            self._stream, self._ctypes.byref(target), self._ctypes.byref(source)
        )
        if self._lib.ZSTD_isError(self._ctypes.c_size_t(left)):
            raise ValueError(self._lib.ZSTD_getErrorName(left).decode())
        self._waiting = data[source.at :]
        if left == 0:  # a frame ended, and all of it was given out
            self.eof = True
            self.unused_data, self._waiting = self._waiting, b""
        # A full output buffer may hide more that the library has ready without new input.
        self.needs_input = not self._waiting and target.at < target.size
        return self._ctypes.string_at(self._out, target.at)
