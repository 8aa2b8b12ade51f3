"""The container's `/`: built beside the host's, then switched to (the book's 4.1).

This runs in the container's first process, in its new mount namespace, where every mount is already
cut off from the host's (sandbox/namespaces.py, `make_private`). The order matters:

1. the root, then what belongs in it, in the order of the list (mounts.py, devices.py);
2. pivot_root(2), after which the host's files have no name any more (`pivot`);
3. last, what must not be written or seen is covered (cover.py).

Invariant: on a failure at any step nothing is left, neither on the host nor in the image: the mount
namespace ends with the process, and the old root never had a place in the new one.
"""

from __future__ import annotations

import os

from mydocker.linux import syscalls
from mydocker.rootfs import cgroupfs, cover, devices, idmap, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.overlay import Overlay
    from mydocker.spec import Spec


class Entrance:
    """The way into one container's root: `take_trees` while the mounts are still the host's,
    `prepare` (only with an id mapping), `enter`, `seal`."""

    def __init__(self, spec: Spec, overlay: Overlay | None) -> None:
        self.spec = spec
        self.overlay = overlay
        self.prepared = False
        self.trees: dict[str, int] = {}

    def take_trees(self) -> None:
        """Copy what must be copied before unshare(2), from mounts that are still the host's."""
        for mount in self.spec.mounts:
            tree = mounts.source_tree(mount)
            if tree >= 0:
                self.trees[mount.destination] = tree

    def prepare(self, userns: int) -> None:
        """With an id mapping: do what needs the host root's power, before it is given up."""
        idmap.prepare(self.spec, self.overlay, userns, self.trees)
        self.prepared = True

    def enter(self) -> None:
        """Build the root that the spec describes, and switch to it."""
        path = self.spec.root.path
        if self.prepared:
            path = idmap.bind_again(path)
        elif self.overlay:
            self.overlay.mount(path)
        else:
            # pivot_root(2) wants a mount point, so a plain directory is bound onto itself.
            syscalls.mount(path, path, "", syscalls.MS_BIND | syscalls.MS_REC)
        root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for mount in self.spec.mounts:
            if mount.type == "cgroup":
                cgroupfs.mount_cgroups(root, mount)
            else:
                mounts.mount_one(root, mount, self.trees.get(mount.destination, -1))
        devices.make(root, self.spec.linux.devices, bind=bool(self.spec.linux.uid_mappings))
        pivot(root)

    def seal(self) -> None:
        """Cover what the container must not write or see; the root itself last, if read-only."""
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for path in self.spec.linux.readonly_paths:
            cover.make_readonly(root, path)
        for path in self.spec.linux.masked_paths:
            cover.mask(root, path)
        os.close(root)
        if self.spec.root.readonly:
            flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY
            syscalls.mount("", "/", "", flags | os.statvfs("/").f_flag & 0xF)


def pivot(root: int) -> None:
    """pivot_root(2): the directory becomes `/`, and the old root is let go of.

    With both arguments `.` the old root lands on top of the new one, so no directory has to be
    made for it in the image and a failed run can leave none (pivot_root(2), NOTES). It is made a
    slave before it is unmounted: the host must not see the unmounting.
    """
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.fchdir(old)
    syscalls.mount("", ".", "", syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.umount2(".", syscalls.MNT_DETACH)
    syscalls.chdir("/")
    os.close(old)
    os.close(root)
