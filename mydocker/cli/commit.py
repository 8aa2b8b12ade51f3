"""`mydocker commit`: a container's changes become a layer of a new image (the book's 4.4)."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-a --author", "value", "who made it", metavar="NAME", default=""),
    Flag("-m --message", "value", "a message for the history", metavar="TEXT", default=""),
    Flag("-p --pause", "bool", "stop the container meanwhile (=false to not)", default=True),
    Flag("-c --change", "list", "a Dockerfile instruction to apply", metavar="'CMD [\"sh\"]'"),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """`commit CONTAINER [IMAGE]`; `commit IMAGE` means the one running container."""
    image = images.commit(
        Globals.root,
        words,
        values["author"],
        values["message"],
        values["change"],
        values["pause"],
    )
    print(image.id)


COMMAND = Command(
    run,
    "[OPTIONS] [CONTAINER] IMAGE[:TAG]",
    "Make an image from a container's changes. With one word, that is the image's name and the\n"
    "container is the one that is running.",
    FLAGS,
    least=1,
    most=2,
)
