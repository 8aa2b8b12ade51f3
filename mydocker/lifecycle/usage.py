"""How much of the disk is used, by what, and how much of that could be given back."""

from __future__ import annotations

import os

from mydocker.lifecycle import repair
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.select import UP
from mydocker.rootfs.store import Store
from mydocker.rootfs.volumestore import VolumeStore
from mydocker.spec import Struct


def size_of(directory: str) -> int:
    """The bytes of the files below a directory; a file with several names counts once.

    What vanishes while we look, since a container is at work in there, does not count.
    """
    total, seen = 0, set()
    for above, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(f"{above}/{name}")
            except OSError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total


class Kind(Struct):
    """One line of `system df`: how many there are, how many in use, bytes, bytes to be had."""

    name: str
    total: int = 0
    active: int = 0
    size: int = 0
    reclaimable: int = 0


def of(root: str) -> list[Kind]:
    """Images, containers and volumes; a layer that several images have counts once."""
    containers = repair.everything(Containers(root))
    return [_images(root, containers), _containers(containers), _volumes(root, containers)]


def _images(root: str, containers: list[Container]) -> Kind:
    store = Store(root)
    images = store.images()
    used = {c.image_id for c in containers}
    layers = {digest for image in images for digest in image.config.rootfs.diff_ids}
    needed = {d for image in images if image.id in used for d in image.config.rootfs.diff_ids}
    return Kind(
        name="Images",
        total=len(images),
        active=sum(image.id in used for image in images),
        size=sum(map(store.layer_size, layers)),
        reclaimable=sum(map(store.layer_size, layers - needed)),
    )


def _containers(containers: list[Container]) -> Kind:
    sizes = {c.id: size_of(f"{c.directory}/upper") for c in containers}
    active = [c.id for c in containers if c.status in UP]
    return Kind(
        name="Containers",
        total=len(containers),
        active=len(active),
        size=sum(sizes.values()),
        reclaimable=sum(size for identity, size in sizes.items() if identity not in active),
    )


def _volumes(root: str, containers: list[Container]) -> Kind:
    store = VolumeStore(root)
    used = {name for container in containers for name in container.volumes}
    sizes = {name: size_of(store.path(name)) for name in store.names()}
    return Kind(
        name="Local Volumes",
        total=len(sizes),
        active=len(used & sizes.keys()),
        size=sum(sizes.values()),
        reclaimable=sum(size for name, size in sizes.items() if name not in used),
    )
