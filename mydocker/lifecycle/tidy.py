"""What nobody needs any more, removed in one go: `container prune` and `system prune`."""

from __future__ import annotations

from mydocker.errors import Conflict, NotFound
from mydocker.lifecycle import moments, repair, select
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.remove import remove
from mydocker.lifecycle.usage import size_of
from mydocker.spec import Struct


class Removed(Struct):
    """What was removed of one kind, and the bytes that this gave back."""

    kind: str
    names: list[str] = []
    size: int = 0


FILTERS = ["until", "label"]


def everything(root: str, filters: list[str], images: bool, volumes: bool) -> list[Removed]:
    """Containers that do not run, networks that nobody is in, and dangling images.

    `images`: all images that no container was made from. `volumes`: also those without a name.
    In this order, since what a container held is free when it is gone.
    """
    select.read(filters, FILTERS)  # a wrong one is refused before anything is removed
    found = [containers(root, filters)]
    if not filters:  # networks and volumes of any age would go
        found += [_networks(root), *([_volumes(root)] if volumes else [])]
    from mydocker.lifecycle import prune

    said, freed = prune.prune(root, images, filters)
    return [*found, Removed(kind="Images", names=[line.lower() for line in said], size=freed)]


def containers(root: str, filters: list[str]) -> Removed:
    """Remove what has ended or never began: their ids, and the bytes that they had written.

    One that is started meanwhile stays, and so does one that is being made.
    """
    wanted = select.read(filters, FILTERS)
    limits = [moments.parse(text, "--filter until") for text in wanted.get("until", [])]
    all_of_them = Containers(root)
    removed = Removed(kind="Containers")
    for container in repair.everything(all_of_them):
        if not idle(container) or any(container.created > limit for limit in limits):
            continue
        if not all(select.has_label(container.labels, label) for label in wanted.get("label", [])):
            continue
        size = size_of(f"{container.directory}/upper")
        try:
            remove(all_of_them, container.id)
        except (Conflict, NotFound):
            continue
        removed.names.append(container.id)
        removed.size += size
    return removed


def idle(container: Container) -> bool:
    """Whether it neither runs nor is on its way."""
    return container.status in ("created", "exited", "dead") and not container.monitored()


def _networks(root: str) -> Removed:
    from mydocker.lifecycle import netchanges
    from mydocker.network.create import remove as unmake

    removed = Removed(kind="Networks")
    for name in netchanges.unused(root):
        try:
            unmake(root, name)
        except (Conflict, NotFound):
            continue
        removed.names.append(name)
    return removed


def _volumes(root: str) -> Removed:
    from mydocker.lifecycle.volumes import users
    from mydocker.rootfs.volumestore import VolumeStore

    removed, store = Removed(kind="Volumes"), VolumeStore(root)
    for volume in store.all():
        if not volume.anonymous:
            continue
        size = size_of(store.path(volume.name))
        try:
            store.remove(volume.name, lambda name: users(Containers(root), name))
        except (Conflict, NotFound):
            continue
        removed.names.append(volume.name)
        removed.size += size
    return removed
