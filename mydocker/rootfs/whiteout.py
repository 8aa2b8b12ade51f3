"""Deleted: what overlayfs and a layer's tar each say when a name of a lower layer is gone (4.4).

    upper directory (overlayfs)                     tar (OCI image-spec, layer.md, "Whiteouts")
    character device 0:0 called `x`                 empty file `.wh.x`
    directory with trusted.overlay.opaque = "y"     the directory, and in it `.wh..wh..opq`
    anything else                                   itself

Documentation/filesystems/overlayfs.rst has the left side ("whiteouts and opaque directories").
commit.py goes from left to right, unpack.py from right to left.

Invariant: none of overlayfs's own marks leaves for a tar, and no tar can forge one.
"""

from __future__ import annotations

import os
import stat

from mydocker.errors import Error
from mydocker.rootfs import tar
from mydocker.rootfs.layer import OPAQUE, OVERLAY, WHITEOUT, lstat
from mydocker.rootfs.tar import Member, printable


def is_whiteout(member: Member) -> bool:
    """Whether overlayfs says "deleted" with it."""
    return member.type == tar.CHAR and (member.major, member.minor) == (0, 0)


def take_marks(member: Member) -> bool:
    """Take overlayfs's own attributes from the member; whether they said that it is opaque.

    Most of them are notes of the kernel's to itself (origin, impure, …). Two would make the layer
    wrong: `redirect` says that the content of a renamed directory is under its old name below, and
    `metacopy` that only the attributes of a file were copied up. Neither can be said in a tar;
    overlay.py mounts without them.
    """
    marks = {name for name in member.xattrs if name.startswith(OVERLAY)}
    opaque = member.xattrs.get(OVERLAY + b"opaque") == b"y"
    for mark in sorted(marks):
        if mark in (OVERLAY + b"redirect", OVERLAY + b"metacopy"):
            raise Error("commit", printable(member.name), f"has the attribute {printable(mark)}")
        del member.xattrs[mark]
    return opaque


def apply(member: Member, base: bytes, parent: int) -> None:
    """Do in the directory `parent` what a member called `.wh.…` (its last part: `base`) says.

    A whiteout is about the layers below: a file of that name in this same layer stays, and a
    directory becomes opaque. Error for a name that cannot be.
    """
    if base == OPAQUE:
        make_opaque(f"/proc/self/fd/{parent}")
        return
    if base.startswith(WHITEOUT + WHITEOUT):
        return  # AUFS's own book-keeping, which old images still have
    deleted = base[len(WHITEOUT) :]
    if deleted in (b"", b".", b".."):
        raise Error("unpack", printable(member.name), "deletes a name that cannot be")
    found = lstat(deleted, parent)
    if found is None:
        os.mknod(deleted, stat.S_IFCHR, 0, dir_fd=parent)
        times = (member.mtime, member.mtime)
        os.utime(deleted, ns=times, dir_fd=parent, follow_symlinks=False)
    elif stat.S_ISDIR(found.st_mode):
        make_opaque(f"/proc/self/fd/{parent}/{os.fsdecode(deleted)}")


def make_opaque(directory: str) -> None:
    """Let nothing of the layers below show through the directory."""
    os.setxattr(directory, OVERLAY + b"opaque", b"y")
