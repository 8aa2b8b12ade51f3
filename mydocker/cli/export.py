"""`mydocker export`: a container's files as a tar, which `import` makes an image of."""

from __future__ import annotations

import os
import sys

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.errors import KernelError, Usage
from mydocker.lifecycle import export

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [Flag("-o --output", "value", "write to a file instead of stdout", metavar="FILE")]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Write the tar; a file is not there before it is complete."""
    path = values["output"]
    if path is None:
        if sys.stdout.isatty():
            raise Usage("export", words[0], "a tar is nothing for a terminal", hint="-o FILE")
        export.export(Globals.root, words[0], sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return
    half = f"{path}.{os.getpid()}.tmp"
    try:
        with open(half, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            export.export(Globals.root, words[0], file.write)
        os.rename(half, path)
    except BaseException as error:
        if os.path.exists(half):
            os.unlink(half)
        if isinstance(error, OSError):
            raise KernelError.of(error, "export", path) from None
        raise


COMMAND = Command(
    run, "[OPTIONS] CONTAINER", "Write a container's files as a tar.", FLAGS, least=1, most=1
)
