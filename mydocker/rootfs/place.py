"""Put members of a tar into a directory that somebody else may be changing at this moment.

This is the receiving half of `cp`, and of a volume's first filling. The directory may belong to a
running container, which can put a link in the place of a directory between two of our steps; and
what comes may be a container's, on its way to the host. So every name is resolved by the kernel
below one descriptor (openat2(2), RESOLVE_BENEATH), what is made is made new in the directory found
so, and nothing is opened that was there before (CVE-2018-15664, CVE-2019-1002101).

Invariant: nothing outside the directory is made, changed or linked to.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.errors import Error, KernelError
from mydocker.linux import files, syscalls
from mydocker.linux.trace import step
from mydocker.rootfs import tar
from mydocker.rootfs.layer import lstat
from mydocker.rootfs.tar import Member, printable
from mydocker.rootfs.unpack import copy_content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
"""Links are followed as long as they stay below the directory."""

NO_LINKS = WITHIN | syscalls.RESOLVE_NO_SYMLINKS
"""No link is followed at all: a link that came with an earlier copy leads nowhere."""

AS_ROOT = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
"""The directory is a container's root: links mean what they mean in there."""


class Placer:
    """Places members below the directory `base`, under the path `prefix` in it.

    resolve: one of the rules above; owner: from the ids of the member to those it gets; whole:
    also what has power of its own: devices, set-user-id bits, capabilities and other attributes.
    What was left out for want of `whole` is told in `left_out`.
    """

    def __init__(
        self,
        base: int,
        prefix: bytes,
        resolve: int,
        owner: Callable[[int, int], tuple[int, int]] = lambda uid, gid: (uid, gid),
        whole: bool = True,
    ) -> None:
        self.base = base
        self.prefix = _parts(prefix)
        self.resolve = resolve
        self.owner = owner
        self.whole = whole
        self.left_out: list[str] = []
        self._made: list[tuple[bytes, Member]] = []  # directories; their times are set at the end
        self._parent: tuple[bytes, int] = (b"", -1)  # the last that was found

    def take(self, more: Callable[[], bytes]) -> None:
        """Place all members of the tar whose pieces `more()` gives; Error names the one at fault.

        A file that could not be written whole is not there afterwards.
        """
        target = os.fsdecode(b"/".join(self.prefix)) or "."
        step("place", (target, self.base), lambda *_: self._take(more))

    def _take(self, more: Callable[[], bytes]) -> None:
        name = b""
        try:
            reader = tar.Reader(more)
            for member in reader:
                name = member.name
                self.place(member, reader)
            for path, member in reversed(self._made):
                name = member.name
                self._finish(path, member)
        except (OSError, KernelError, OverflowError) as error:
            number = getattr(error, "errno", None)
            why = os.strerror(number).lower() if number else str(error)
            if number in (errno.ELOOP, errno.EXDEV):
                why = "a link is in the way that leads elsewhere"
            raise Error("copy", printable(name), why) from None
        finally:
            self._forget()

    def _forget(self) -> None:
        if self._parent[1] >= 0:
            os.close(self._parent[1])
        self._parent = (b"", -1)

    def place(self, member: Member, reader: tar.Reader) -> None:
        """Make what the member says."""
        parts = _parts(member.name)
        if b".." in parts:
            raise Error("copy", printable(member.name), "the name leads out of the directory")
        parts = self.prefix + parts
        if not parts:
            if member.type != tar.DIRECTORY:
                raise Error("copy", printable(member.name), "is no directory, the target is one")
            return
        base = parts.pop()
        parent = self._open_parent(parts)
        if member.type == tar.DIRECTORY:
            self._directory(member, base, parent, b"/".join([*parts, base]))
            return
        if member.type in (tar.CHAR, tar.BLOCK_DEVICE) and not self.whole:
            self.left_out.append(f"{printable(member.name)}: a device")
            return
        found = lstat(base, parent)
        if found and stat.S_ISDIR(found.st_mode):
            raise Error("copy", printable(member.name), "a directory is in its place")
        if found and member.type != tar.HARD_LINK:
            os.unlink(base, dir_fd=parent)
        if member.type == tar.REGULAR:
            self._regular(member, base, parent, reader)
        elif member.type == tar.HARD_LINK:
            self._hard_link(member, base, parent, found)
        elif member.type == tar.SYMLINK:
            os.symlink(member.link, base, dir_fd=parent)
            self._attributes(member, base, parent)
        else:
            kinds = {tar.CHAR: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK}
            kind = kinds.get(member.type, stat.S_IFIFO)
            device = os.makedev(member.major, member.minor)
            os.mknod(base, kind | 0o600, device, dir_fd=parent)
            self._attributes(member, base, parent)

    # Where

    def _open_parent(self, parts: list[bytes]) -> int:
        path = b"/".join(parts)
        if self._parent[1] < 0 or self._parent[0] != path:
            fd = self._open(path, os.O_PATH)
            self._forget()
            self._parent = path, fd
        return self._parent[1]

    def _open(self, path: bytes, flags: int) -> int:
        """A descriptor of the directory; what a tar implies without mentioning it is made."""
        name = os.fsdecode(path) or "."
        try:
            return files.open_at(self.base, name, flags | os.O_DIRECTORY, 0, self.resolve)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
        above, _, base = path.rpartition(b"/")
        parent = self._open(above, os.O_PATH)
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        finally:
            os.close(parent)
        return files.open_at(self.base, name, flags | os.O_DIRECTORY, 0, self.resolve)

    # What

    def _regular(self, member: Member, base: bytes, parent: int, reader: tar.Reader) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(base, flags, 0o600, dir_fd=parent)
        try:
            parts = [(0, member.size)] if member.sparse is None else member.sparse
            for offset, length in parts:
                copy_content(reader, fd, offset, length)
            if member.sparse is not None:
                os.ftruncate(fd, member.size)
            self._own(member, fd)
        except BaseException:
            os.unlink(base, dir_fd=parent)  # half a file is worse than none
            raise
        finally:
            os.close(fd)

    def _directory(self, member: Member, base: bytes, parent: int, path: bytes) -> None:
        """One that is there already stays as it is."""
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            found = lstat(base, parent)
            if found and not stat.S_ISDIR(found.st_mode):
                raise Error("copy", printable(path), "is no directory, but must be one") from None
            return
        self._made.append((path, member))

    def _hard_link(
        self, member: Member, base: bytes, parent: int, found: os.stat_result | None
    ) -> None:
        parts = _parts(member.link)
        if b".." in parts or not parts:
            raise Error("copy", printable(member.name), "links to a name outside of the directory")
        target = parts.pop()
        source = self._open(b"/".join(self.prefix + parts), os.O_PATH)
        try:
            there = lstat(target, source)
            if there and found and os.path.samestat(there, found):
                return
            if found:
                os.unlink(base, dir_fd=parent)
            os.link(target, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    # As whose, and from when

    def _own(self, member: Member, fd: int) -> None:
        """Owner, mode, attributes and time of an open file or directory."""
        os.fchown(fd, *self._owner(member))
        os.fchmod(fd, member.mode if self.whole else member.mode & 0o1777)
        self._xattrs(member, fd)
        os.utime(fd, ns=(member.mtime, member.mtime))

    def _attributes(self, member: Member, base: bytes, parent: int) -> None:
        """The same of what cannot be opened. chmod(2) follows links, so it gets a descriptor."""
        os.chown(base, *self._owner(member), dir_fd=parent, follow_symlinks=False)
        if member.type != tar.SYMLINK:
            fd = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                if stat.S_ISLNK(os.fstat(fd).st_mode):
                    raise OSError(errno.ELOOP, "")  # it was swapped for a link
                os.chmod(files.by_fd(fd), member.mode)
            finally:
                os.close(fd)
        times = (member.mtime, member.mtime)
        os.utime(base, ns=times, dir_fd=parent, follow_symlinks=False)

    def _owner(self, member: Member) -> tuple[int, int]:
        # The last number means "leave it as it is" to chown(2), larger ones wrap.
        if member.uid >= 0xFFFFFFFF or member.gid >= 0xFFFFFFFF:
            raise OverflowError(f"belongs to {member.uid}:{member.gid}, ids that cannot be")
        return self.owner(member.uid, member.gid)

    def _xattrs(self, member: Member, fd: int) -> None:
        for name, value in member.xattrs.items():
            if not self.whole and not name.startswith(b"user."):
                continue
            if name.startswith(b"trusted.overlay."):
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
                self.left_out.append(f"{printable(member.name)}: the attribute {printable(name)}")

    def _finish(self, path: bytes, member: Member) -> None:
        """The attributes of a directory that we made: writing into it has changed its time."""
        above, _, base = path.rpartition(b"/")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        parent = self._open_parent(_parts(above))
        fd = os.open(base, flags, dir_fd=parent)
        try:
            self._own(member, fd)
        finally:
            os.close(fd)


def _parts(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part and part != b"."]
