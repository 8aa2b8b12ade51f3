"""`mydocker history`: how an image came to be, step by step, the last one first."""

from __future__ import annotations

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag
from mydocker.cli.images import short
from mydocker.lifecycle.images import find
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.rootfs.store import Image

FLAGS = [
    Flag("-q --quiet", "bool", "only the ids"),
    Flag("--no-trunc", "bool", "nothing cut"),
    Flag("-H --human", "bool", "sizes and times for people (=false to not)", default=True),
]


def run(values: dict[str, Any], words: list[str]) -> None:
    """Print one line for each step."""
    store = Store(Globals.root)
    whole, human = values["no_trunc"], values["human"]
    rows = []
    for step in steps(store, find(store, words[0])):
        identity = step["id"] if whole else short(step["id"])
        if values["quiet"]:
            print(identity)
            continue
        by = " ".join(step["created_by"].split())
        created = f"{table.ago(step['created'])} ago" if step["created"] else "N/A"
        rows.append(
            [
                identity,
                created if human else step["created"],
                by if whole or len(by) <= 45 else f"{by[:44]}…",
                table.size(step["size"]) if human else str(step["size"]),
                step["comment"],
            ]
        )
    if not values["quiet"]:
        table.show(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], rows)


def steps(store: Store, image: Image) -> list[dict[str, Any]]:
    """The steps, the last one first.

    Each with its id (the image's for the last one, else `<missing>`), created (RFC 3339),
    created_by, comment, size (bytes of its layer's files).

    A layer that the history does not mention has a step of its own, at the bottom.
    """
    history, layers = image.config.history, list(image.config.rootfs.diff_ids)
    made = sum(not entry.empty_layer for entry in history)
    found: list[dict[str, Any]] = []
    unmentioned = len(layers) - made
    for diff_id in layers[: max(0, unmentioned)]:
        size = store.layer_size(diff_id)
        found.append({"created": "", "created_by": "", "comment": "", "size": size})
    left = layers[max(0, unmentioned) :]
    for entry in history:
        size = store.layer_size(left.pop(0)) if left and not entry.empty_layer else 0
        said = {"created": entry.created, "created_by": entry.created_by, "comment": entry.comment}
        found.append({**said, "size": size})
    found.reverse()
    return [{"id": "<missing>" if at else image.id, **step} for at, step in enumerate(found)]


COMMAND = Command(run, "[OPTIONS] IMAGE", "Show how an image was made.", FLAGS, least=1, most=1)
