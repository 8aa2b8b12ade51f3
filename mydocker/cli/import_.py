"""`mydocker import`: the tar of a root filesystem becomes an image."""

from __future__ import annotations

import os
import sys

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.errors import KernelError
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-c --change", "list", "a Dockerfile instruction to apply", metavar="'CMD [\"sh\"]'"),
    Flag("-m --message", "value", "a message for the history", metavar="TEXT", default=""),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Read the tar from a file or stdin, print the id of the image."""
    from mydocker.cli.progress import Counted, Progress

    name = words[1] if len(words) > 1 else None
    store = Store(Globals.root)
    if words[0] == "-":
        stream = sys.stdin.buffer
    else:
        try:
            stream = open(words[0], "rb")  # noqa: SIM115  # the `with` below must not be in the try
        except OSError as error:
            raise KernelError.of(error, "import", words[0]) from None
    with stream, Progress("Importing") as told:
        label = "stdin" if words[0] == "-" else words[0]
        counted = Counted(stream, label, os.fstat(stream.fileno()).st_size, told)
        image = store.import_rootfs(counted, name, values["change"], values["message"])
    print(image.id)


COMMAND = Command(
    run, "[OPTIONS] FILE|- [NAME[:TAG]]", "Make an image from a tar.", FLAGS, least=1, most=2
)
