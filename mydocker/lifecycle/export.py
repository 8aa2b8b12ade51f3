"""export and diff: a container's files as a tar, and what it changed in them.

Both are about the container's own files: what is mounted over them, volumes above all, stays out.
"""

from __future__ import annotations

from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.copy import find, first_ids
from mydocker.lifecycle.inside import Inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mydocker.rootfs.tar import Member


def export(root: str, word: str, write: Callable[[bytes], object]) -> None:
    """Write the tar of a container's root, running or not: an image without history."""
    from mydocker.rootfs import layer

    containers = Containers(root)
    container = find(containers, word)
    inside = Inside(containers, container, bare=True)
    with inside as fd:
        uid, gid = first_ids(container.spec()) if inside.running else (0, 0)

        def members() -> Iterator[tuple[Member, int, bytes]]:
            for member, parent, base in layer.tree(fd):
                member.uid, member.gid = max(0, member.uid - uid), max(0, member.gid - gid)
                yield member, parent, base

        for piece in layer.pack(members()):
            write(piece)


def diff(root: str, word: str) -> list[tuple[str, bytes]]:
    """What a container changed: (A, C or D; path), in order."""
    from mydocker.rootfs.diff import diff as compare

    container = find(Containers(root), word)
    try:
        targets = [mount.destination for mount in container.spec().mounts]
        return compare(container.layers, f"{container.directory}/upper", targets)
    except FileNotFoundError:
        return []
