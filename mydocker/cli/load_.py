"""`mydocker load`: the images of an archive, or of an OCI layout in a directory."""

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

FLAGS = [
    Flag("-i --input", "value", "a file or a directory instead of stdin", metavar="PATH"),
    Flag("-q --quiet", "bool", "no progress"),
    Flag("--name", "value", "what to call the archive's one image", metavar="NAME", default=""),
    Flag("--platform", "value", "of an image for several", metavar="OS/ARCH", default=""),
]


def run(values: dict[str, Any], _words: list[str]) -> None:
    """Load, and print the names of what came."""
    from mydocker.cli.progress import Progress
    from mydocker.rootfs.load import load

    source = values["input"]
    if source is None and os.isatty(0):
        raise Usage("load", "stdin", "is a terminal", hint="use -i FILE, or send an archive to it")
    store = Store(Globals.root, warn=lambda text: print(f"mydocker: {text}", file=sys.stderr))
    with Progress("Loading") as told:
        told.shown = told.shown and not values["quiet"]
        images = load(
            store,
            source if source not in (None, "-") else sys.stdin.buffer,
            platform=values["platform"],
            name=values["name"],
            told=told,
        )
    for image, names in images:
        for name in names:
            print(f"Loaded image: {name}")
        if not names:
            print(f"Loaded image ID: {image.id}")


COMMAND = Command(run, "[OPTIONS]", "Load images from an archive.", FLAGS, most=0)
