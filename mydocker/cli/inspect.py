"""`mydocker inspect`: all that is known of a container or an image, as JSON."""

from __future__ import annotations

import json

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.errors import NotFound
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Print one array with an object for each word."""
    print(json.dumps([describe(word) for word in words], indent=4))


def describe(word: str) -> dict[str, Any]:
    """The record and the spec of a container, else the configuration of an image."""
    containers = Containers(Globals.root)
    try:
        container = put_right(containers, containers.find(word))
    except NotFound:
        container = None
    if container:
        return {**container.to_json(), "spec": container.spec().to_json()}
    image = Store(Globals.root).find(word)
    if image is None:
        raise NotFound("inspect", word, "no such container or image")
    return {"id": image.id, "names": image.names, "layers": image.layers, **image.config.to_json()}


COMMAND = Command(run, "NAME...", "Show containers or images as JSON.", least=1)
