"""What `-p` and `-P` ask for: which port of the host leads to which of the container."""

from __future__ import annotations

from mydocker.errors import Usage
from mydocker.network import ipam
from mydocker.network.record import Port

PROTOCOLS = ("tcp", "udp")


def parse(text: str) -> list[Port]:
    """`[HOST-IP:][HOST[-LAST]:]CONTAINER[-LAST][/tcp|udp]`; a host port of 0 is a free one.

    As many ports on both sides; or a range of the host's for one of the container's: one of them.
    """
    rest, slash, protocol = text.rpartition("/") if "/" in text else (text, "", "tcp")
    if protocol not in PROTOCOLS:
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
