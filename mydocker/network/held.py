"""Ports of the host, held: nobody else takes them while a container has them.

A rule alone would not stop another program from listening there. So the container's monitor holds a
socket that is bound to the port and does not listen: the kernel itself says that the port is taken,
to us and to every other program, and gives it free however the monitor ends.
"""

from __future__ import annotations

import _socket
import os

from mydocker.errors import Conflict, KernelError
from mydocker.network.record import Port

_EADDRINUSE = 98

_EADDRNOTAVAIL = 99

_KINDS = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}


class Held:
    """The sockets that keep a container's ports; closed with it, or by the kernel."""

    def __init__(self) -> None:
        self._sockets: list[_socket.socket] = []

    def take(self, ports: list[Port]) -> list[Port]:
        """Bind each port; those that were left to us get their number. Conflict names a holder."""
        return [self._take(port) for port in ports]

    def _take(self, port: Port) -> Port:
        last = max(port.host_port, port.host_last)
        for number in range(port.host_port, last + 1):
            one = Port(**(port.__dict__ | {"host_port": number, "host_last": 0}))
            try:
                one.host_port = self._bind(one)
                return one
            except OSError as error:
                if error.errno != _EADDRINUSE or number == last:
                    raise refused(one, error) from None
        raise AssertionError("a range of ports is never empty")

    def _bind(self, port: Port) -> int:
        where = (port.host_ip or "0.0.0.0", port.host_port)
        held = _socket.socket(_socket.AF_INET, _KINDS[port.protocol] | _socket.SOCK_CLOEXEC)
        try:
            try:
                held.bind(where)
            except OSError as error:
                if error.errno != _EADDRINUSE or port.protocol != "tcp":
                    raise
                # Connections of a program that has ended linger for a minute (TIME_WAIT), and
                # are no hindrance: tcp(7). Afterwards nobody may bind beside us.
                held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                held.bind(where)
                held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
        except OSError:
            held.close()
            raise
        self._sockets.append(held)
        return int(held.getsockname()[1])

    def close(self) -> None:
        """Let go of all."""
        while self._sockets:
            self._sockets.pop().close()


def refused(port: Port, error: OSError) -> Exception:
    """Why a port cannot be had, and who has it."""
    told = f"{port.host_ip or '0.0.0.0'}:{port.host_port}/{port.protocol}"
    if error.errno == _EADDRNOTAVAIL:
        return Conflict("port", told, "is not an address of this host")
    if error.errno != _EADDRINUSE:
        return KernelError.of(error, "port", told)
    pid = holder(port)
    who = f"by process {pid}, {_name(pid)}" if pid else "by another program"
    return Conflict("port", told, f"is in use {who}", hint="choose another port")


def holder(port: Port) -> int:
    """The process that has a socket on that port (proc_pid_fd(5), /proc/net/tcp); 0 if unknown."""
    inodes = set()
    for name in (port.protocol, f"{port.protocol}6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as table:
                rows = [line.split() for line in table][1:]
        except OSError:
            continue
        inodes |= {r[9] for r in rows if int(r[1].rpartition(":")[2], 16) == port.host_port}
    wanted = {f"socket:[{inode}]" for inode in inodes - {"0"}}
    for pid in (name for name in os.listdir("/proc") if name.isdigit() and wanted):
        try:
            links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
        if links & wanted:
            return int(pid)
    return 0


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "which has just ended"
