"""`mydocker images`: the images of the local store."""

from __future__ import annotations

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-q --quiet", "bool", "only the ids"),
    Flag("--no-trunc", "bool", "whole ids"),
]


def run(values: dict[str, Any], _words: list[str]) -> None:
    """Print one line for each name of each image."""
    images = Store(Globals.root).images()
    if values["quiet"]:
        for image in images:
            print(image.id if values["no_trunc"] else short(image.id))
        return
    rows: list[list[str]] = []
    for image in images:
        identity = image.id if values["no_trunc"] else short(image.id)
        created = f"{table.ago(image.created)} ago" if image.created else "N/A"
        for name in image.names or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            rows.append([repository, tag, identity, created, table.size(image.size)])
    table.show(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], rows)


def short(identity: str) -> str:
    """The first twelve digits of an image's id."""
    return identity.removeprefix("sha256:")[:12]


COMMAND = Command(run, "[OPTIONS]", "List images.", FLAGS, most=0)
