"""What commands share that take several names: each is acted on, although one may fail."""

from __future__ import annotations

import sys

from mydocker.cli import printable, report
from mydocker.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def for_each(words: list[str], act: Callable[[str], object]) -> int:
    """Call `act` for each word and print the word, as Docker does; an error is told, not final.

    Text that `act` returns is told on stderr: something went well, but not as one might think.
    """
    code = 0
    for word in words:
        try:
            told = act(word)
            print(word, flush=True)
            if isinstance(told, str) and told:
                print(printable(f"{word}: {told}"), file=sys.stderr, flush=True)
        except Error as error:
            report(error)
            code = 1
    return code
