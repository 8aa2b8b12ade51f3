"""`mydocker pull`: an image from a registry."""

from __future__ import annotations

import contextlib
import sys

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.lifecycle.options import Options

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


def provide(when: str | None, asked: Options) -> None:
    """Pull the image that `run` or `create` needs, if it does; what it tells goes to stderr."""
    from mydocker.errors import NotFound
    from mydocker.lifecycle import provide

    for word, optional in provide.needed(Globals.root, when, asked):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                pull(word, "", quiet=False)
        except NotFound:
            if not optional:
                raise


COMMAND = Command(run, "[OPTIONS] NAME...", "Pull images from a registry.", FLAGS, least=1)
