"""Netlink: how the kernel is asked about its network, by messages over a socket (netlink(7)).

`ip link add …` is such a message, and here it is made by hand. A message is a header (length, type,
flags, sequence number), a fixed structure that depends on the type, and attributes: each a length,
a type and the value, padded to four bytes; a value may hold attributes itself. The answers have the
same shape, the last being an error number that is 0 when all went well.

The messages that we send are in rtnetlink.py. (Why not with a library: docs/adr/0015.)
"""

from __future__ import annotations

import _socket
import os
import sys

from mydocker.errors import KernelError
from mydocker.linux import syscalls
from mydocker.linux.trace import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal, Self, TypeVar

    T = TypeVar("T")

ORDER: Literal["little", "big"] = sys.byteorder

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 1
NLM_F_ACK = 4
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

_HEADER = 16
_EINTR = 4


def number(value: int, size: int) -> bytes:
    """An unsigned number of so many bytes, in this machine's order."""
    return value.to_bytes(size, ORDER)


def attribute(kind: int, value: bytes | str | int | list[bytes]) -> bytes:
    """One attribute: a number becomes 32 bits, a text ends with a NUL, a list is nested.

    The length has 16 bits. What does not fit would be cut, and its rest read as attributes of the
    user's making (CVE-2021-43784): so it is refused.
    """
    if isinstance(value, int):
        value = number(value, 4)
    elif isinstance(value, str):
        value = os.fsencode(value) + b"\0"
    elif isinstance(value, list):
        value = b"".join(value)
    if len(value) + 4 > 0xFFFF:
        raise KernelError("netlink", f"attribute {kind}", 90)  # EMSGSIZE
    return number(len(value) + 4, 2) + number(kind, 2) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in a message, by type."""
    found = {}
    for kind, value in split(data):
        found[kind] = value
    return found


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message, in order: (type, value)."""
    while len(data) >= 4:
        length = int.from_bytes(data[:2], ORDER)
        if length < 4:
            return
        yield int.from_bytes(data[2:4], ORDER) & 0x3FFF, data[4:length]
        data = data[length + -length % 4 :]


class Netlink:
    """A socket to the network of one namespace: the one this process was in when it was made."""

    def __init__(self) -> None:
        try:
            self._socket = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.NETLINK_ROUTE
            )
            self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 1 << 20)
        except OSError as error:
            raise KernelError.of(error, "socket", "AF_NETLINK") from None
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def act(
        self, name: str, obj: str, words: list[str], kind: int, flags: int, body: bytes
    ) -> None:
        """Ask for a change: `name` is the request's, `obj` what it is about, `words` the rest of
        it in ip(8)'s words, for --explain; the others are as in `request`."""

        def do(*_: Any) -> None:
            try:
                self.request(kind, flags | NLM_F_ACK, body)
            except OSError as error:
                raise KernelError.of(error, name, obj) from None

        step(name, (obj, *words), do)

    def request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send one message; what comes back, without the headers. OSError if the kernel refuses."""
        while True:
            self._sequence += 1
            header = number(_HEADER + len(body), 4) + number(kind, 2)
            header += number(flags | NLM_F_REQUEST, 2) + number(self._sequence, 4) + number(0, 4)
            self._socket.send(header + body)
            answers = self._answers()
            if answers is not None:
                return answers

    def _answers(self) -> list[bytes] | None:
        """All answers to the last message; None if things changed while they were listed."""
        found: list[bytes] = []
        disturbed = False
        while True:
            data = self._socket.recv(1 << 20)
            while data:
                length = int.from_bytes(data[:4], ORDER)
                kind, flags = (int.from_bytes(data[i : i + 2], ORDER) for i in (4, 6))
                ours = int.from_bytes(data[8:12], ORDER) == self._sequence
                body, data = data[_HEADER:length], data[length + -length % 4 :]
                if not ours:
                    continue
                disturbed = disturbed or bool(flags & NLM_F_DUMP_INTR)
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    errno = -int.from_bytes(body[:4], ORDER, signed=True)
                    if errno == _EINTR or disturbed:
                        return None
                    if errno > 0:
                        raise OSError(errno, os.strerror(errno))
                    return found
                found.append(body)


def inside(netns: int) -> Netlink:
    """A socket to the network of another namespace, given by a descriptor of it.

    A socket stays with the namespace it was made in, so it is enough to go there for a moment.
    """
    return visit(netns, Netlink)


def visit(netns: int, do: Callable[[], T]) -> T:
    """Do something in another network namespace, and come back."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(netns, syscalls.CLONE_NEWNET)
        try:
            return do()
        finally:
            _return(own)
    finally:
        os.close(own)


def _return(own: int) -> None:
    # To go on in somebody else's network would be worse than anything: so a second try, untold.
    try:
        syscalls.setns(own, syscalls.CLONE_NEWNET)
    except KernelError:
        syscalls.rejoin(own)
        raise
