"""Unpack a layer: the tar of a stranger, into a directory that overlayfs can take.

Every name in the tar is resolved by the kernel below the layer's directory as if that were `/`
(openat2(2), RESOLVE_IN_ROOT), and what is made is made in the directory found so, by descriptor,
and never through a link in the last place: so no `..`, no absolute name, no link planted by an
earlier member leads outside. (The filters of the standard library's tarfile resolve names as
strings, change modes and refuse devices.)

Whiteouts become overlayfs's (layer.py). A member may be a file that deletes what lies below and the
next one make it anew: then the new directory is opaque.

Invariant: whatever the tar says, nothing outside the directory is made, changed or linked to; and
the same tar always gives the same tree.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import syscalls
from mydocker.rootfs import tar, whiteout
from mydocker.rootfs.layer import DEEPEST, HOSTS, OVERLAY, WHITEOUT, lstat
from mydocker.rootfs.skeleton import Skeleton, replaced
from mydocker.rootfs.tar import Member, printable
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ANYWHERE_BELOW = (
    syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_MAGICLINKS
)
_NOT_TAKEN = (OVERLAY, b"user.overlay.", *HOSTS)
"""Attributes that a tar must not forge, and those that belong to the host."""


class Unpacked(Struct):
    """What `unpack` did. size: bytes of the files; lost: attributes that could not be kept."""

    diff_id: str
    size: int
    lost: list[str] = []


def unpack(more: Callable[[], bytes], directory: str, hollow: bool = False) -> Unpacked:
    """Unpack the tar whose pieces `more()` gives into `<directory>/diff`, as overlayfs wants it.

    Beside it `<directory>/skeleton` is written, from which the same tar can be made again.
    hollow: files get their size, but holes for content (to compare attributes: verify.py).
    Error names the member that is unsound, or that the filesystem refused; what was unpacked until
    then is left for the caller to remove.
    """
    os.mkdir(f"{directory}/diff", 0o700)
    unpacker = _Unpacker(directory, hollow)
    name = b""
    try:
        reader = tar.Reader(more, unpacker.skeleton.keep)
        for member in reader:
            name = member.name
            unpacker.place(member, reader)
        unpacker.finish()
    except (OSError, KernelError, OverflowError) as error:
        raise _refused(name, error) from None
    finally:
        unpacker.close()
    return Unpacked(diff_id=reader.digest, size=unpacker.size, lost=unpacker.lost)


def _refused(name: bytes, error: Exception) -> Error:
    number = getattr(error, "errno", None)
    return Error("unpack", printable(name), os.strerror(number).lower() if number else str(error))


class _Unpacker:
    def __init__(self, directory: str, hollow: bool) -> None:
        self.directory = directory
        self.hollow = hollow
        self.skeleton = Skeleton(directory)
        self.root = os.open(f"{directory}/diff", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.parents: dict[bytes, tuple[int, bytes]] = {}
        # Set at the end: until then we must be able to write, and writing changes their mtime.
        self.directories: dict[bytes, Member] = {b"": _implied_directory(b"")}
        self.generations: dict[bytes, int] = {}
        self.stale = False  # a directory or a link is gone that a parent may have been found by
        self.size = 0
        self.lost: list[str] = []

    def close(self) -> None:
        self._forget_parents()
        os.close(self.root)
        self.skeleton.abandon()

    def place(self, member: Member, reader: tar.Reader) -> None:
        """Make what the member says."""
        parts = [part for part in member.name.split(b"/") if part and part != b"."]
        if b".." in parts:
            raise Error("unpack", printable(member.name), "the name leads out of the layer")
        if not parts:
            if member.type != tar.DIRECTORY:
                raise Error("unpack", printable(member.name), "the root is not a directory")
            self.directories[b""] = member
            return
        base = parts.pop()
        parent, real = self._parent(member, parts)
        path = real + base
        if base.startswith(WHITEOUT):
            whiteout.apply(member, base, parent)
        elif member.type == tar.REGULAR:
            self._regular(member, base, parent, path, reader)
        elif member.type == tar.DIRECTORY:
            self._directory(member, base, parent, path)
        elif member.type == tar.HARD_LINK:
            self._hard_link(member, base, parent, path)
        elif member.type == tar.SYMLINK:
            self._make(lambda: os.symlink(member.link, base, dir_fd=parent), base, parent, path)
            self._attributes(member, base, parent)
        else:
            kind = {tar.CHAR: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK}.get(
                member.type, stat.S_IFIFO
            )
            device = os.makedev(member.major, member.minor)
            mode = kind | member.mode & 0o777
            self._make(lambda: os.mknod(base, mode, device, dir_fd=parent), base, parent, path)
            self._attributes(member, base, parent)

    # Where

    def _parent(self, member: Member, parts: list[bytes]) -> tuple[int, bytes]:
        """The directory that the names lead to: a descriptor, and its real path with a slash."""
        if self.stale:
            self._forget_parents()
        path = b"/".join(parts)
        found = self.parents.get(path)
        if found is not None:
            return found
        if len(parts) > DEEPEST:
            raise Error("unpack", printable(member.name), "is nested too deep")
        if any(part.startswith(WHITEOUT) for part in parts):
            raise Error("unpack", printable(member.name), "is inside a deleted name")
        fd = self._open_directory(path)
        if fd < 0:
            parent, real = self._parent(member, parts[:-1])
            self._implied(member, parts[-1], parent, real + parts[-1])
            fd = self._open_directory(path)
            if fd < 0:
                raise OSError(errno.ENOTDIR, "")
        top = len(os.readlink(f"/proc/self/fd/{self.root}"))
        real = os.fsencode(os.readlink(f"/proc/self/fd/{fd}")[top:].lstrip("/"))
        if real.count(b"/") > DEEPEST:
            os.close(fd)
            raise Error("unpack", printable(member.name), "is nested too deep")
        if len(self.parents) > 64:
            self._forget_parents()
        self.parents[path] = fd, real + b"/" if real else b""
        return self.parents[path]

    def _open_directory(self, path: bytes, flags: int = os.O_PATH) -> int:
        """A descriptor of the directory; -1 if there is none."""
        name = os.fsdecode(path) or "."
        while True:
            try:
                return syscalls.openat2(self.root, name, flags | os.O_DIRECTORY, 0, _ANYWHERE_BELOW)
            except KernelError as error:
                if error.errno == errno.EAGAIN:
                    continue  # somewhere a mount or a rename came between, and a link has a `..`
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise
                return -1

    def _forget_parents(self) -> None:
        for fd, _ in self.parents.values():
            os.close(fd)
        self.parents.clear()
        self.stale = False

    def _implied(self, member: Member, base: bytes, parent: int, path: bytes) -> None:
        """A directory that the tar does not mention, though it has something in it."""
        found = lstat(base, parent)
        if found and not _is_whiteout(found):
            raise Error("unpack", printable(member.name), f"{printable(path)} is not a directory")
        self._directory(_implied_directory(path), base, parent, path)

    # What

    def _make(self, make: Callable[[], None], base: bytes, parent: int, path: bytes) -> None:
        """Make it; if the name is taken (a tar may hold one twice), the later one counts."""
        try:
            make()
        except FileExistsError:
            self._discard(base, parent, path)
            make()

    def _regular(
        self, member: Member, base: bytes, parent: int, path: bytes, reader: tar.Reader
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(base, flags, 0o600, dir_fd=parent)
        except FileExistsError:
            self._discard(base, parent, path)
            fd = os.open(base, flags, 0o600, dir_fd=parent)
        try:
            generation = self.generations.get(path, 0)
            parts = [(0, member.size)] if member.sparse is None else member.sparse
            for offset, length in parts:
                self.skeleton.content(path, offset, length, generation)
                if not self.hollow:
                    copy_content(reader, fd, offset, length)
            while self.hollow and reader.data():
                pass
            if self.hollow or member.sparse is not None:
                os.ftruncate(fd, member.size)
            self.size += member.size
            if member.uid or member.gid:
                os.fchown(fd, *_owner(member))
            os.fchmod(fd, member.mode)  # after chown, which takes setuid away
            if member.xattrs:
                self._xattrs(member, fd)
            os.utime(fd, ns=(member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _directory(self, member: Member, base: bytes, parent: int, path: bytes) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(base, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                self._discard(base, parent, path)
                os.mkdir(base, 0o700, dir_fd=parent)
                if _is_whiteout(found):  # deleted below, and made anew here
                    whiteout.make_opaque(f"/proc/self/fd/{parent}/{os.fsdecode(base)}")
        self.directories[path] = member

    def _hard_link(self, member: Member, base: bytes, parent: int, path: bytes) -> None:
        parts = [part for part in member.link.split(b"/") if part and part != b"."]
        if b".." in parts or not parts or parts[-1].startswith(WHITEOUT):
            raise Error("unpack", printable(member.name), "links to a name outside of the layer")
        target = parts.pop()
        source = self._open_directory(b"/".join(parts))
        if source < 0:
            raise OSError(errno.ENOENT, "")
        try:
            there, here = lstat(target, source), lstat(base, parent)
            if there is None:
                why = f"links to {printable(member.link)}, which the tar does not have before it"
                raise Error("unpack", printable(member.name), why)
            if here and (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return
            self._make(
                lambda: os.link(
                    target, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                ),
                base,
                parent,
                path,
            )
        finally:
            os.close(source)

    def _discard(self, base: bytes, parent: int, path: bytes) -> None:
        """Take the name away. A regular file is kept aside: its bytes are part of the tar."""
        found = os.stat(base, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            self._discard_file(found, base, parent, path)
            return
        self.stale = True
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(base, flags, dir_fd=parent)
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                self._discard(name, fd, path + b"/" + name)
        finally:
            os.close(fd)
        os.rmdir(base, dir_fd=parent)

    def _discard_file(self, found: os.stat_result, base: bytes, parent: int, path: bytes) -> None:
        generation = self.generations.get(path, 0)
        self.generations[path] = generation + 1
        self.stale = self.stale or stat.S_ISLNK(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            os.unlink(base, dir_fd=parent)
            return
        if not os.path.isdir(f"{self.directory}/replaced"):
            os.mkdir(f"{self.directory}/replaced", 0o700)
        os.rename(base, f"{self.directory}/{replaced(path, generation)}", src_dir_fd=parent)
        if found.st_nlink == 1:
            self.size -= found.st_size

    # As whose, and from when

    def _attributes(self, member: Member, base: bytes, parent: int) -> None:
        """Owner, mode, attributes and time of what is neither a file nor a directory."""
        os.chown(base, *_owner(member), dir_fd=parent, follow_symlinks=False)
        if member.type != tar.SYMLINK:
            os.chmod(base, member.mode, dir_fd=parent)  # it is no link: we have just made it
        if member.xattrs:
            self._xattrs(member, b"/proc/self/fd/%d/%s" % (parent, base))
        times = (member.mtime, member.mtime)
        os.utime(base, ns=times, dir_fd=parent, follow_symlinks=False)

    def _xattrs(self, member: Member, where: int | bytes) -> None:
        follow = isinstance(where, int)
        for name, value in member.xattrs.items():
            if name.startswith(_NOT_TAKEN):
                continue
            try:
                os.setxattr(where, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
                self.lost.append(f"{printable(member.name)}: {printable(name)}")

    def finish(self) -> None:
        """Owner, mode, attributes and times of the directories, and the end of the skeleton."""
        for path, member in self.directories.items():
            fd = self._open_directory(path, os.O_RDONLY | os.O_NOFOLLOW)
            if fd < 0:
                continue  # a later member has taken its place
            try:
                os.fchown(fd, *_owner(member))
                os.fchmod(fd, member.mode)
                self._xattrs(member, fd)
                os.utime(fd, ns=(member.mtime, member.mtime))
            except (OSError, OverflowError) as error:
                raise _refused(member.name, error) from None
            finally:
                os.close(fd)
        self.skeleton.close()


def _implied_directory(path: bytes) -> Member:
    return Member(path, tar.DIRECTORY, 0o755)  # root's, and of 1970: the same tar, the same tree


def _owner(member: Member) -> tuple[int, int]:
    # The last number means "leave it as it is" to chown(2), larger ones wrap (CVE-2024-40635).
    if member.uid >= 0xFFFFFFFF or member.gid >= 0xFFFFFFFF:
        raise OverflowError(f"belongs to {member.uid}:{member.gid}, ids that cannot be")
    return member.uid, member.gid


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def copy_content(reader: tar.Reader, fd: int, offset: int, length: int) -> None:
    """Write `length` bytes of the current member at `offset`; long rows of zeros become holes."""
    if offset:
        os.lseek(fd, offset, os.SEEK_SET)
    hole = False
    while length and (piece := reader.data(min(length, tar.CHUNK))):
        length -= len(piece)
        hole = piece[0] == 0 and len(piece) >= 4096 and piece.count(0) == len(piece)
        if hole:
            os.lseek(fd, len(piece), os.SEEK_CUR)
            continue
        written = os.write(fd, piece)
        while written < len(piece):
            written += os.write(fd, piece[written:])
    if hole:
        os.ftruncate(fd, os.lseek(fd, 0, os.SEEK_CUR))
