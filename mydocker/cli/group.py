"""Commands in two words: `volume ls`. The first word's module has a table of the second ones."""

from __future__ import annotations

from mydocker.cli import Globals, flags
from mydocker.cli.flags import Command
from mydocker.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def group(name: str, summary: str, commands: dict[str, Command]) -> Command:
    """The command `name`, which reads its second word and runs that one's Command."""

    def run(_: dict[str, Any], words: list[str]) -> int | None:
        word = words[0]
        if word not in commands:
            import difflib

            close = difflib.get_close_matches(word, commands)
            hint = f"did you mean {close[0]}?" if close else f"mydocker {name} --help lists them"
            raise Usage(name, word, "no such command", hint=hint)
        command = commands[word]
        values, operands = flags.parse(f"{name} {word}", command, words[1:])
        if values["help"]:
            print(flags.help_text(f"{name} {word}", command))
            return 0
        if values["debug"]:
            Globals.debug = True
        if values["explain"] is not None:
            from mydocker.linux import explain

            explain.start(values["explain"])
        return command.run(values, operands)

    width = max(len(word) for word in commands)
    lines = [f"  {word:{width}}  {c.summary.splitlines()[0]}" for word, c in commands.items()]
    text = "\n".join([summary, "", "Commands:", *lines])
    return Command(run, "COMMAND ...", text, least=1, stop_at_word=True)
