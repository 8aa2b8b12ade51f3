"""Names: /etc/hosts, /etc/hostname and /etc/resolv.conf of a container (hosts(5), resolv.conf(5)).

Docker runs a name server for its containers. A file does as well: /etc/hosts is read anew by each
lookup, so we keep it current instead. It lies in the container's directory on the host and is
mounted in; when a container comes or goes, the files of all others in its network are written
again. The mount holds the file itself and not its name, so it is written in place.

For each network there is a block between two marks, and only that is ours: what the user writes
beside it stays.

Invariant: no word that could be two, or a line, gets into such a file.
"""

from __future__ import annotations

import os

from mydocker.errors import KernelError, Usage
from mydocker.linux import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Endpoint, Network

_LARGEST = 1 << 20
"""Bytes of a hosts file that we still rewrite: it belongs to the container, which may fill it."""

_SYSTEMD = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved says which servers it asks; /etc/resolv.conf names only itself then."""


def is_host_name(word: str) -> bool:
    """Whether it may stand in a hosts file as a name."""
    letters = word.replace("-", "").replace(".", "").replace("_", "")
    return word.isascii() and letters.isalnum() and len(word) <= 253


def check_host_name(what: str, word: str) -> str:
    """The word if it is a name of a host; Usage if not."""
    if not is_host_name(word):
        raise Usage(what, word, "not a host name", hint="letters, digits, - . and _")
    return word


def head(extra: list[str]) -> str:
    """How a hosts file begins: this machine itself, then the lines of `--add-host`."""
    own = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "".join(f"{line}\n" for line in [*own, *extra])


def block(network: Network, own: Endpoint) -> str:
    """The part of a container's hosts file that tells of one network; its own line comes first."""
    lines = [f"# mydocker: {network.name}"]
    for endpoint in sorted(network.endpoints, key=lambda e: e is not own):
        words = [endpoint.hostname] if endpoint is own else []
        words += [endpoint.name, endpoint.container[:12], *endpoint.aliases]
        words = [word for word in dict.fromkeys(words) if is_host_name(word)]
        lines.append(f"{endpoint.address}\t{' '.join(words)}")
        if network.subnet6:
            lines.append(f"{network.address6(endpoint)}\t{' '.join(words)}")
    return "".join(f"{line}\n" for line in [*lines, f"# end of {network.name}"])


def refresh(network: Network) -> None:
    """Write the network's block in the hosts files of all containers that are in it."""
    for endpoint in network.endpoints:
        if endpoint.hosts:
            change(endpoint.hosts, network.name, block(network, endpoint))


def change(path: str, name: str, text: str) -> None:
    """Put `text` in the place of that network's block; empty removes it.

    What is not there any more, or is no small file any more, is left alone: the container's own.
    """
    try:
        if os.path.getsize(path) > _LARGEST:
            return
        old = files.read(path)
    except (OSError, KernelError):
        return
    before, start, rest = old.partition(f"# mydocker: {name}\n")
    _, end, after = rest.partition(f"# end of {name}\n")
    new = before + text + after if start and end else old + text
    if new != old:
        try:
            # Readers must not see half of it: what is too long is blank until it is cut off.
            files.overwrite(path, new, blank=len(old.encode("utf-8", "surrogateescape")))
        except KernelError as error:
            if error.errno != 2:
                raise


def add_host(text: str) -> str:
    """`--add-host NAME:ADDRESS` as a line of a hosts file."""
    import _socket

    name, separator, address = text.partition(":")
    if not separator:
        name, separator, address = text.partition("=")
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, address)
            return f"{address}\t{check_host_name('--add-host', name)}"
        except (OSError, ValueError):
            continue
    raise Usage("--add-host", text, "not NAME:ADDRESS")


def resolv_conf(
    servers: list[str], search: list[str], options: list[str], on_host: bool = False
) -> str:
    """The container's resolv.conf: the host's, with what was asked for in its place.

    on_host: the container is in the host's own network.

    A server at 127.x.x.x is the host's own, and nobody answers there in the container. If that is
    systemd-resolved, it says elsewhere whom it asks.
    """
    host = _parsed("/etc/resolv.conf")
    asked = [word for word in host["nameserver"] if on_host or not _is_loopback(word)]
    if not asked:
        asked = [word for word in _parsed(_SYSTEMD)["nameserver"] if not _is_loopback(word)]
    domains = search or host["search"]
    lines = [f"search {' '.join(domains)}"] if domains and domains != ["."] else []
    lines += [f"nameserver {server}" for server in servers or asked]
    chosen = options or host["options"]
    lines += [f"options {' '.join(chosen)}"] if chosen else []
    if not servers and not asked:
        lines.append("# no name server of the host's can be reached from here: give one by --dns")
    return "".join(f"{line}\n" for line in lines)


def _parsed(path: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    try:
        text = files.read(path)
    except KernelError:
        return found
    for line in text.splitlines():
        key, *values = line.split() or [""]
        if key == "nameserver":
            found[key] += values[:1]
        elif key in ("search", "domain"):
            found["search"] = values
        elif key == "options":
            found[key] += values
    return found


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
