"""commit: what a container changed becomes a layer, and the layer an image (the book's 4.4).

The book tars the whole mounted root. Here only the upper directory is read: overlayfs has put
there every file that was made or changed, whole, and a mark for every one that was deleted. So a
small change of a big image is a small layer, and what is mounted in the container (volumes, /proc)
was never in it. What is left to do is to say the marks in the words of a tar: whiteout.py has both.

Invariant: the layer holds what the container changed, all of it, and nothing of the host: no link
is followed, no volume is entered, and none of overlayfs's own marks leaves.
"""

from __future__ import annotations

from mydocker.errors import Error
from mydocker.linux.trace import step
from mydocker.rootfs import layer
from mydocker.rootfs.layer import OPAQUE, WHITEOUT
from mydocker.rootfs.tar import Member, printable
from mydocker.rootfs.whiteout import is_whiteout, take_marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mydocker.rootfs.store import Image, Store


def commit(
    store: Store,
    image: Image | None,
    upper: str,
    name: str | None,
    *,
    author: str = "",
    message: str = "",
    created_by: str = "",
    changes: list[str] | None = None,
    exclude: Iterable[str] = (),
) -> Image:
    """A new image: `image` with the changes that are in the directory `upper` on top.

    name: as for `tag`, None for an image without one; changes: Dockerfile lines (imagechanges.py);
    exclude: paths in the container that something is mounted on. They are left out altogether: what
    was mounted there is not in `upper`, but the empty file or directory that the mount needed may
    be, and the next container makes its own.
    Error if a file cannot be a member of a layer, or changes while it is read.
    """
    skip = frozenset(path.strip("/").encode("utf-8", "surrogateescape") for path in exclude)
    pieces = step("pack", (upper,), lambda path: layer.pack(changed(path, skip)))
    return store.add(
        image,
        lambda: next(pieces, b""),
        name,
        changes=changes,
        author=author,
        message=message,
        created_by=created_by,
    )


def changed(
    upper: str, skip: frozenset[bytes] = frozenset()
) -> Iterator[tuple[Member, int, bytes]]:
    """The members of the layer, sorted, each with where its content is (as `layer.tree`)."""
    for member, fd, base in layer.tree(upper, skip):
        if base.startswith(WHITEOUT):
            why = f"a layer keeps names that begin with {WHITEOUT.decode()} for what was deleted"
            raise Error("commit", printable(member.name), why)
        if is_whiteout(member):
            yield Member(member.name[: -len(base)] + WHITEOUT + base), fd, base
            continue
        opaque = take_marks(member)
        yield member, fd, base
        if opaque:
            yield Member(member.name + OPAQUE), fd, base
