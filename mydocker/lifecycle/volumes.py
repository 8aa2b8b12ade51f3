"""Containers and their volumes: which they use, who fills them, and when they go (the book's 4.3).

Before the record of a container is written, each `volume` among its mounts becomes the bind mount
of a directory of the store, and the record names the volume: from then on nobody may remove it.
After that the volume is made, if it is not there yet, and filled from the image.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Error, NotFound, Usage
from mydocker.lifecycle import defaults
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.linux import files
from mydocker.rootfs.volumes import in_order
from mydocker.rootfs.volumestore import VolumeStore
from mydocker.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import Spec


def settle(
    containers: Containers, container: Container, spec: Spec, sources: list[str]
) -> Callable[[], None]:
    """Write the volumes' directories into the spec, and their names into the record.

    sources: the words of `--volumes-from`. What is returned makes the volumes and fills them, to be
    called when the record is there; should it fail, the container is discarded.
    """
    asked = inherited(containers, container, sources, spec.mounts)
    store = VolumeStore(containers.root)
    fillings = []
    for number, mount in enumerate(asked):
        if mount.type != "volume":
            continue
        name = mount.source or os.urandom(32).hex()
        container.volumes.append(name)
        if not mount.source:
            container.anonymous.append(name)
        words = [word for word in mount.options if word == "ro" or word.startswith("subpath=")]
        mapped = ["idmap"] if spec.linux.uid_mappings else []
        options = ["rbind", *words, *mapped, "rprivate"]
        asked[number] = Mount(
            destination=mount.destination, source=store.path(name), options=options
        )
        copies = "nocopy" not in mount.options and len(words) == words.count("ro")
        fillings.append((name, not mount.source, mount.destination if copies else ""))
    spec.mounts[:] = asked

    def provide() -> None:
        try:
            for name, anonymous, destination in fillings:
                store.create(name, {_ANONYMOUS: ""} if anonymous else None)
                if destination:
                    fill(containers, store, name, container.layers, destination)
        except BaseException:
            remove_anonymous(containers, container)
            containers.discard(container)
            raise

    return provide


def inherited(
    containers: Containers, container: Container, sources: list[str], own: list[Mount]
) -> list[Mount]:
    """The mounts of a container with those of the others that `--volumes-from` names.

    What is asked for itself goes before what is inherited, and that before the image's volumes.
    """
    taken = {mount.destination for mount in own if "image" not in mount.options}
    found: dict[str, Mount] = {}
    for text in sources:
        word, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise Usage("--volumes-from", text, f"bad mode {mode!r}", hint="ro or rw")
        other = containers.find(word)
        for mount in other.spec().mounts:
            if mount.type != "bind" or mount.source.startswith(f"{containers.directory}/"):
                continue
            options = [word for word in mount.options if word != "idmap"]
            if mode == "ro" and "ro" not in options:
                options.insert(1, "ro")
            found[mount.destination] = Mount(
                destination=mount.destination, source=mount.source, options=options
            )
        container.volumes += [name for name in other.volumes if name not in container.volumes]
        container.anonymous += [n for n in other.anonymous if n not in container.anonymous]
    more = [mount for where, mount in found.items() if where not in taken]
    ours = [m for m in own if "image" not in m.options or m.destination not in found]
    first = 0  # Docker's own mounts stay where they are: before everything else
    places = {mount.destination for mount in defaults.mounts(0)}
    while first < len(ours) and ours[first].type not in ("bind", "volume"):
        if ours[first].destination not in places:
            break
        first += 1
    return ours[:first] + in_order(ours[first:] + more)


def fill(
    containers: Containers, store: VolumeStore, name: str, layers: list[str], destination: str
) -> None:
    """Fill an empty volume with what the image has at `destination`, if that is a directory."""

    def copy(directory: int) -> bool:
        from mydocker.lifecycle.inside import ImageRoot
        from mydocker.rootfs import layer, place

        with ImageRoot(layers, f"{containers.root}/volumes") as root:
            try:
                source = files.open_in_root(root, destination, os.O_RDONLY | os.O_DIRECTORY)
            except Error:
                return False  # the image has nothing there, or no directory
            try:
                pieces = layer.pack(layer.tree(source))
                placer = place.Placer(directory, b"fill.new", place.NO_LINKS)
                placer.take(lambda: next(pieces, b""))
            finally:
                os.close(source)
        return True

    store.fill(name, copy)


def users(containers: Containers, name: str, but: str = "") -> list[str]:
    """The names of the containers that use the volume, also of those that do not run."""
    return [c.name for c in containers if name in c.volumes and c.id != but]


def remove_anonymous(containers: Containers, container: Container) -> None:
    """Remove the container's volumes without a name, but those that others use, too."""
    store = VolumeStore(containers.root)
    for name in container.anonymous:
        try:
            store.remove(name, lambda volume: users(containers, volume, but=container.id))
        except (NotFound, Conflict):
            continue


_ANONYMOUS = "com.docker.volume.anonymous"
