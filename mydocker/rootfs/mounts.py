"""What is mounted in the container's root: /proc, /dev, /sys, and the user's volumes (4.1 and 4.3).

Invariant: a path inside the root is resolved by the kernel as if that root were `/` already. The
image may be full of hostile links, and a volume may be shared with a container that changes them
at this moment: none can lead a mount out of the root, because a mount goes to a descriptor, never
to a name (CVE-2021-30465 and its family).
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.spec import Mount

FLAGS = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": syscalls.MS_NOATIME,
    "relatime": syscalls.MS_RELATIME,
    "strictatime": syscalls.MS_STRICTATIME,
    "bind": syscalls.MS_BIND,
    "rbind": syscalls.MS_BIND | syscalls.MS_REC,
}
PROPAGATION = {
    "private": syscalls.MS_PRIVATE,
    "rprivate": syscalls.MS_PRIVATE | syscalls.MS_REC,
    "slave": syscalls.MS_SLAVE,
    "rslave": syscalls.MS_SLAVE | syscalls.MS_REC,
    "shared": syscalls.MS_SHARED,
    "rshared": syscalls.MS_SHARED | syscalls.MS_REC,
}
"""mount(8)'s words and the flags of mount(2); `rw` is the absence of `ro`."""


def mount_one(root: int, mount: Mount, tree: int = -1) -> None:
    """One filesystem, or one bind mount, at its destination inside the root.

    tree: a detached mount to attach there, in the place of the source (idmap.py).
    """
    flags, propagation, data = parse_options(mount.options)
    target = -1
    try:
        target = target_of(root, mount, files.by_fd(tree) if tree >= 0 else mount.source)
        if tree >= 0:
            syscalls.move_mount(tree, target)
        else:
            attach(target, mount, flags, data)
    except KernelError as error:
        raise KernelError("mount", mount.destination, error.errno) from None
    finally:
        if target >= 0:
            os.close(target)
    restrict(root, mount, flags, propagation)


def target_of(root: int, mount: Mount, source: str) -> int:
    """A descriptor of the place to mount on, made if it is missing: a file to bind a file on."""
    if mount.type in ("proc", "sysfs"):
        refuse_link(root, mount.destination)
    bind = "bind" in mount.options or "rbind" in mount.options
    return files.make_in_root(root, mount.destination, os.path.isdir(source) if bind else True)


def attach(target: int, mount: Mount, flags: int, data: str) -> None:
    """mount(2) on the descriptor: a bind of the source, or a new filesystem of the type."""
    if flags & syscalls.MS_BIND:
        syscalls.mount(mount.source, files.by_fd(target), "", flags & FLAGS["rbind"])
    else:
        syscalls.mount(mount.source or mount.type, files.by_fd(target), mount.type, flags, data)


def restrict(root: int, mount: Mount, flags: int, propagation: int) -> None:
    """Give a mount that was made what mount(2) ignored when it made it.

    A bind mount ignores all other flags: they take a second call, which must repeat those that the
    source has, or a user namespace may not make it. The propagation takes a call of its own.
    """
    # The descriptor that was mounted on lies under the mount; the name now leads to the mount.
    mounted = files.open_in_root(root, mount.destination)
    try:
        if flags & syscalls.MS_BIND and flags & ~FLAGS["rbind"]:
            kept = os.fstatvfs(mounted).f_flag & 0xF
            again = flags & ~syscalls.MS_REC | kept | syscalls.MS_BIND | syscalls.MS_REMOUNT
            syscalls.mount("", files.by_fd(mounted), "", again)
        if propagation:
            syscalls.mount("", files.by_fd(mounted), "", propagation)
        if "rro" in mount.options:
            make_readonly_below(mounted, mount)
    finally:
        os.close(mounted)


def make_readonly_below(mounted: int, mount: Mount) -> None:
    """Make also what is mounted below it read-only (mount_setattr(2), since Linux 5.12).

    The remount above is about one mount only: what was mounted below the source could be written.
    With `ro` beside `rro` an older kernel may leave it at that, as with Docker.
    """
    try:
        syscalls.mount_setattr(mounted, syscalls.MOUNT_ATTR_RDONLY, 0, syscalls.AT_RECURSIVE)
    except KernelError as error:
        if "ro" not in mount.options or error.errno != 38:  # ENOSYS
            raise KernelError("mount", mount.destination, error.errno) from None


def source_tree(mount: Mount) -> int:
    """A detached copy of what a bind mount is to show, if its name alone will not do; else -1.

    A part of a volume (`subpath=`) is resolved as if the volume were `/`: another container may be
    changing the links in it. And a mount that is to stay in touch with the host's (slave, shared)
    has to be copied before all mounts are made private.
    """
    subpath = [word[8:] for word in mount.options if word.startswith("subpath=")]
    in_touch = {"slave", "rslave", "shared", "rshared"}.intersection(mount.options)
    if mount.type != "bind" or not (subpath or in_touch):
        return -1
    try:
        root = os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error, "mount", mount.source) from None
    try:
        fd = files.open_in_root(root, subpath[0]) if subpath else os.dup(root)
        flags = syscalls.OPEN_TREE_CLONE
        flags |= syscalls.AT_RECURSIVE if "rbind" in mount.options else 0
        try:
            return syscalls.open_tree(fd, "", flags | syscalls.AT_EMPTY_PATH)
        finally:
            os.close(fd)
    except KernelError as error:
        where = f"{subpath[0]} in the volume" if subpath else mount.source
        raise KernelError("mount", where, error.errno) from None
    finally:
        os.close(root)


def refuse_link(root: int, destination: str) -> None:
    """/proc or /sys as a link in the image would move the mount elsewhere (CVE-2019-19921)."""
    try:
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
        os.close(syscalls.openat2(root, destination, os.O_PATH, 0, resolve))
    except KernelError as error:
        if error.errno == 40:  # ELOOP
            raise Error("mount", destination, "is a symbolic link in the image") from None
        if error.errno != 2:
            raise


def parse_options(options: list[str]) -> tuple[int, int, str]:
    """mount(8)'s words as (flags of mount(2), propagation, data for the filesystem)."""
    flags, propagation, data = 0, 0, []
    for word in options:
        if word in FLAGS:
            flags |= FLAGS[word]
        elif word in PROPAGATION:
            propagation = PROPAGATION[word]
        elif word != "rw":
            data.append(word)
    return flags, propagation, ",".join(data)
