"""`mydocker version`."""

from __future__ import annotations

from mydocker import __version__
from mydocker.cli.flags import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_values: dict[str, Any], _words: list[str]) -> None:
    """Print the version."""
    print(f"mydocker {__version__}")


COMMAND = Command(run, "", "Show the version.", most=0)
