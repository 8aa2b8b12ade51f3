"""Rules in place: what iptables has is compared with what it should have, and changed at once.

The rules live in chains of mydocker's own. In each of the kernel's chains stands one rule that
leads to ours, and nothing else of the host's is touched; so removal is exact. What is shared by all
networks (`MYDOCKER-FORWARD` and its like) goes with the last of them, also if the others belong to
another state root: each has only jumps there, named by its key.

A change is one `iptables-restore --noflush`, in which naming a chain empties it: so a chain is
written whole, or not at all if it is right already. Because what is wanted is compared with what is
there, it does not matter who changed the rules, or where a crash stopped us.

Invariant: after `sync` the chains of these networks are as nat.py says, whatever they were.
"""

from __future__ import annotations

from mydocker.linux import iptables
from mydocker.network import nat, nat6
from mydocker.network.nat import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from mydocker.linux.iptables import Tables
    from mydocker.network.record import Network

if TYPE_CHECKING:
    Test = Callable[[str], bool]

SHARED = {
    "filter": [PREFIX + name for name in ("FORWARD", "TO", "FROM", "INPUT")],
    "nat": [PREFIX + name for name in ("PORTS", "LEAVING")],
}


KINDS = {iptables.IPV4: nat, iptables.IPV6: nat6}
"""What the rules are to be, for each kind of addresses."""


def sync(
    networks: dict[str, Network],
    stale: Test,
    known: dict[str, Network],
    kind: str = iptables.IPV4,
) -> list[str]:
    """Make the rules of these networks (by their keys) right.

    stale(key): whether a network of that key, found in the rules, is to be taken out of them.
    known: the networks as their rules should have been found. What was missing of that is returned,
    as names of chains: somebody else has taken it away.
    """
    saved, rules = iptables.save(kind), KINDS[kind]
    script, lost = {}, []
    for table in rules.HOOKS:
        there = saved.get(table, {})
        lost += missing(table, there, known, rules)
        lines = plan(table, there, networks, stale, rules)
        if lines:
            script[table] = lines
    if script:
        iptables.restore(script, kind)
    return lost


def missing(
    table: str,
    saved: dict[str, list[str]],
    networks: dict[str, Network],
    rules: ModuleType = nat,
) -> list[str]:
    """The chains, ours and the kernel's, that lack a rule that these networks need."""
    wanted, _ = wished(table, {}, networks, set(), rules)
    lost = [name for name in wanted if not set(wanted[name]) <= set(saved.get(name, ()))]
    return lost + [
        chain
        for chain, rule in rules.HOOKS[table].items()
        if rule.split()[-1] in wanted and rule not in saved.get(chain, ())
    ]


def keys(saved: Tables) -> set[str]:
    """The keys of all networks that have chains."""
    shared = {name for names in SHARED.values() for name in names}
    found = {chain for chains in saved.values() for chain in chains if chain.startswith(PREFIX)}
    return {key_of(chain) for chain in found - shared}


def key_of(chain: str) -> str:
    """`MYDOCKER-1a2b3c-4d5e6f-OUT` belongs to the network with the key 1a2b3c-4d5e6f."""
    return "-".join(chain.removeprefix(PREFIX).split("-")[:2])


def plan(
    table: str,
    saved: dict[str, list[str]],
    networks: dict[str, Network],
    stale: Test,
    rules: ModuleType = nat,
) -> list[str]:
    """The lines for iptables-restore that lead from `saved` to what is wanted.

    Chains of keys that are neither in `networks` nor stale stay as they are.
    """
    ours = {chain for chain in saved if chain.startswith(PREFIX)} - set(SHARED[table])
    kept = {c for c in ours if key_of(c) not in networks and not stale(key_of(c))}
    wanted, jumps = wished(table, saved, networks, kept, rules)
    gone = [name for name in saved if name.startswith(PREFIX) and name not in {*wanted, *kept}]
    written = [name for name in wanted if saved.get(name) != wanted[name]]
    lines = [f":{name} - [0:0]" for name in written]
    lines += [f"-A {name} {rule}" for name in written for rule in wanted[name]]
    for chain, rule in rules.HOOKS[table].items():
        there, needed = saved.get(chain, []).count(rule), int(rule.split()[-1] in jumps)
        lines += [f"-D {chain} {rule}"] * (there - needed)
        lines += [f"-I {chain} 1 {rule}"] * (needed - there)
    return lines + [f"-F {name}" for name in gone] + [f"-X {name}" for name in gone]


def wished(
    table: str,
    saved: dict[str, list[str]],
    networks: dict[str, Network],
    kept: set[str],
    rules: ModuleType = nat,
) -> tuple[dict[str, list[str]], set[str]]:
    """Every chain of these networks and every shared one, with its rules; and the shared ones.

    kept: chains of other networks, whose jumps stay.
    """
    wanted: dict[str, list[str]] = {}
    ours: dict[str, list[str]] = {name: [] for name in SHARED[table]}
    for key, network in networks.items():
        for chain, (shared, match, own) in rules.chains(network, key)[table].items():
            wanted[chain] = own
            ours[PREFIX + shared].append(f"{match} -j {chain}".strip())
    jumps = {}
    for name, own in ours.items():  # whose jump comes first does not matter: so none is moved
        there = [r for r in saved.get(name, []) if r in own or r.split()[-1] in kept]
        jumps[name] = list(dict.fromkeys([*there, *own]))
    for name, stages in rules.STAGES.get(table, {}).items():
        if any(jumps[stage.split()[-1]] for stage in stages):
            jumps[name] = list(stages)
    filled = {name: rules for name, rules in jumps.items() if rules}
    return wanted | filled, set(filled)
