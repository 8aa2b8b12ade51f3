"""Files and directories, as the kernel sees them: traced, and never outside a given root.

Two needs live here. State files must survive a crash: they are written whole (temporary file,
fsync, rename). And paths inside a container belong to somebody who may be hostile: a link in the
image can point to `/etc` of the host, so such a path is never joined as a string but resolved by
the kernel with openat2(2) and RESOLVE_IN_ROOT, as if the root were already `/`
(CVE-2021-30465, CVE-2019-16884 and their family).
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import syscalls
from mydocker.linux.trace import act, step


def mkdir(path: str, mode: int = 0o700) -> None:
    """mkdir(2); the mode is what is asked, whatever the umask."""
    act("mkdir", os.mkdir, path, mode)
    os.chmod(path, mode)


def mkdir_marked(path: str, mode: int, name: str) -> None:
    """mkdir(2), and the mark of an extended attribute on it (xattr(7)), where marks are allowed.

    One action: a call that is stopped between the two would leave a directory that nobody owns.
    """
    act("mkdir", _mkdir_marked, path, mode, name)


def _mkdir_marked(path: str, mode: int, name: str) -> None:
    os.mkdir(path, mode)
    os.chmod(path, mode)
    try:
        os.setxattr(path, name, b"")
    except OSError:
        return  # not root in the first user namespace: then nobody will know that it is ours


def makedirs(path: str, mode: int = 0o700) -> None:
    """mkdir(2) for each part of the path that is missing."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and parent != path:
        makedirs(parent, mode)
    try:
        mkdir(path, mode)
    except KernelError:
        if not os.path.isdir(path):  # a parallel mydocker may have made it meanwhile
            raise


def rmdir(path: str) -> None:
    """rmdir(2): remove an empty directory."""
    act("rmdir", os.rmdir, path)


def unlink(path: str, missing_ok: bool = False) -> None:
    """unlink(2)."""
    try:
        act("unlink", os.unlink, path)
    except KernelError:
        if not missing_ok or os.path.lexists(path):
            raise


def chown(path: str, uid: int, gid: int) -> None:
    """chown(2)."""
    act("chown", os.chown, path, uid, gid)


def rename(source: str, target: str, missing_ok: bool = False) -> bool:
    """rename(2): atomic, replaces the target. False: there is no source, which was `missing_ok`."""
    try:
        act("rename", os.rename, source, target)
    except KernelError:
        if not missing_ok or os.path.lexists(source):
            raise
        return False
    return True


def symlink(content: str, path: str) -> None:
    """symlink(2)."""
    act("symlink", os.symlink, content, path)


def write(path: str, text: str) -> None:
    """Write to a file that exists: a file of /proc, /sys or a cgroup, in one write(2).

    Such files act on each write, and refuse it with an errno: a KernelError here.
    """
    act("write", _write, path, text)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def read(path: str) -> str:
    """The whole of a small file; KernelError if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise KernelError.of(error, "read", path) from None


def write_whole(path: str, text: str, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new, never a part.

    `durable` waits for the disk (fsync(2)), so that it also holds after a power failure; what is
    removed again in a moment does without.
    """
    act("write_whole", _write_whole, path, text, mode, durable)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all of it is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write_whole(path: str, text: str, mode: int, durable: bool) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            data = text.encode("utf-8", "surrogateescape")
            while data:
                data = data[os.write(fd, data) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def overwrite(path: str, text: str, blank: int = 0) -> None:
    """Replace a file's content where it lies: a full disk has no room beside it, or it is mounted.

    The room of the old content will do if the text is hardly longer; if not, the file stays as it
    is. Not for every day: a crash in between leaves a mixture of both. For those who read it
    meanwhile, newlines fill it up to `blank` bytes before it is cut off.
    """
    act("overwrite", _overwrite, path, text, blank)


def _overwrite(path: str, text: str, blank: int) -> None:
    data = text.encode("utf-8", "surrogateescape")
    if blank > len(data):
        _overwrite(path, text + "\n" * (blank - len(data)), 0)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, len(data))
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Remove a directory and all below it; never across a mount, and never through a link.

    A tree under which something is still mounted is left whole: a failed umount must not turn
    into the loss of the volume that was mounted there.
    """
    if not os.path.lexists(path):
        return
    refuse_mounts(path)
    act("remove_tree", _remove_tree, path)


def refuse_mounts(path: str) -> None:
    """Error if something is mounted at the path or below it."""
    from mydocker.linux import mountinfo

    mounts = mountinfo.below(path)
    if mounts:
        raise Error(
            "remove", path, f"{mounts[0]} is still mounted", hint="umount it, then try again"
        )


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _remove_tree(path: str) -> None:
    """By descriptors, so that a link swapped in is not followed; and one at a time.

    A container can nest directories deeper than descriptors, Python's stack and a path's 4096 bytes
    reach. So the way down is remembered by names, and the way up is `..`, which must lead back to
    the directory that we came from.
    """
    fd = os.open(path, _DIRECTORY)
    above: list[tuple[str, tuple[int, int], list[str]]] = []
    try:
        names = _unlink_files(fd)
        while names or above:
            if names:
                name = names.pop()
                above.append((name, _identity(fd), names))
                fd = _step_to(name, fd)
                names = _unlink_files(fd)
            else:
                name, parent, names = above.pop()
                fd = _step_to("..", fd)
                if _identity(fd) != parent:
                    raise OSError(116, os.strerror(116), path)  # ESTALE: somebody moved it
                os.rmdir(name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(path)


def _step_to(name: str, fd: int) -> int:
    """From a directory, whose descriptor is let go of, to the one of that name in it."""
    found = os.open(name, _DIRECTORY, dir_fd=fd)
    os.close(fd)
    return found


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _unlink_files(fd: int) -> list[str]:
    """Remove what is no directory; the names of the directories."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=fd)
    return [name for name, is_directory in found if is_directory]


# Paths inside a container's root


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """A descriptor of `path`, resolved as if `root_fd` were `/`: links cannot lead out of it."""
    return open_at(root_fd, path, flags, mode, syscalls.RESOLVE_IN_ROOT)


def open_at(directory: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """openat2(2), asked again when it says EAGAIN.

    That comes when a rename or a mount, anywhere, falls into the moment in which a `..` is looked
    up. Whoever renames without end can make it come each time, so there is an end to the asking.
    """
    for _ in range(200):
        try:
            return syscalls.openat2(directory, path, flags, mode, resolve)
        except KernelError as error:
            if error.errno != 11:  # EAGAIN
                raise
    raise Error("open", path, "the directories above it are renamed all the time")


def make_in_root(root_fd: int, path: str, directory: bool = True, mode: int = 0o755) -> int:
    """Like `open_in_root`, but what is missing is made: directories, then a directory or a file.

    Returns an O_PATH descriptor. A link that points at something missing is an error: Docker
    makes nothing through links either.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    fd = os.dup(root_fd)
    try:
        for depth, part in enumerate(parts, 1):
            here = "/".join(parts[:depth])
            last = depth == len(parts)
            try:
                found = open_in_root(root_fd, here)
            except KernelError as error:
                if error.errno != 2:
                    raise
                found = -1
            if found < 0:
                if last and not directory:
                    made = os.open(part, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd)
                    os.close(made)
                else:
                    step("mkdir", (part, mode, fd), _mkdirat)
                found = open_in_root(root_fd, here)
            os.close(fd)
            fd = found
    except OSError as error:
        os.close(fd)
        raise KernelError.of(error, "mkdir", path) from None
    except KernelError:
        os.close(fd)
        raise
    is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
    if is_directory != directory and parts:
        os.close(fd)
        kind = "a directory" if is_directory else "not a directory"
        raise Error(
            "mount", path, f"the target in the container is {kind}, the source is not alike"
        )
    return fd


def _mkdirat(name: str, mode: int, parent: int) -> None:
    os.mkdir(name, mode, dir_fd=parent)


def by_fd(fd: int) -> str:
    """A path that leads to exactly the object that `fd` refers to, whatever its name is now."""
    return f"/proc/self/fd/{fd}"


def symlinkat(content: str, parent: int, name: str) -> None:
    """symlink(2) in the directory `parent`."""
    try:
        step("symlinkat", (content, parent, name), _symlinkat)
    except OSError as error:
        raise KernelError.of(error, "symlink", name) from None


def _symlinkat(content: str, parent: int, name: str) -> None:
    os.symlink(content, name, dir_fd=parent)


def mknod(path: str, kind: str, major: int, minor: int, mode: int, parent: int) -> None:
    """mknod(2) of a device (`c` or `b`) in the directory `parent`, with exactly that mode."""
    bits = mode | (stat.S_IFBLK if kind == "b" else stat.S_IFCHR)
    args = (os.path.basename(path), bits, os.makedev(major, minor), parent)
    try:
        step("mknodat", args, _mknodat)
    except OSError as error:
        raise KernelError.of(error, "mknod", path) from None


def _mknodat(name: str, bits: int, device: int, parent: int) -> None:
    os.mknod(name, bits, device, dir_fd=parent)
    os.chmod(name, stat.S_IMODE(bits), dir_fd=parent)
