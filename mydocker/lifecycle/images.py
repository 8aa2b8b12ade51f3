"""What images and containers have to do with each other: commit, and images that are in use."""

from __future__ import annotations

from mydocker import cgroups
from mydocker.errors import Conflict, NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.defaults import PATH
from mydocker.lifecycle.repair import everything, put_right
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs.overlay import Overlay
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mydocker.rootfs.store import Image
    from mydocker.spec import Spec


def find(store: Store, word: str) -> Image:
    """The image of that name, tag or id; NotFound if there is none."""
    image = store.find(word)
    if image is None:
        raise NotFound("image", word, "no such image", hint="mydocker images lists them")
    return image


def describe(store: Store, image: Image) -> dict[str, Any]:
    """All that is known of an image, in the shape and words of `docker image inspect`.

    SharedSize, which Docker has elsewhere, is what other images have too (of Size, in bytes).
    """
    config = image.config
    layers = config.rootfs.diff_ids
    others = {
        diff_id
        for other in store.images()
        if other.id != image.id
        for diff_id in other.config.rootfs.diff_ids
    }
    last = config.history[-1] if config.history else None
    return {
        "Id": image.id,
        "RepoTags": image.names,
        "RepoDigests": image.digests,
        "Comment": last.comment if last else "",
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        **({"Variant": config.variant} if config.variant else {}),
        "Os": config.os,
        "Size": sum(map(store.layer_size, layers)),
        "SharedSize": sum(store.layer_size(diff_id) for diff_id in layers if diff_id in others),
        "Config": config.config.to_json(),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"LowerDir": ":".join(reversed(image.layers))},
        },
        "RootFS": {"Type": config.rootfs.type, "Layers": layers},
        "History": [entry.to_json() for entry in config.history],
    }


def remove(root: str, word: str, force: bool) -> list[str]:
    """Remove an image, or one of its names; what was untagged and deleted, in Docker's words.

    An image that a container was made from is refused: the container's overlay needs its layers.
    """
    containers = Containers(root)
    everything(containers)  # such as ended unseen are cleared away, or they would be in the way

    def user(image_id: str) -> str:
        return next((c.name for c in containers if c.image_id == image_id), "")

    return Store(root).remove(word, force, user)


def the_one_running(containers: Containers) -> Container:
    """The container that `commit IMAGE` means: there must be exactly one that runs."""
    running = [c for c in everything(containers) if c.status in ("running", "paused")]
    if len(running) != 1:
        names = ", ".join(c.name for c in running) or "none"
        why = f"which container? {len(running)} are running: {names}"
        raise Conflict("commit", "", why, hint="mydocker commit CONTAINER IMAGE")
    return running[0]


def chosen(containers: Containers, words: list[str]) -> Container:
    """The container of `commit CONTAINER [IMAGE]`, or the one that `commit IMAGE` means."""
    try:
        container = put_right(containers, containers.find(words[0]))
    except NotFound:
        if len(words) > 1:
            raise
        return the_one_running(containers)
    if container is None:
        raise NotFound("container", words[0], "no such container")
    return container


def unless_gone(act: Callable[[], None]) -> None:
    """Freeze or thaw a group that may have ended meanwhile: then nothing in it moves any more."""
    try:
        act()
    except NotFound:
        pass


def commit(
    root: str,
    words: list[str],
    author: str,
    message: str,
    changes: list[str],
    pause: bool = True,
) -> Image:
    """Make the changes of a container an image of that name.

    A running container is paused meanwhile, so that the layer is of one moment, unless `pause` is
    False. What is in its volumes lies on other file systems and is not in the upper directory: it
    stays out. The image is to be run as the container was, but for `changes`.
    """
    from mydocker.rootfs.commit import commit as make

    containers, store = Containers(root), Store(root)
    container = chosen(containers, words)
    name = words[-1]
    if len(words) == 1 and (name == container.name or container.id.startswith(name)):
        name = ""  # `commit CONTAINER`: an image without a name
    spec = container.spec()
    targets = [mount.destination for mount in spec.mounts]
    # The lock says that somebody is at work on a frozen container; a second commit waits.
    with container.lock(), Cleanup() as undo:
        if pause and containers.load(container.id).status == "running":
            group = cgroups.group(container.cgroup_parent, container.id)
            undo.push(unless_gone, group.thaw)
            unless_gone(group.freeze)
        Overlay.in_directory(container.layers, container.directory).create()
        return make(
            store,
            as_it_ran(find(store, container.image_id), container, spec),
            f"{container.directory}/upper",
            name or None,
            author=author,
            message=message,
            changes=changes,
            exclude=targets,
        )


def as_it_ran(image: Image, container: Container, spec: Spec) -> Image:
    """The image with the configuration that its container was run with, as Docker commits it."""
    from mydocker.rootfs.imageconfig import ImageConfig

    made = type(image)(**image.__dict__)
    made.config = ImageConfig.from_json(image.config.to_json())
    config, process = made.config.config, spec.process
    entry = config.entrypoint
    if entry and process.args[: len(entry)] == entry:
        config.cmd = process.args[len(entry) :]
    else:
        config.entrypoint, config.cmd = [], list(process.args)
    ours = ("HOSTNAME=", f"PATH={PATH}", "TERM=xterm" if container.tty else "HOSTNAME=")
    config.env = [item for item in process.env if item in config.env or not item.startswith(ours)]
    config.user = process.user.username
    if process.cwd != "/" or config.working_dir:
        config.working_dir = process.cwd
    config.labels = dict(container.labels)
    config.stop_signal = container.stop_signal if container.stop_signal != "SIGTERM" else ""
    return made
