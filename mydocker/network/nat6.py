"""nat.py for IPv6, with what a network without published ports needs: who passes, and masquerade.

Also here what leaves the bridge gets the host's address: the addresses of fd00::/8 are nobody's
outside. Ports are published on the host's IPv4 addresses only. What the host's own 127.0.0.1 makes
difficult there has no counterpart: the kernel never routes ::1.
"""

from __future__ import annotations

from mydocker.network.nat import PREFIX, STAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.network.record import Network

HOOKS = {
    "filter": {"FORWARD": f"-j {PREFIX}FORWARD"},
    "nat": {"POSTROUTING": f"-j {PREFIX}LEAVING"},
}

__all__ = ["HOOKS", "STAGES", "chains"]


def chains(network: Network, key: str) -> dict[str, dict[str, tuple[str, str, list[str]]]]:
    """As in nat.py."""
    bridge, own = network.interface, f"{PREFIX}{key}"
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    outgoing = "-j DROP" if network.internal else "-j ACCEPT"
    found: dict[str, dict[str, tuple[str, str, list[str]]]] = {
        "filter": {
            own: ("TO", f"-o {bridge}", [answers, f"-i {bridge} -j ACCEPT", "-j DROP"]),
            f"{own}-OUT": ("FROM", f"-i {bridge}", [outgoing]),
        },
        "nat": {},
    }
    if not network.internal:
        rules = [f"-s {network.subnet6} ! -o {bridge} -j MASQUERADE"]
        found["nat"][f"{own}-OUT"] = ("LEAVING", "", rules)
    return found
