"""`--userns`: the container's root is nobody on the host, and still owns its files.

In a user namespace with a mapping, uid 0 inside is, say, uid 100000 outside
(user_namespaces(7)), while the image's layers on disk belong to uid 0. An id-mapped mount shows
them shifted by the same mapping (mount_setattr(2), MOUNT_ATTR_IDMAP), so the layers stay shared and
what the container writes is stored unshifted: commit needs to know nothing of it.

Such a mount can only be made by the host's root, so it happens before the user namespace is
entered, in a mount namespace that already belongs to the container.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError
from mydocker.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.overlay import Overlay
    from mydocker.spec import Spec


def prepare(spec: Spec, overlay: Overlay | None, userns: int, trees: dict[str, int]) -> None:
    """Mount the root with its layers mapped, go there, and open what is to be bound into it.

    `trees` gets a detached mount for each bind mount's destination that has none yet: the source's
    path may lead through directories that the mapped root may not pass. Those with the option
    `idmap` (mydocker's own volumes) are mapped like the layers.
    """
    path = spec.root.path
    if overlay:
        # overlayfs wants upper and work on one mount, so the directory that holds both is mapped.
        for directory in (*overlay.layers, os.path.dirname(overlay.upper)):
            map_in_place(directory, userns)
    else:
        map_in_place(path, userns)
    for mount in spec.mounts:
        where = mount.destination
        if mount.type == "bind" and where not in trees:
            recursive = syscalls.AT_RECURSIVE if "rbind" in mount.options else 0
            flags = syscalls.OPEN_TREE_CLONE | recursive
            trees[where] = syscalls.open_tree(syscalls.AT_FDCWD, mount.source, flags)
        if "idmap" in mount.options:
            syscalls.mount_setattr(trees[where], syscalls.MOUNT_ATTR_IDMAP, userns)
    if overlay:
        become_mapped(spec)
        overlay.mount(path)
    syscalls.chdir(path)


def become_mapped(spec: Spec) -> None:
    """Take the host's ids behind the container's root, and keep root's capabilities.

    overlayfs writes to the upper directory as whoever mounted it. On the mapped mount the host's
    uid 0 is nobody and could write nothing; with the capabilities, the marks that overlayfs leaves
    (trusted.overlay.* in xattr(7)) stay those of every other container.
    """
    uid, gid = spec.linux.host_root
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    syscalls.setgroups([])
    syscalls.setresgid(gid, gid, gid)
    syscalls.setresuid(uid, uid, uid)
    _, permitted, _ = syscalls.capget()
    syscalls.capset(permitted, permitted, 0)


def bind_again(path: str) -> str:
    """Bind the root, where we are, onto itself, and return the way to the new mount.

    What a mount namespace inherits from a more privileged one is locked (mount_namespaces(7)) and
    no root to pivot to; a mount of its own is. The way leads over the parent directory, which is
    mapped: from `/` down, the mapped root could not get here.
    """
    syscalls.mount(".", ".", "", syscalls.MS_BIND | syscalls.MS_REC)
    return f"../{os.path.basename(path)}"


def map_in_place(path: str, userns: int) -> None:
    """Mount a directory over itself with its owners shifted by the mapping of `userns`."""
    tree = syscalls.open_tree(syscalls.AT_FDCWD, path, syscalls.OPEN_TREE_CLONE)
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_IDMAP, userns)
    except KernelError as error:
        if error.errno == 22:  # EINVAL: the filesystem cannot
            why = "its filesystem has no id-mapped mounts"
            raise Error(
                "--userns", path, why, hint="keep the state on ext4, xfs or btrfs"
            ) from None
        raise
    syscalls.move_mount(tree, syscalls.AT_FDCWD, path)
    os.close(tree)
