"""The root of a container, as a descriptor, for those who only want to look in or copy files.

A running container's root exists in its mount namespace: a child of ours goes there, opens `/`, and
hands the descriptor back. A stopped one has none: the child makes a mount namespace of its own and
mounts the container's overlay and its volumes in it, where the host cannot see them. Either way the
child ends at once, and we never change our own root: no program, library or module is ever looked
up among the container's files (CVE-2019-14271), and every path in there is resolved from the
descriptor (files.open_in_root).

Invariant: nobody else mounts that overlay meanwhile, since two mounts of one upper directory would
undo each other's work; the lock of a stopped container is held as long as somebody is inside.
"""

from __future__ import annotations

import os
import time

from mydocker.errors import Conflict, Error, NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.linux import files, syscalls, trace
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import mounts
from mydocker.rootfs.overlay import Overlay
from mydocker.sandbox.channel import Channel, die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mydocker.spec import Spec


PATIENCE = 10.0
"""Seconds to wait for a container that is being started, also between two lives."""


class Inside:
    """`with Inside(containers, container) as root:` a descriptor of the container's root.

    bare: only its own files, without what is mounted over them. `running` tells which way it went.
    """

    def __init__(self, containers: Containers, container: Container, bare: bool = False) -> None:
        self.containers = containers
        self.container = container
        self.bare = bare
        self.running = False
        self._undo = Cleanup()

    def __enter__(self) -> int:
        try:
            return self._enter()
        except BaseException:
            self._undo.unwind()
            raise

    def _enter(self) -> int:
        container = self._settled()
        if container.alive():
            self.running = True
            root, namespace = open_elsewhere(lambda: join(container.pid, self.bare))
            if not container.alive():  # then the pid may have been another's
                os.close(root)
                os.close(namespace)
                raise Conflict("container", container.name, "ended at this moment")
        else:
            overlay = Overlay.in_directory(container.layers, container.directory)
            overlay.create()
            spec, path = container.spec(), container.root_directory
            root, namespace = open_elsewhere(lambda: assemble(overlay, path, spec, self.bare))
        self._undo.push(os.close, namespace)  # the mounts below the root live as long as this
        self._undo.push(os.close, root)
        return root

    def _settled(self) -> Container:
        """The container as it is: running, or locked and with nobody who is about to start it.

        The lock keeps others from that; it is not held while we wait, since who starts it needs it.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            lock = self.container.lock()
            lock.__enter__()
            self._undo.push(lock.__exit__)
            container = self.containers.load(self.container.id)
            starting = container.monitored() and container.status != "exited"
            if not container.alive() and not starting:
                return container
            self._undo.unwind()
            if container.alive():  # it may end, or be removed, as it likes
                return container
            if time.monotonic() > deadline:
                raise Conflict("container", container.name, f"is {container.status}, and stays so")
            time.sleep(0.01)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._undo.unwind()


class ImageRoot:
    """`with ImageRoot(layers, path) as root:` a descriptor of an image's root, read-only.

    `path`: a directory that there is, to mount on where nobody sees it.
    """

    def __init__(self, layers: list[str], path: str) -> None:
        self.layers = layers
        self.path = path
        self._fds: tuple[int, ...] = ()

    def __enter__(self) -> int:
        if len(self.layers) == 1:
            try:
                self._fds = (os.open(self.layers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),)
            except OSError:
                raise NotFound("layer", self.layers[0], "is missing") from None
        else:
            overlay = Overlay(self.layers, "", "")
            self._fds = open_elsewhere(lambda: assemble(overlay, self.path, None, bare=True))
        return self._fds[0]

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)


def open_elsewhere(go: Callable[[], int]) -> tuple[int, int]:
    """Let a child `go()` into another mount namespace; what it opened there, and the namespace."""
    ours, theirs = Channel.pair()
    child = syscalls.fork()
    if child == 0:
        trace.act_as("helper")
        ours.close()
        try:
            # A process in a container's namespaces could be looked into from there.
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            space = os.open("/proc/self/ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            root = go()
            theirs.send("root", fd=root)
            theirs.send("namespace", fd=os.open("mnt", os.O_RDONLY, dir_fd=space))
        except BaseException as error:
            die(theirs, error)
        os._exit(0)
    theirs.close()
    root = -1
    try:
        root = int(ours.expect("root")["fd"])
        return root, int(ours.expect("namespace")["fd"])
    except Error:
        if root >= 0:
            os.close(root)
        raise
    finally:
        ours.close()
        os.waitpid(child, 0)


def join(pid: int, bare: bool) -> int:
    """Go into the mount namespace of a container's first process, and open its root.

    Not by /proc/PID/root: the process may have changed its own root. `bare`: a copy of the root's
    mount alone shows what lies under the volumes.
    """
    fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(fd, syscalls.CLONE_NEWNS)
    if bare:
        return syscalls.open_tree(syscalls.AT_FDCWD, "/", syscalls.OPEN_TREE_CLONE)
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def assemble(overlay: Overlay, path: str, spec: Spec | None, bare: bool) -> int:
    """Mount an overlay at `path` in a mount namespace of our own, with the volumes; its root."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    overlay.mount(path)
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if spec is not None and not bare:
        for mount in spec.mounts:
            if mount.type == "bind" and os.path.exists(mount.source):
                mounts.mount_one(root, mount, mounts.source_tree(mount))
        if spec.root.readonly:
            flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
            syscalls.mount("", files.by_fd(root), "", flags)
    return root
