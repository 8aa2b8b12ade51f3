"""Images that nobody needs: what `image prune` removes, and what `images` lists of which kind."""

from __future__ import annotations

from mydocker.errors import Conflict, NotFound, Usage
from mydocker.lifecycle import moments, select
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import everything
from mydocker.rootfs import reference
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.store import Image


def prune(root: str, every: bool, filters: list[str]) -> tuple[list[str], int]:
    """Remove images that are dangling, or (`every`) that no container was made from.

    filters: `until=24h`, `label=NAME[=VALUE]`, `label!=…`, `dangling=false` (the same as `every`).
    What happened, in Docker's words, and the bytes that the disk got back.
    """
    store, containers = Store(root), Containers(root)
    everything(containers)  # such as ended unseen are cleared away, or they would be in the way
    wanted = Filters(filters, ["until", "label", "dangling"])
    every = every or wanted.dangling is False
    before = disk(store)
    said: list[str] = []
    for image in store.images():
        used = {container.image_id for container in containers}
        if image.broken or image.id in used or (image.names and not every):
            continue
        if wanted.fit(image):
            said += _remove(store, containers, image)
    return said, max(0, before - disk(store))


def _remove(store: Store, containers: Containers, image: Image) -> list[str]:
    """Remove an image with all its names; a container that was made meanwhile keeps it."""

    def user(image_id: str) -> str:
        return next((c.name for c in containers if c.image_id == image_id), "")

    said: list[str] = []
    try:
        for name in image.names[:-1]:
            said += store.remove(name, in_use=user)
        return said + store.remove(image.id, in_use=user)
    except (Conflict, NotFound):
        return said


def disk(store: Store) -> int:
    """Bytes of the files of all layers, each counted once."""
    layers = {diff_id for image in store.images() for diff_id in image.config.rootfs.diff_ids}
    return sum(map(store.layer_size, layers))


class Filters:
    """`--filter` of images. Labels must all be there; of the other keys any value will do.

    dangling: whether images without a name are meant, or those with one; None: both.
    """

    def __init__(self, words: list[str], known: list[str]) -> None:
        found = select.read(words, known)
        self.labels = found.get("label", [])
        self.patterns = found.get("reference", [])
        limits = found.get("until", [])
        self.limits = [moments.nanoseconds(text, "--filter until") for text in limits]
        self.dangling: bool | None = None
        for value in found.get("dangling", []):
            if value not in ("true", "false", "1", "0"):
                raise Usage("--filter", f"dangling={value}", "not true or false")
            self.dangling = value in ("true", "1")

    def fit(self, image: Image) -> bool:
        """Whether the image is one of those that are meant, apart from `dangling`."""
        if any(_created(image) > limit for limit in self.limits):
            return False
        labels = image.config.config.labels
        if not all(select.has_label(labels, label) for label in self.labels):
            return False
        return not self.patterns or any(name_matches(name, self.patterns) for name in image.names)


def _created(image: Image) -> int:
    """When, in nanoseconds since 1970: who made the image wrote it in a way of his own."""
    try:
        return moments.nanoseconds(image.created, "created")
    except Usage:
        return 0


def name_matches(name: str, patterns: list[str]) -> bool:
    """Whether a name is like one of the patterns, which may have no tag; `*` is all but a slash."""
    from fnmatch import fnmatchcase

    repository = reference.parse(name).repository
    for pattern in patterns:
        for whole in (repository, name):
            parts, wanted = whole.split("/"), pattern.split("/")
            if len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)):
                return True
    return False
