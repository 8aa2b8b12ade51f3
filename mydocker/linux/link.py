"""Network interfaces: the little that a container without a network needs (netdevice(7))."""

from __future__ import annotations

import _socket
import fcntl
import sys

from mydocker.errors import KernelError
from mydocker.linux.trace import step

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def set_up(name: str) -> None:
    """Switch an interface on, as `ip link set NAME up` does.

    A new network namespace has a loopback interface, but it is down: programs that talk to
    127.0.0.1 would hear that the network is unreachable.
    """
    try:
        end = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    except OSError:  # EAFNOSUPPORT: a kernel without IPv4
        return
    try:
        step("ioctl", ("SIOCSIFFLAGS", end.fileno(), name, "IFF_UP"), _set_flags)
    except OSError as error:
        raise KernelError.of(error, "ioctl", name) from None
    finally:
        end.close()


def _set_flags(_request: str, fd: int, name: str, _flags: str) -> None:
    # struct ifreq: 16 bytes of name, then a union of 24 of which the flags are the first two.
    request = name.encode().ljust(16, b"\0") + IFF_UP.to_bytes(2, sys.byteorder) + bytes(22)
    fcntl.ioctl(fd, SIOCSIFFLAGS, request)
