"""`mydocker completion bash|zsh|fish`: a script that lets the shell complete our commands.

The script is made from the tables that the commands are parsed by (flags.py), so it knows every
flag; what stands for a word in a usage line (CONTAINER, IMAGE, FILE) says what may stand there.
Names of containers, images, networks and volumes are asked of mydocker when they are needed; the
rest is in the script, and nothing of this is loaded by any other command.
"""

from __future__ import annotations

import re

from mydocker import cli
from mydocker.cli import flags
from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHELLS = ("bash", "zsh", "fish")

KINDS = {
    "CONTAINER": "containers",
    "IMAGE": "images",
    "NETWORK": "networks",
    "VOLUME": "volumes",
    "OBJECT": "objects",
    "FILE": "files",
    "DIR": "files",
    "PATH": "files",
    "SRC": "files",
    "SOURCE": "files",
    "ARCHIVE": "files",
    "SHELL": "shells",
}
"""What a word of a usage line, or one that stands for a flag's value, may be."""

QUERIES = {
    "containers": ["ps -a --format '{{.Names}}'"],
    "images": ["images --format '{{.Repository}}:{{.Tag}}'"],
    "networks": ["network ls --format '{{.Name}}'"],
    "volumes": ["volume ls --format '{{.Name}}'"],
}
QUERIES["objects"] = [*QUERIES["containers"], *QUERIES["images"]]
"""What asks mydocker for the names of a kind."""

GLOBALS = {"--root": "files", "--cgroup-parent": "none"}
"""The options before the command that take a value in a word of its own."""


class Entry:
    """One command as the shells need it: `run`, or `system df`."""

    def __init__(self, name: str, summary: str, command: flags.Command) -> None:
        self.name = name
        self.summary = summary
        self.flags = command.flags
        self.stops = command.stop_at_word
        self.operands, self.repeats = operands(command.usage)

    def spellings(self) -> list[str]:
        """Every way to write every flag."""
        return [spelling for flag in self.flags for spelling in flag.names]

    def takes(self) -> dict[str, str]:
        """Those that want a value in the next word, and the kind of that."""
        wanting = [flag for flag in self.flags if flag.kind in ("value", "list")]
        return {spelling: value_kind(flag) for flag in wanting for spelling in flag.names}


def operands(usage: str) -> tuple[list[str], bool]:
    """The kinds of the words of a usage line, in their order; whether the last one repeats."""
    first = usage.partition(" | ")[0]  # of two ways to write it
    words = [word for word in first.split() if "OPTIONS" not in word]
    kinds = [kind_of(word) for word in words]
    return kinds, bool(words) and words[-1].rstrip("]").endswith("...")


def kind_of(word: str) -> str:
    """What one of these words is: the first that it may be, `[CONTAINER]`, `FILE|-`."""
    found = [KINDS[name] for name in re.findall("[A-Z]+", word) if name in KINDS]
    return found[0] if found else "none"


def value_kind(flag: flags.Flag) -> str:
    """The kind of a flag's value, by what stands for it; words such as `a|b` are a choice."""
    if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", flag.metavar):
        return flag.metavar
    return kind_of(flag.metavar or flag.dest.upper())


def entries() -> list[Entry]:
    """Every command, those with two words among them."""
    found = []
    for name, summary in cli.COMMANDS.items():
        command = cli.load(name)
        if isinstance(command, flags.Group):
            found += [Entry(f"{name} {w}", c.summary, c) for w, c in command.own.items()]
        else:
            found.append(Entry(name, summary, command))
    return found


def below(found: list[Entry]) -> dict[str, list[str]]:
    """The second words that the first word of some commands wants: `system`, `container`."""
    words: dict[str, list[str]] = {}
    for entry in found:
        first, _, second = entry.name.partition(" ")
        if second:
            words.setdefault(first, []).append(second)
    for first, spelled in cli.SPELLINGS.items():
        there = [word for word, meant in spelled.items() if meant.split()[0] in cli.COMMANDS]
        known = words.setdefault(first, [])
        known += [word for word in there if word not in known]
    return words


def synonyms() -> dict[str, str]:
    """`container ls` and what it means."""
    return {
        f"{first} {second}": meant.split()[0]
        for first, spelled in cli.SPELLINGS.items()
        for second, meant in spelled.items()
        if meant.split()[0] in cli.COMMANDS
    }


def run(_: dict[str, Any], words: list[str]) -> None:
    """Print the script."""
    from mydocker.cli import shells

    if words[0] not in SHELLS:
        raise Usage("completion", words[0], "no such shell", hint=f"there are {', '.join(SHELLS)}")
    print(getattr(shells, words[0])(entries()), end="")


COMMAND = flags.Command(
    run,
    "SHELL",
    "Write the completion for a shell: bash, zsh or fish. To have it at once:\n"
    "    source <(mydocker completion bash)        (in zsh after compinit)\n"
    "    mydocker completion fish | source",
    least=1,
    most=1,
)
