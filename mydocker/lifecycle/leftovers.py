"""What crashes and damage left on the host: found, and removed (`mydocker system check`).

mydocker has no daemon that would notice, so this looks at all the places where something of it can
be: the state root, the control groups, the mounts below the root, the processes.

Invariant: what is not mydocker's own is never touched, nor what somebody is at work on; each repair
looks again, under the lock that those hold who change the thing.
"""

from __future__ import annotations

import os
import time

from mydocker import cgroups
from mydocker.errors import Error, KernelError, NotFound
from mydocker.lifecycle import monitors
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right, remove_group
from mydocker.linux import files, mountinfo
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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


def find(root: str, cgroup_parent: str) -> list[Leftover]:
    """All that crashed or damaged calls left below this state root and this cgroup parent."""
    containers = Containers(root)
    with containers.quiet():  # no creation and no removal is half-way while we look
        found = _mounts(containers) + _processes(containers)
        found += _directories(containers) + _containers(containers, cgroup_parent)
        found += _names(containers)
    found += _groups(containers, cgroup_parent) + _images(Store(root))
    return found + _networks(root) + _volumes(root)


def _mounts(containers: Containers) -> list[Leftover]:
    """mydocker mounts nothing where the host could see it, least of all outside a container's
    directory: what is mounted elsewhere below the root is its owner's."""
    if not os.path.isdir(containers.directory):
        return []
    above = os.path.realpath(containers.directory)
    paths = [path for path in mountinfo.below(above) if path != above]
    return [Leftover("mount", path, _umount, path) for path in paths]


def _umount(path: str) -> None:
    from mydocker.linux import syscalls

    if path in mountinfo.below(path):
        syscalls.umount2(path, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)


def _processes(containers: Containers) -> list[Leftover]:
    """Monitors whose container is gone; what they watch ends with them."""
    return [
        Leftover("process", f"{pid} monitors {name[:12]}, which is gone", monitors.end, pid, name)
        for pid, name in monitors.of(containers.directory)
        if not os.path.isdir(f"{containers.directory}/{name}")
    ]


def _directories(containers: Containers) -> list[Leftover]:
    """Creations and removals that did not finish, and directories without a record."""
    names = containers.unfinished()
    for name in containers.ids():
        try:
            containers.load(name)
        except NotFound:
            names.append(name)
        except Error:
            continue
    path = containers.directory
    return [Leftover("directory", f"{path}/{name}", containers.clear, name) for name in names]


def _containers(containers: Containers, parent: str) -> list[Leftover]:
    found = []
    for container_id in containers.ids():
        try:
            container = containers.load(container_id)
            if not container.settled():
                name = f"{container.name}, whose monitor is gone"
                found.append(Leftover("container", name, put_right, containers, container))
            elif _abandoned(container):
                name = f"{container.name}, frozen by a commit that was killed"
                found.append(Leftover("container", name, _thaw, containers, container))
        except NotFound:
            continue
        except Error as error:
            undo = Leftover("record", str(error), _move_aside, containers, container_id, parent)
            found.append(undo)
    return found


def _abandoned(container: Container) -> bool:
    """Whether its processes are stopped, and nobody holds the lock that goes with that."""
    if container.status != "running" or not _group(container).frozen():
        return False
    try:
        with container.lock(wait=False):
            return True
    except KernelError:
        return False


def _thaw(containers: Containers, container: Container) -> None:
    with container.lock():
        if containers.load(container.id).status == "running":
            _group(container).thaw()


def _group(container: Container) -> cgroups.Cgroup:
    return cgroups.group(container.cgroup_parent, container.id)


def _move_aside(containers: Containers, container_id: str, parent: str) -> None:
    """Keep a damaged record for a human to look at, where nothing reads it as a container."""
    path, damaged = f"{containers.directory}/{container_id}", f"{containers.root}/damaged"
    with containers.quiet():
        try:
            containers.load(container_id)
        except NotFound:
            return
        except Error:
            remove_group(parent, container_id)
            files.makedirs(damaged)
            files.rename(path, f"{damaged}/{container_id}-{os.urandom(4).hex()}")


def _names(containers: Containers) -> list[Leftover]:
    return [
        Leftover("name", name, containers.give_back, name, owner)
        for name, owner in containers.names()
        if not containers.exists(owner) or _another_name(containers, owner) not in ("", name)
    ]


def _another_name(containers: Containers, owner: str) -> str:
    """The name in the record of a container; empty if it cannot be read."""
    try:
        return containers.load(owner).name
    except Error:
        return ""


def _groups(containers: Containers, parent: str) -> list[Leftover]:
    """Groups that no container of ours has; nor one of another state root, if it has a monitor.

    A container's group is empty for a moment when it is made and before it is removed, and so is
    the parent of the first and the last.
    """
    names = _lasting(
        lambda: [n for n in cgroups.leftovers(parent) if not _in_use(containers, parent, n)]
    )
    found = []
    for name in names:
        pids = " ".join(map(str, cgroups.group(parent, name).processes()))
        text = f"{parent}/{name}" + (f", with the processes {pids}" if pids else "")
        found.append(Leftover("cgroup", text, _remove_unused, containers, parent, name))
    idle = _lasting(lambda: cgroups.idle_parents(parent))
    return found + [Leftover("cgroup", path, cgroups.prune, parent) for path in idle]


def _lasting(look: Callable[[], list[str]]) -> list[str]:
    """What `look` finds each time for a second."""
    found, deadline = look(), time.monotonic() + 1
    while found and time.monotonic() < deadline:
        time.sleep(0.05)
        there = set(look())
        found = [name for name in found if name in there]
    return found


def _in_use(containers: Containers, parent: str, name: str) -> bool:
    """Whether the group is a living container's, or will be removed together with a dead one."""
    try:
        container = containers.load(name)
    except NotFound:
        return monitors.keeper(cgroups.group(parent, name).processes(), name) > 0
    except Error:
        return True
    return container.monitored() or not container.settled()


def _remove_unused(containers: Containers, parent: str, name: str) -> None:
    if not _in_use(containers, parent, name):
        remove_group(parent, name)


def _networks(root: str) -> list[Leftover]:
    if not os.path.isdir(f"{root}/networks"):
        return []
    from mydocker.network import check

    return [Leftover(*one) for one in check.find(root)]


def _images(store: Store) -> list[Leftover]:
    try:
        return [Leftover("image", text, store.repair) for text in store.check()]
    except Error as error:  # the index itself is damaged
        return [Leftover("image", str(error), store.check)]


def _volumes(root: str) -> list[Leftover]:
    if not os.path.isdir(f"{root}/volumes"):
        return []
    from mydocker.rootfs.volumestore import VolumeStore

    store = VolumeStore(root)
    return [Leftover("volume", text, store.repair) for text in store.check()]


def repair(root: str, cgroup_parent: str, found: list[Leftover]) -> list[Error]:
    """Remove what was found; what could not be removed is returned as errors.

    In rounds, since one thing may bring the next to light: a monitor's end its container's group.
    """
    for _ in range(4):
        failed = []
        for leftover in found:
            try:
                leftover.remove()
            except Error as error:
                failed.append(error)
        found = find(root, cgroup_parent)
        if failed or not found:
            break
    told = [str(error) for error in failed]
    rest = [x for x in found if not any(x.name in text for text in told)]
    return failed + [Error("system check", x.kind, f"{x.name} is still there") for x in rest]
