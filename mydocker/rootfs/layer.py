"""A layer: a tar of what changed, and the directory that overlayfs takes it from.

OCI's layer is a tar (image-spec, layer.md), and says "deleted" with names: an empty file `.wh.x`
deletes `x` of the layers below, and `.wh..wh..opq` all that they have in that directory. overlayfs
says the same with a character device 0:0 called `x`, and with the attribute
`trusted.overlay.opaque=y` on the directory. unpack.py turns the first into the second, commit.py
the second into the first (the book's 4.4).

Here is what both stand on: the marks, and a directory as the members of a tar.

Invariant: the same tree gives the same tar, whatever order the disk has it in; and the tree may
belong to a running container, so no link is followed and every step down is by descriptor.
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error
from mydocker.rootfs import tar
from mydocker.rootfs.tar import Member, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
OVERLAY = b"trusted.overlay."
"""What the attributes begin with that overlayfs writes to its upper directory."""

HOSTS = (b"security.selinux", b"security.ima", b"security.evm")
"""Labels that the host's kernel gives to its files: they mean nothing anywhere else."""

DEEPEST = 512  # directories in each other: more than any program makes, fewer than descriptors


def tree(
    directory: str | int,
    skip: frozenset[bytes] = frozenset(),
    hollow: frozenset[bytes] = frozenset(),
) -> Iterator[tuple[Member, int, bytes]]:
    """What is in a directory (a path or a descriptor), sorted, as members of a tar.

    Each comes with a descriptor of the directory that holds it and its name in there, good until
    the next is asked for. A second name of the same file is a HARD_LINK to the first. Paths in
    `skip` (`b"proc"`, `b"etc/hosts"`) are left out with all that is below them; so are sockets.
    Of a path in `hollow` the directory comes, and nothing below it.
    The tree may belong to a running container: no link is followed, and all goes by descriptor.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if isinstance(directory, int):
            root = os.open(".", flags, dir_fd=directory)
        else:
            root = os.open(directory, flags)
    except OSError as error:
        raise Error("open", str(directory), os.strerror(error.errno or 0).lower()) from None
    links: dict[tuple[int, int], bytes] = {}
    stack: list[tuple[int, bytes, list[bytes]]] = [(root, b"", [])]
    try:
        yield member_of(b"./", os.fstat(root), root, b"."), root, b"."
        stack[-1][2].extend(_listing(root))
        while stack:
            fd, prefix, names = stack[-1]
            if not names:
                stack.pop()
                os.close(fd)
                continue
            base = names.pop()
            path = prefix + base
            found = None if path in skip else lstat(base, fd)
            if found is None or stat.S_ISSOCK(found.st_mode):
                continue
            is_directory = stat.S_ISDIR(found.st_mode)
            name = path + b"/" if is_directory else path
            try:
                member = member_of(name, found, fd, base)
            except FileNotFoundError:  # gone, since we looked
                continue
            if not is_directory and found.st_nlink > 1:
                first = links.setdefault((found.st_dev, found.st_ino), path)
                if first != path:
                    member.type, member.link, member.size = tar.HARD_LINK, first, 0
                    member.xattrs = {}
            yield member, fd, base
            if is_directory and path not in hollow:
                if len(stack) > DEEPEST:
                    raise Error("pack", printable(path), "is nested too deep")
                try:
                    below = os.open(base, flags, dir_fd=fd)
                except FileNotFoundError:
                    continue
                stack.append((below, name, []))
                stack[-1][2].extend(_listing(below))
    finally:
        for fd, _, _ in stack:
            os.close(fd)


def lstat(base: bytes, parent: int) -> os.stat_result | None:
    """What is there under that name in the directory `parent`; None if nothing is."""
    try:
        return os.stat(base, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _listing(fd: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(fd)), reverse=True)


_TYPES = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHAR,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}


def member_of(name: bytes, found: os.stat_result, parent: int, base: bytes) -> Member:
    """The member of a tar for the file called `base` in the directory `parent`."""
    where = b"/proc/self/fd/%d/%s" % (parent, base)
    member = Member(name, _TYPES[stat.S_IFMT(found.st_mode)], stat.S_IMODE(found.st_mode))
    member.uid, member.gid, member.mtime = found.st_uid, found.st_gid, found.st_mtime_ns
    if member.type == tar.REGULAR:
        member.size = found.st_size
    elif member.type == tar.SYMLINK:
        member.link = os.fsencode(os.readlink(base, dir_fd=parent))
    elif member.type in (tar.CHAR, tar.BLOCK_DEVICE):
        member.major, member.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    for attribute in map(os.fsencode, os.listxattr(where, follow_symlinks=False)):
        if not attribute.startswith(HOSTS):
            member.xattrs[attribute] = os.getxattr(where, attribute, follow_symlinks=False)
    return member


def pack(members: Iterable[tuple[Member, int, bytes]]) -> Iterator[bytes]:
    """The tar of these members, piece by piece: the same members give the same bytes.

    A file that a running container has removed meanwhile is left out.
    """
    waiting = bytearray()
    name = b""
    try:
        for member, parent, base in members:
            name = member.name
            fd = -1
            if member.size:
                try:
                    fd = _open_file(parent, base)
                except FileNotFoundError:
                    continue
            waiting += tar.encode(member)
            if fd >= 0:
                for piece in _content(member, fd):
                    waiting += piece
                    if len(waiting) >= tar.CHUNK:
                        yield bytes(waiting)
                        waiting.clear()
                waiting += bytes(-member.size % tar.BLOCK)
            if len(waiting) >= tar.CHUNK:
                yield bytes(waiting)
                waiting.clear()
    except OSError as error:
        raise Error("pack", printable(name), os.strerror(error.errno or 0).lower()) from None
    yield bytes(waiting + tar.END)


def _open_file(parent: int, base: bytes) -> int:
    # O_NONBLOCK: should it have become a pipe meanwhile, we must not wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(base, flags, dir_fd=parent)


def _content(member: Member, fd: int) -> Iterator[bytes]:
    """The content of a regular file, exactly `member.size` bytes of it; the descriptor is closed.

    A file that grows is cut where it ended when we looked.
    """
    try:
        left = member.size if stat.S_ISREG(os.fstat(fd).st_mode) else -1
        while left:
            piece = os.read(fd, min(left, tar.CHUNK)) if left > 0 else b""
            if not piece:
                raise Error("pack", printable(member.name), "changed while it was read")
            left -= len(piece)
            yield piece
    finally:
        os.close(fd)
