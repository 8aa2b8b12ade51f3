"""Parent and child talk: small typed messages over one socketpair.

The book's 3.3 sends the command's words to the child through a pipe, because joining them into
one string loses their borders (`sh -c "a b"` would become three words). We keep the idea and use a
socketpair, since the child also has something to say: that it is ready, its pty, or what failed.

A message is one JSON object with a `type`; SOCK_SEQPACKET keeps message borders, and a closed
end reads as None. unix(7), socketpair(2). `_socket` is the C half of `socket`, which is all that
is needed, at a tenth of the import.
"""

from __future__ import annotations

import _socket
import os

from mydocker.errors import Error, as_error
from mydocker.linux import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIZE = 1 << 16


class Channel:
    """One end of the talk between the process that starts a container and the one inside it."""

    def __init__(self, end: _socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends; both are close-on-exec, so execve(2) closes the child's."""
        left, right = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        return cls(left), cls(right)

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._end.fileno()

    def send(self, kind: str, fd: int = -1, **fields: Any) -> None:
        """Send one message, with a descriptor in its luggage if `fd` is given (SCM_RIGHTS)."""
        data = jsontext.dumps({"type": kind, **fields}).encode()
        rights = (
            [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))] if fd >= 0 else []
        )
        try:
            self._end.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        except BrokenPipeError:
            raise Error("container", "", "the process at the other end is gone") from None

    def receive(self) -> dict[str, Any] | None:
        """The next message, its descriptor under `fd`; None when the other end is closed.

        A message of type `error` is raised as the Error it carries.
        """
        try:
            data, rights, _, _ = self._end.recvmsg(
                _SIZE, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:  # closed before it had read all that we sent
            return None
        if not data:
            return None
        message: dict[str, Any] = jsontext.loads(data)
        for _level, _kind, payload in rights:
            message["fd"] = int.from_bytes(payload[:4], "little")
        if message["type"] == "error":
            raise Error(
                message["what"],
                message["obj"],
                message["why"],
                hint=message["hint"],
                code=message["code"],
            )
        return message

    def expect(self, kind: str) -> dict[str, Any]:
        """The next message, which must be of that type."""
        message = self.receive()
        if message is None:
            raise Error("container", "", f"the first process died before it said {kind!r}")
        if message["type"] != kind:
            raise Error("container", "", f"expected {kind!r} from the first process, got {message}")
        return message

    def send_error(self, error: Error) -> None:
        """Send what went wrong, to be raised on the other side."""
        fields = {name: getattr(error, name) for name in ("what", "obj", "why", "hint", "code")}
        self.send("error", **fields)

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def die(channel: Channel, error: BaseException) -> None:
    """Report why this child process cannot go on, and end it; never returns."""
    told = as_error(error, "init")
    try:
        channel.send_error(told)
    finally:
        os._exit(told.code)
