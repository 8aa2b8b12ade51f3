"""`mydocker cp`: files into a container, or out of one."""

from __future__ import annotations

import os
import sys

from mydocker.cli import Globals, printable
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Usage
from mydocker.lifecycle import copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-a --archive", "bool", "keep owners, set-user-id bits and devices on the host, too"),
    Flag("-L --follow-link", "bool", "copy what a link as the source leads to"),
    Flag("-q --quiet", "bool", "no word about what had to be left out"),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """One of the two is CONTAINER:PATH; the other is a path of the host, or - for a tar."""
    (left, source), (right, target) = split(words[0]), split(words[1])
    if left and right:
        raise Usage("cp", "", "copying between containers is not supported")
    if not left and not right:
        raise Usage("cp", "", "one of the two must be CONTAINER:PATH")
    root, follow = Globals.root, values["follow_link"]
    left_out: list[str] = []
    if left and target == "-":
        copy.to_stream(root, left, source, follow, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    elif left:
        left_out = copy.to_host(root, left, source, target, follow, values["archive"])
    elif source == "-":
        left_out = copy.from_stream(root, right, lambda: os.read(0, 1 << 16), target)
    else:
        left_out = copy.from_host(root, right, source, target, follow)
    for text in [] if values["quiet"] else left_out:
        print(f"mydocker: cp: left out: {printable(text)}", file=sys.stderr)


def split(word: str) -> tuple[str, str]:
    """CONTAINER:PATH as two words; a path of the host has no first one.

    A host path with a colon is written as an absolute one, or with ./ before it, as for Docker.
    """
    name, colon, path = word.partition(":")
    if not colon or word.startswith(("/", ".")) or not name:
        if not word:
            raise Usage("cp", "", "a path cannot be empty")
        return "", word
    return name, path


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER:PATH PATH|- | PATH|- CONTAINER:PATH",
    "Copy files out of a container, or into one, whether it runs or not. - is a tar on stdout or\n"
    "stdin. A directory with /. at its end means its content.",
    FLAGS,
    least=2,
    most=2,
)
