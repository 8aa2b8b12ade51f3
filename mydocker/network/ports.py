"""Published ports: `-p 8080:80` leads the host's port 8080 to the container's 80 (the book's 6.5).

One rule does it: a packet to one of the host's addresses and that port gets another destination
(DNAT), before the host decides where it goes. For packets from outside that is in PREROUTING, for
those that the host itself sends in OUTPUT. Three senders need a word more:

* an outside client keeps its address, and the container sees who it is;
* a container on the same bridge would get the answer directly, from an address that it never
  called; so it is masqueraded, and the answer comes back through the host (hairpin);
* the host by 127.0.0.1: that address means something else in the container, so it is masqueraded
  too; and the kernel lets it onto the bridge only with `route_localnet`, after which a container
  could reach the host's own 127.0.0.1. `protect_loopback` forbids that.

The port is kept by a socket that the container's monitor holds, bound but not listening. So the
kernel itself says that a port is taken, to us and to every other program, and gives it free
however the monitor ends.
"""

from __future__ import annotations

import _socket
import os

from mydocker.errors import Conflict, KernelError, Usage
from mydocker.network.record import Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Network

_EADDRINUSE = 98
_EADDRNOTAVAIL = 99
_KINDS = {"tcp": _socket.SOCK_STREAM, "udp": _socket.SOCK_DGRAM}


def rules(network: Network) -> list[str]:
    """A rule for each published port of the network's endpoints."""
    found = []
    for endpoint in network.endpoints:
        for port in endpoint.ports:
            where = f"-d {port.host_ip}/32 " if port.host_ip else ""
            kind = f"-p {port.protocol} -m {port.protocol} --dport {port.host_port}"
            target = f"{endpoint.address}:{port.container_port}"
            found.append(f"{where}{kind} -j DNAT --to-destination {target}")
    return found


def hairpin(network: Network) -> list[str]:
    """Who comes by a published port and could not be answered otherwise gets the host's address."""
    bridge = network.interface
    same = f"-s {network.subnet} -o {bridge} -m conntrack --ctstate DNAT -j MASQUERADE"
    return [same, f"-s 127.0.0.0/8 -o {bridge} -j MASQUERADE"]


def protect_loopback() -> list[str]:
    """From the bridge to the host's 127.0.0.1 only answers pass (CVE-2020-8558)."""
    return ["-d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"]


# What was asked for


def parse(text: str) -> list[Port]:
    """`[HOST-IP:][HOST[-LAST]:]CONTAINER[-LAST][/tcp|udp]`; a host port of 0 is a free one.

    As many ports on both sides; or a range of the host's for one of the container's: one of them.
    """
    rest, slash, protocol = text.rpartition("/") if "/" in text else (text, "", "tcp")
    if protocol not in _KINDS:
        raise Usage("--publish", text, f"no protocol {protocol!r}", hint="tcp or udp")
    host_ip, host, inner = ["", "", *rest.split(":")][-3:]
    if rest.count(":") > 2 or (slash and not rest):
        raise Usage("--publish", text, "not [IP:][HOST:]CONTAINER[/tcp|udp]")
    host_ip = "" if host_ip == "0.0.0.0" else host_ip
    if host_ip:
        _check_address(text, host_ip)
    inside = _range(text, inner, 1)
    outside = _range(text, host, 0) if host else range(1)
    if not host or outside == range(1):
        pairs = [(0, port) for port in inside]
    elif len(outside) == len(inside):
        pairs = list(zip(outside, inside, strict=True))
    elif len(inside) == 1:
        last = outside[-1]
        one = Port(host_port=outside[0], host_last=last, container_port=inside[0])
        one.host_ip, one.protocol = host_ip, protocol
        return [one]
    else:
        raise Usage("--publish", text, f"{len(outside)} ports for {len(inside)}")
    return [
        Port(host_ip=host_ip, host_port=a, container_port=b, protocol=protocol) for a, b in pairs
    ]


def _check_address(text: str, host_ip: str) -> None:
    from mydocker.network import ipam

    if ":" in host_ip or "[" in text:
        raise Usage("--publish", text, "IPv6 addresses are not supported")
    ipam.parse_address("--publish", host_ip)


def _range(text: str, word: str, least: int) -> range:
    first, dash, last = word.partition("-")
    numbers = [first, last] if dash else [first, first]
    if not all(n.isascii() and n.isdigit() and least <= int(n[:9]) <= 65535 for n in numbers):
        raise Usage("--publish", text, f"{word!r} is not a port from {least} to 65535")
    if int(numbers[1]) < int(numbers[0]):
        raise Usage("--publish", text, f"{word!r} ends before it begins")
    return range(int(numbers[0]), int(numbers[1]) + 1)


# Ports of the host, held


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
