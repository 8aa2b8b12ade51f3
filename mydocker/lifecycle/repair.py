"""What a crash leaves, and how it is put right: by the next command, or by `system check`.

A record may say `running` although nobody is: the machine was switched off, or the monitor was
killed before it could write. The kernel has by then ended the container's processes and with them
its mount namespace, so what can be left are a wrong record, a cgroup, a name, and the files of a
container that was to be removed or never came to be.
"""

from __future__ import annotations

import os

from mydocker import cgroups
from mydocker.errors import Corrupt, Error, NotFound
from mydocker.lifecycle.container import Container, Containers, now
from mydocker.linux import files, mountinfo
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOST = 137
"""The exit code of a container whose end nobody saw: it was killed with its monitor."""


def put_right(containers: Containers, container: Container) -> Container | None:
    """The container as it really is; None if it was to be removed at its end, and now has been.

    A record that claims more life than there is gets corrected. One whose monitor still lives is
    left to it: the end is being written at this very moment.
    """
    if container.monitored() or container.alive():
        return container
    if container.status in ("running", "paused", "restarting") or container.unfinished():
        cgroups.group(container.cgroup_parent, container.id).remove()
        container.exit_code, container.pid, container.finished_at = LOST, 0, now()
        container.error = "its monitor was killed, or the machine went down"
        container.become("exited")
        container.save()
    if container.auto_remove and container.status == "exited":
        containers.discard(container)
        return None
    return container


def everything(containers: Containers) -> list[Container]:
    """All containers as they really are, newest first."""
    found = [put_right(containers, container) for container in containers]
    return [container for container in found if container]


class Leftover:
    """One thing found on the host that belongs to nobody any more, and what removes it."""

    def __init__(self, kind: str, name: str, undo: Callable[..., object], *args: object) -> None:
        self.kind = kind
        self.name = name
        self._undo = undo
        self._args = args

    def remove(self) -> None:
        """Remove it from the host."""
        self._undo(*self._args)


def leftovers(root: str, cgroup_parent: str) -> list[Leftover]:
    """All that crashed or damaged calls left below this state root and this cgroup parent."""
    containers = Containers(root)
    store = Store(root)
    with containers.quiet():  # no creation is half-way while we look
        found = _containers(containers) + _names(containers)
        found += _groups(containers, cgroup_parent)
    if os.path.isdir(root):
        for path in mountinfo.below(root):
            if path != os.path.realpath(root):
                found.append(Leftover("mount", path, _umount, path))
    for text in store.check():
        found.append(Leftover("image", text, store.repair))
    return found


def _containers(containers: Containers) -> list[Leftover]:
    found = []
    for container_id in containers.ids():
        path = f"{containers.directory}/{container_id}"
        try:
            container = containers.load(container_id)
        except NotFound:  # a creation or a removal that did not finish
            found.append(Leftover("directory", path, files.remove_tree, path))
            continue
        except Corrupt as error:
            found.append(Leftover("record", str(error), _move_aside, path))
            continue
        if not container.settled():
            found.append(Leftover("container", container.name, put_right, containers, container))
    return found


def _names(containers: Containers) -> list[Leftover]:
    return [
        Leftover("name", name, files.unlink, path, True)
        for name, path, container_id in containers.names()
        if not os.path.isdir(f"{containers.directory}/{container_id}")
    ]


def _groups(containers: Containers, parent: str) -> list[Leftover]:
    found = []
    for name in cgroups.leftovers(parent):
        try:
            container = containers.load(name)
            if container.monitored() or container.alive() or not container.settled():
                continue  # in use, or removed together with the container above
        except (NotFound, Corrupt):
            pass
        found.append(Leftover("cgroup", f"{parent}/{name}", _remove_group, parent, name))
    return found


def _remove_group(parent: str, name: str) -> None:
    group = cgroups.group(parent, name)
    group.kill()
    group.remove()


def _umount(path: str) -> None:
    from mydocker.linux import syscalls

    syscalls.umount2(path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)


def _move_aside(directory: str) -> None:
    """Keep a damaged record for a human to look at, where nothing reads it as a container."""
    damaged = f"{os.path.dirname(os.path.dirname(directory))}/damaged"
    files.makedirs(damaged)
    files.rename(directory, f"{damaged}/{os.path.basename(directory)}")


def repair(found: list[Leftover]) -> list[Error]:
    """Remove what was found; what could not be removed is returned as its errors."""
    failed = []
    for leftover in found:
        try:
            leftover.remove()
        except Error as error:
            failed.append(error)
    return failed
