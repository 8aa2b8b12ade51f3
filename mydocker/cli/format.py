"""What `--format` makes of a list: a line an object by a template, a table, or JSON.

`ps`, `images`, `stats`, `network ls` and the like share it. Each gives its objects as `Record`s and
the words that head a column of its table; `inspect` has one value and no columns.
"""

from __future__ import annotations

import os
import re

from mydocker.cli import printable, table
from mydocker.cli.flags import Flag
from mydocker.cli.template import Record, Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

FORMAT = Flag("--format", "value", "json, or a template such as '{{.ID}}'", metavar="TEMPLATE")


class Format:
    """A `--format`: `json`, `table TEMPLATE` (a head, columns parted by tabs), or `TEMPLATE`.

    `headings` are the fields and how a table heads them.
    """

    def __init__(self, text: str, headings: dict[str, str], **functions: Callable[..., Any]):
        kind, _, rest = text.partition(" ")
        self.is_table = kind == "table"
        text = "{{json .}}" if text == "json" else rest if self.is_table else text
        if text.strip() == "":
            text = "\t".join(f"{{{{.{name}}}}}" for name in headings)
        text = text.replace(r"\t", "\t").replace(r"\n", "\n")
        self.template = Template(text)
        self._head = Record(headings, **functions)

    def show(self, rows: Iterable[Record]) -> None:
        """Print them all."""
        told = [self.template.render(row) for row in rows]
        if self.is_table:
            # In a table a field is one cell: Labels may hold a tab.
            head = self.template.render(self._head, heading=True)
            table.show(head.split("\t"), [line.split("\t") for line in told])
        else:
            for line in told:
                print(for_terminal(line))


def for_terminal(text: str) -> str:
    """The text as it is; but where it is a terminal that reads it, without control characters.

    A name, a label or a command is another's text, and could tell the terminal what to do.
    """
    if not os.isatty(1):
        return text
    return re.sub(r"[^\t\n]+", lambda run: printable(run[0]), text)
