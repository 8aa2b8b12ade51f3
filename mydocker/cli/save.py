"""`mydocker save`: images as an archive that other engines load, or as an OCI layout."""

from __future__ import annotations

import os
import sys

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Usage
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = "docker-archive (which is an OCI layout too), oci-archive or oci-dir"
FLAGS = [
    Flag("-o --output", "value", "a file, or for oci-dir a directory", metavar="PATH"),
    Flag("--format", "value", FORMATS, metavar="FORMAT"),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Write the images to a file, a directory or stdout."""
    from mydocker.cli.progress import Progress
    from mydocker.linux import files
    from mydocker.rootfs import save

    output = values["output"]
    is_layout = output and os.path.isdir(output)
    form = values["format"] or ("oci-dir" if is_layout else "docker-archive")
    if form not in save.FORMATS:
        raise Usage("--format", form, f"is not one of {', '.join(save.FORMATS)}")
    store = Store(Globals.root)
    if output == "":
        raise Usage("--output", "", "needs a value")
    if form == "oci-dir":
        if not output:
            raise Usage("save", "oci-dir", "a directory cannot go to stdout", hint="use -o")
        with Progress("Saving") as told:
            save.to_directory(store, words, output, told)
    elif output:
        with Progress("Saving") as told:
            save.to_file(store, words, output, form, told)
    else:
        if os.isatty(1):
            hint = "use -o FILE, or send it to a file or a pipe"
            raise Usage("save", "stdout", "is a terminal", hint=hint)
        sys.stdout.flush()
        with Progress("Saving") as told:
            save.to_stream(store, words, lambda piece: files.write_all(1, piece), form, told)


COMMAND = Command(run, "[OPTIONS] IMAGE...", "Save images to an archive.", FLAGS, least=1)
"""One word of the command line, and its table."""
