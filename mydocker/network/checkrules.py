"""Rules that are not as they should be: of networks that are up, and of those that are gone."""

from __future__ import annotations

import os

from mydocker.linux import iptables, rtnetlink
from mydocker.network import bridge, firewall, nat, upkeep
from mydocker.network.networks import Networks
from mydocker.network.record import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.linux.netlink import Netlink


def find(
    root: str, mend: Callable[..., None], networks: Networks, host: Netlink, right: list[Network]
) -> list[tuple[Any, ...]]:
    """Networks that are up and whose rules are not as they should be; rules of no network."""
    found: list[tuple[Any, ...]] = []
    stale = upkeep.stale(networks) if len(right) == len(networks.names()) else lambda _: False
    for kind in _kinds(networks, right):
        saved = iptables.save(kind)
        for network in [network for network in right if kind in upkeep.kinds(network)]:
            key, living = networks.key(network), Network.from_json(network.to_json())
            living.endpoints = living.living()
            up = rtnetlink.link(host, network.interface)
            if up and bridge.is_ours(up, network) and _differ(saved, {key: living}, kind):
                text = f"of {network.name} ({nat.PREFIX}{key}) are not as they should be"
                found.append(("rules", text, mend, root, network.name))
        found += [
            ("rules", f"{nat.PREFIX}{key}, of a network that is gone", _clear, root, kind)
            for key in sorted(firewall.keys(saved))
            if stale(key)
        ]
    return found


def _kinds(networks: Networks, right: list[Network]) -> list[str]:
    """Rules for IPv6 are looked for where there is such a network, or was."""
    ever = os.path.exists(f"{networks.root}/ip6_forward.json") or any(n.subnet6 for n in right)
    return [iptables.IPV4, iptables.IPV6] if ever else [iptables.IPV4]


def _differ(saved: iptables.Tables, networks: dict[str, Network], kind: str) -> bool:
    rules = firewall.KINDS[kind]
    return any(
        firewall.plan(table, saved.get(table, {}), networks, lambda _: False, rules)
        for table in rules.HOOKS
    )


def _clear(root: str, kind: str) -> None:
    networks = Networks(root)
    with networks.lock():
        firewall.sync({}, upkeep.stale(networks), {}, kind)
