"""`mydocker tag`: one more name for an image."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command
from mydocker.lifecycle.images import find
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(_: dict[str, Any], words: list[str]) -> None:
    """Give the image the name."""
    store = Store(Globals.root)
    store.tag(find(store, words[0]), words[1])


COMMAND = Command(run, "IMAGE NAME[:TAG]", "Give an image another name.", least=2, most=2)
