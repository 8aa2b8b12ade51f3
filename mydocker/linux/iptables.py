"""iptables: the kernel's tables of rules for packets, as text (iptables(8), iptables-save(8)).

Two programs do it all: `iptables-save` prints every rule, `iptables-restore --noflush` reads lines
of the same kind and applies those of one table at once or not at all. It works the same over both
of the kernel's mechanisms, nf_tables and the older ip_tables; MYDOCKER_IPTABLES names another pair
of programs (`iptables-legacy`).
"""

from __future__ import annotations

import os

from mydocker.errors import Error
from mydocker.linux import programs
from mydocker.linux.trace import step

TYPE_CHECKING = False
if TYPE_CHECKING:
    Tables = dict[str, dict[str, list[str]]]

_WAIT = "5"
"""Seconds to wait for the lock that the older mechanism's programs share."""


IPV4, IPV6 = "iptables", "ip6tables"
"""The two kinds of addresses have tables of their own, and programs of their own."""


def _program(kind: str, verb: str) -> str:
    chosen = os.environ.get("MYDOCKER_IPTABLES") or IPV4
    return f"{chosen.replace(IPV4, kind)}-{verb}"


def save(kind: str = IPV4) -> Tables:
    """Every rule there is: table, chain, and the rules without `-A CHAIN`."""
    code, text, told = programs.output([_program(kind, "save")])
    if code:
        raise _failed(kind, "save", told)
    found: Tables = {}
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = found.setdefault(line[1:], {})
        elif line.startswith(":"):
            table[line[1:].split()[0]] = []
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            table[chain].append(rule)
    return found


def restore(script: dict[str, list[str]], kind: str = IPV4) -> None:
    """Change the rules: for each table the lines of iptables-restore, which apply together."""
    lines = []
    for table, commands in script.items():
        lines += [f"*{table}", *commands, "COMMIT"]

    def do(lines: list[str]) -> None:
        words = [_program(kind, "restore"), "-w", _WAIT, "--noflush"]
        code, _, told = programs.output(words, "\n".join(lines) + "\n")
        if code:
            raise _failed(kind, "restore", told)

    step(f"{kind}-restore", (lines,), do)


def _failed(kind: str, verb: str, told: str) -> Error:
    """Its own words, without its name and its advice."""
    lines = [line for line in told.splitlines() if line and not line.startswith(("#", "Try "))]
    why = (lines or ["failed without a word"])[0].removeprefix(f"{_program(kind, verb)}: ").strip()
    return Error(kind, verb, why)
