"""cp: files from the host into a container, or out of one (docker-cp(1)).

Both directions are one tar that is written at one end and unpacked at the other; with `-` one end
is the terminal's. The container may be running, and hostile: its end is a descriptor of its root
(inside.py), every name is resolved below it, and what comes out of it is put on the host below a
descriptor as well (rootfs/place.py).

Docker's rules for names: a source directory is copied itself into a directory that there is, or
becomes one that there is not; with `/.` at the end only its content is meant. A target that ends
with `/` must be a directory. A link as the source is copied as a link, unless `-L`.

Owners: into a container, the numbers stay; out of it, the files belong to who copies them, and the
set-user-id bits, capabilities and devices of a stranger's root stay behind; with `-a` all is kept.
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error, KernelError, NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.inside import Inside
from mydocker.lifecycle.repair import put_right
from mydocker.linux import files, syscalls
from mydocker.rootfs import layer, place, tar
from mydocker.rootfs.layer import lstat
from mydocker.rootfs.place import Placer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mydocker.rootfs.tar import Member
    from mydocker.spec import Spec


class There:
    """The container's end of a copy: `with There(root, word) as end:`.

    shift: the host's ids behind the container's root, which its files have while it runs.
    """

    def __init__(self, root: str, word: str) -> None:
        containers = Containers(root)
        self.container = find(containers, word)
        self.spec = self.container.spec()
        self.shift = (0, 0)
        self.hollow: list[bytes] = []
        self._inside = Inside(containers, self.container)

    def __enter__(self) -> End:
        fd = self._inside.__enter__()
        if self._inside.running:  # then /proc and the like can be seen; they are not files
            mounted = [mount.destination for mount in self.spec.mounts if mount.type != "bind"]
            self.hollow = [os.fsencode(path) for path in mounted]
            self.shift = first_ids(self.spec)
        return End(fd, f"{self.container.name}:", place.AS_ROOT)

    def __exit__(self, *_: object) -> None:
        self._inside.__exit__(None, None, None)


def host() -> End:
    """The host's end of a copy."""
    return End(os.open("/", os.O_PATH | os.O_CLOEXEC), "", 0)


def to_stream(
    root: str, word: str, source: str, follow: bool, write: Callable[[bytes], object]
) -> None:
    """From a container, as a tar."""
    there = There(root, word)
    with there as end:
        found = Source(end, source, follow, there.hollow)
        for piece in layer.pack(found.members(b"." if found.contents else found.name, there.shift)):
            write(piece)


def to_host(root: str, word: str, source: str, target: str, follow: bool, keep: bool) -> list[str]:
    """From a container to a path of the host; what had to be left out."""
    there = There(root, word)
    with there as end:
        found = Source(end, source, follow, there.hollow)
        where = Target(host(), os.path.join(os.getcwd(), target), found)
        mine = (os.geteuid(), os.getegid())
        owner = (lambda uid, gid: (uid, gid)) if keep else (lambda uid, gid: mine)
        placer = Placer(where.base, where.prefix, place.NO_LINKS, owner, whole=keep)
        pieces = layer.pack(found.members(b".", there.shift))
        placer.take(lambda: next(pieces, b""))
        return placer.left_out


def from_stream(root: str, word: str, more: Callable[[], bytes], target: str) -> list[str]:
    """Into a container, from a tar that `more()` gives in pieces."""
    return _into(root, word, target, None, more)


def from_host(root: str, word: str, source: str, target: str, follow: bool) -> list[str]:
    """Into a container, from a path of the host."""
    found = Source(host(), os.path.join(os.getcwd(), source), follow, [])
    pieces = layer.pack(found.members(b".", (0, 0)))
    return _into(root, word, target, found, lambda: next(pieces, b""))


def _into(
    root: str, word: str, target: str, found: Source | None, more: Callable[[], bytes]
) -> list[str]:
    there = There(root, word)
    with there as end:
        where = Target(end, target, found)
        first = there.shift
        become_first(first)
        # With the root itself as the target, links mean what they mean in the container.
        resolve = place.AS_ROOT if os.path.sameopenfile(where.base, end.root) else place.WITHIN
        placer = Placer(
            where.base, where.prefix, resolve, lambda uid, gid: (uid + first[0], gid + first[1])
        )
        placer.take(more)
        return placer.left_out


def find(containers: Containers, word: str) -> Container:
    """The container of that name, as it really is."""
    container = put_right(containers, containers.find(word))
    if container is None:
        raise NotFound("container", word, "no such container")
    return container


def first_ids(spec: Spec) -> tuple[int, int]:
    """The host's ids behind the container's root; its files have them only while it runs."""
    maps = (spec.linux.uid_mappings, spec.linux.gid_mappings)
    uid, gid = (next((m.host_id for m in ids if m.container_id == 0), 0) for ids in maps)
    return uid, gid


def become_first(ids: tuple[int, int]) -> None:
    """Make files as the container's root: on its id-mapped mounts the host's root is nobody.

    The capabilities are kept, so that the host's files can still be read.
    """
    if ids != (0, 0):
        _, permitted, _ = syscalls.capget()
        syscalls.setresgid(-1, ids[1], -1)
        syscalls.setresuid(-1, ids[0], -1)
        syscalls.capset(permitted, permitted, 0)


class End:
    """One end of a copy: a directory that stands for `/`, its name in messages, and the rule by
    which names below it are resolved."""

    def __init__(self, root: int, name: str, resolve: int) -> None:
        self.root = root
        self.name = name
        self.resolve = resolve

    def open(self, path: str, flags: int = os.O_PATH | os.O_DIRECTORY) -> int:
        """A descriptor of the directory; NotFound names it as the user knows it."""
        try:
            return files.open_at(self.root, path or "/", flags, 0, self.resolve)
        except KernelError as error:
            if error.errno in (2, 20):  # ENOENT, ENOTDIR
                raise NotFound("cp", f"{self.name}{path}", "no such directory") from None
            raise KernelError("cp", f"{self.name}{path}", error.errno) from None

    def locate(self, path: str, follow: bool) -> tuple[int, bytes]:
        """The directory that holds the path's last name, and that name; `.` for a directory itself.

        follow: a link in the last place is followed, as often as the kernel would.
        """
        for _ in range(40):
            above, name = os.path.split(path)
            if name in ("", ".", ".."):
                return self.open(path), b"."
            parent = self.open(above)
            try:
                text = os.readlink(name, dir_fd=parent) if follow else ""
            except OSError:  # it is no link, or not there
                text = ""
            if not text:
                return parent, os.fsencode(name)
            os.close(parent)
            path = os.path.join(above, text)
        raise KernelError("cp", f"{self.name}{path}", 40)  # ELOOP


class Source:
    """What is copied: a file, or a directory with all that is in it.

    contents: whether only what is in the directory is meant; hollow: paths of which nothing below
    is copied.
    """

    def __init__(self, end: End, path: str, follow: bool, hollow: list[bytes]) -> None:
        path = f"/{path}" if not path.startswith("/") else path
        if os.path.basename(path.rstrip("/")) == "..":
            path = os.path.normpath(path)
        stripped = path.rstrip("/")
        self.contents = os.path.basename(stripped) in ("", ".")
        self.parent, self.base = end.locate(stripped or "/", follow or path.endswith("/"))
        found = lstat(self.base, self.parent)
        if found is None:
            raise NotFound("cp", f"{end.name}{path}", "no such file or directory")
        self.found = found
        self.directory = stat.S_ISDIR(found.st_mode)
        if path.endswith("/") and not self.directory:
            raise Error("cp", f"{end.name}{path}", "is not a directory")
        self.name = os.fsencode(os.path.basename(stripped))
        above = os.fsencode(os.path.normpath(path)).rstrip(b"/") + b"/"
        self.hollow = frozenset(p[len(above) :] for p in hollow if p.startswith(above))

    def members(self, prefix: bytes, shift: tuple[int, int]) -> Iterator[tuple[Member, int, bytes]]:
        """The members of the tar: the file or directory itself as `prefix`, then what is in it.

        shift: subtracted from the owners, which then are as the container itself sees them.
        """
        if self.directory:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            top = os.open(self.base, flags, dir_fd=self.parent)
            each = layer.tree(top, hollow=self.hollow)
        else:
            one = layer.member_of(b"./", self.found, self.parent, self.base)
            each = iter([(one, self.parent, self.base)])
        for member, fd, base in each:
            member.name = (prefix + b"/" + member.name.removeprefix(b"./")).rstrip(b"/")
            if member.type == tar.DIRECTORY:
                member.name += b"/"
            elif member.type == tar.HARD_LINK:
                member.link = prefix + b"/" + member.link
            member.uid, member.gid = max(0, member.uid - shift[0]), max(0, member.gid - shift[1])
            yield member, fd, base


class Target:
    """Where it is copied to, by Docker's rules; `found` is None for a tar from outside.

    base, prefix: the directory below which all is placed, and the path in it of what is copied.
    """

    def __init__(self, end: End, path: str, found: Source | None) -> None:
        self.prefix = b""
        path = f"/{path}" if not path.startswith("/") else path
        named = f"{end.name}{path}"
        parent, name = end.locate(path.rstrip("/") or "/", follow=True)
        there = lstat(name, parent)
        if there is not None and stat.S_ISDIR(there.st_mode):
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            self.base = os.open(name, flags, dir_fd=parent)
            if found and not (found.directory and found.contents):
                self.prefix = found.name
        elif found is None:
            raise Error("cp", named, "must be a directory that there is")
        elif there is not None and found.directory:
            raise Error("cp", named, "is a file, a directory cannot be copied to it")
        elif path.endswith("/") and not (found.directory and there is None):
            raise NotFound("cp", named, "no such directory")
        else:
            self.base, self.prefix = parent, name
