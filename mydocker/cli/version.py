"""`mydocker version`."""

from __future__ import annotations

from mydocker import __version__
from mydocker.cli.flags import Command, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("-f --format", "value", "json, or '{{.Server.Version}}'", metavar="TEMPLATE")]


def run(values: dict[str, Any], _words: list[str]) -> None:
    """Print the version; by a template, what it runs on too."""
    if not values["format"]:
        print(f"mydocker {__version__}")
        return
    from mydocker.cli.format import Format
    from mydocker.cli.template import Record

    Format(values["format"], {}).show([Record(facts())])


def facts() -> dict[str, Any]:
    """Docker has a client and a server; here both are one program (docs/adr/0001-no-daemon.md)."""
    import os
    import sys

    kernel = os.uname()
    program = {
        "Version": __version__,
        "Os": "linux",
        "Arch": kernel.machine,
        "KernelVersion": kernel.release,
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
    }
    return {"Version": __version__, "Client": program, "Server": program}


COMMAND = Command(run, "[OPTIONS]", "Show the version.", FLAGS, most=0)
