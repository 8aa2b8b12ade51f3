"""The command line's grammar: one table of flags a command, read by the rules of Docker and Go.

Docker's flags are `-m`, `--memory`, and single letters in a row (`-ti`); the book's program uses
Go's `flag` package, where a whole word has one dash (`-cpushare`, `-net`). Both work here. Options
may end at the first word that is none, because what follows belongs to the container.

argparse reads neither: it takes the container's `-c` for an abbreviation of `-cpuset`, and it costs
as much as a bare start of the interpreter (docs/adr/0005-command-line.md). The same table prints
the help, and is what completion and the reference pages are made from.
"""

from __future__ import annotations

from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Flag:
    """One option: its spellings, where its value goes, and how the text becomes a value.

    `kind` is `bool` (no value; `--flag=false` is understood), `value` (the last one wins), `list`
    (may be given many times) or `optional` (a value only after `=`).
    """

    def __init__(
        self,
        names: str,
        kind: str,
        help: str,
        *,
        metavar: str = "",
        convert: Callable[[str], Any] | None = None,
        default: Any = None,
    ) -> None:
        self.names = names.split()
        self.kind = kind
        self.help = help
        self.metavar = metavar
        self.convert = convert
        self.default = False if kind == "bool" and default is None else default
        longest = max(self.names, key=lambda name: (name.startswith("--"), len(name)))
        self.dest = longest.lstrip("-").replace("-", "_")

    def without(self, taken: set[str]) -> Flag:
        """The same flag less the spellings that a command uses otherwise (`run -h NAME`)."""
        names = " ".join(name for name in self.names if name not in taken)
        return Flag(names, self.kind, self.help, metavar=self.metavar)

    def value(self, given: str, text: str) -> Any:
        """The text's value; Usage names the flag as it was written, the text, and why."""
        if self.convert is None:
            return text
        try:
            return self.convert(text)
        except ValueError:
            raise Usage(given, text, f"not a valid {self.metavar or 'value'}") from None


class Command:
    """One word of the command line: its flags, its operands, and the function behind it."""

    def __init__(
        self,
        run: Callable[[dict[str, Any], list[str]], int | None],
        usage: str,
        summary: str,
        flags: list[Flag] | None = None,
        *,
        least: int = 0,
        most: int | None = None,
        stop_at_word: bool = False,
    ) -> None:
        self.run = run
        self.usage = usage
        self.summary = summary
        own = flags or []
        taken = {spelling for flag in own for spelling in flag.names}
        self.flags = [*own, *(flag.without(taken) for flag in COMMON)]
        self.least = least
        self.most = most
        self.stop_at_word = stop_at_word


class Group(Command):
    """A word that only has commands below it: `system df`, `container prune`."""

    def __init__(self, summary: str, own: dict[str, Command]) -> None:
        width = max(map(len, own))
        first = {name: c.summary.partition(".")[0].splitlines()[0] for name, c in own.items()}
        told = [f"  {name:{width}}  {line}" for name, line in first.items()]
        text = "\n".join([summary, "", "Commands:", *told])
        super().__init__(self._nothing, "COMMAND ...", text, least=1, stop_at_word=True)
        self.own = own

    def choose(self, name: str, words: list[str]) -> tuple[str, Command, list[str]]:
        """The subcommand that the first word names which is no flag, and the other words."""
        for place, word in enumerate(words):
            if not word.startswith("-"):
                if word not in self.own:
                    import difflib

                    close = difflib.get_close_matches(word, self.own)
                    hint = f"did you mean {close[0]}?" if close else f"mydocker {name} --help"
                    raise Usage(name, word, "no such subcommand", hint=hint)
                return f"{name} {word}", self.own[word], words[:place] + words[place + 1 :]
        return name, self, words

    def _nothing(self, _: dict[str, Any], words: list[str]) -> None:
        """Not reached: without a subcommand there are too few arguments, with one it is run."""


COMMON = [
    Flag("--explain", "optional", "tell each thing that is asked of the kernel", metavar="FILE"),
    Flag("--debug", "bool", "show where in the code an error came from"),
    Flag("-h --help", "bool", "show this help"),
]


def parse(name: str, command: Command, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Read a command's words: the flags' values by `dest`, and the operands."""
    table = {spelling: flag for flag in command.flags for spelling in flag.names}
    values: dict[str, Any] = {
        flag.dest: [] if flag.kind == "list" else flag.default for flag in command.flags
    }
    operands: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            operands += queue
            break
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if command.stop_at_word:
                operands += queue
                break
            continue
        for spelling, flag, text in _split(name, word, table):
            if flag.kind == "bool":
                values[flag.dest] = _truth(spelling, text)
            elif flag.kind == "optional":
                values[flag.dest] = text or ""
            else:
                if text is None:
                    if not queue:
                        raise _usage(name, spelling, "needs a value")
                    text = queue.pop(0)
                value = flag.value(spelling, text)
                if flag.kind == "list":
                    values[flag.dest].append(value)
                else:
                    values[flag.dest] = value
    if not values["help"]:
        _count(name, command, operands)
    return values, operands


def _split(name: str, word: str, table: dict[str, Flag]) -> list[tuple[str, Flag, str | None]]:
    """One word as flags: `--memory=1g`, `-net x`, or letters in a row such as `-tip80:80`."""
    spelling, equals, value = word.partition("=")
    if spelling in table:
        return [(spelling, table[spelling], value if equals else None)]
    found: list[tuple[str, Flag, str | None]] = []
    letters = "" if word.startswith("--") else word[1:]
    while letters:
        flag = table.get(f"-{letters[0]}")
        if flag is None:
            break
        rest = letters[1:]
        if flag.kind == "bool":
            found.append((f"-{letters[0]}", flag, None))
            letters = rest
            continue
        text = rest[1:] if rest.startswith("=") else rest or None
        return [*found, (f"-{letters[0]}", flag, text)]
    if letters or not found:
        raise _usage(name, spelling, "no such option")
    return found


def _truth(spelling: str, text: str | None) -> bool:
    if text in (None, "true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise Usage(spelling, str(text), "not true or false")


def _count(name: str, command: Command, operands: list[str]) -> None:
    if len(operands) < command.least:
        raise _usage(name, "", f"too few arguments: {command.usage}".rstrip(": "))
    if command.most is not None and len(operands) > command.most:
        raise _usage(name, operands[command.most], "one argument too many")


def _usage(name: str, obj: str, why: str) -> Usage:
    return Usage(name, obj, why, hint=f"mydocker {name} --help")


def help_text(name: str, command: Command) -> str:
    """The help page of a command, from its table."""
    rows = []
    for flag in command.flags:
        spellings = ", ".join(flag.names)
        value = "" if flag.kind == "bool" else f" {flag.metavar or 'VALUE'}"
        if flag.kind == "optional":
            value = f"[={flag.metavar}]"
        rows.append((f"{spellings}{value}", flag.help))
    width = min(max(len(left) for left, _ in rows), 34)
    lines = [f"Usage: mydocker {name} {command.usage}", "", command.summary, "", "Options:"]
    for left, right in rows:
        if len(left) > width:
            lines += [f"  {left}", f"  {'':{width}}  {right}"]
        else:
            lines.append(f"  {left:{width}}  {right}")
    return "\n".join(lines)
