"""`mydocker pull`: an image from a registry."""

from __future__ import annotations

import sys

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-q --quiet", "bool", "only the name of the image"),
    Flag("--platform", "value", "of an image for several", metavar="OS/ARCH", default=""),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Pull each image, and say what came of it, in Docker's words."""
    for word in words:
        pull(word, values["platform"], quiet=values["quiet"])


def pull(word: str, platform: str, quiet: bool) -> None:
    """Pull one."""
    from mydocker.cli.progress import Progress
    from mydocker.rootfs import pull as puller

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    store = Store(Globals.root, warn=lambda text: print(f"mydocker: {text}", file=sys.stderr))
    with Progress("Pulling") as told:
        told.shown = told.shown and not quiet
        pulled = puller.pull(store, Globals.root, word, platform=platform, told=told, say=say)
    state = "Downloaded newer image for" if pulled.new else "Image is up to date for"
    familiar = pulled.name.removeprefix("docker.io/").removeprefix("library/")
    say(f"Digest: {pulled.digest}\nStatus: {state} {familiar}")
    print(pulled.name)


COMMAND = Command(run, "[OPTIONS] NAME...", "Pull images from a registry.", FLAGS, least=1)
