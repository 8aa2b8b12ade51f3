"""Is a layer still what it was when it came? Every byte and every attribute is looked at.

The layer's tar is put together again from its files and the skeleton, and unpacked once more
beside it, without the content, which only passes through the digest. Then both trees have to be
alike, and the digest the one that is the layer's name.
"""

from __future__ import annotations

import os

from mydocker.errors import Corrupt, Error
from mydocker.rootfs import layer as layers
from mydocker.rootfs import skeleton
from mydocker.rootfs.tar import Member, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.store import NewLayer


def layer(directory: str, diff_id: str, beside: NewLayer) -> None:
    """Compare the layer in `directory` with its digest; Corrupt names the first difference.

    beside: a new layer, to unpack into.
    """
    pieces = skeleton.assemble(directory)
    try:
        digest = beside.unpack(lambda: next(pieces, b""), hollow=True)
        _compare(f"{directory}/diff", f"{beside.directory}/diff")
    except Corrupt:
        raise
    except Error as error:
        raise Corrupt("layer", directory, str(error)) from None
    if digest != diff_id:
        raise Corrupt("layer", directory, "the content of a file was altered")


def _compare(now: str, then: str) -> None:
    """Walk both trees, which come in the same order, side by side."""
    here, there = layers.tree(now), layers.tree(then)
    while True:
        (ours, _, _), (theirs, _, _) = next(here, _NOTHING), next(there, _NOTHING)
        if ours.name != theirs.name:
            if ours.name and not os.path.lexists(os.fsencode(then) + b"/" + ours.name):
                raise Corrupt("layer", now, f"{printable(ours.name)} was added")
            raise Corrupt("layer", now, f"{printable(theirs.name)} is missing")
        if not ours.name:
            return
        for field in Member.__slots__:
            if getattr(ours, field) != getattr(theirs, field):
                raise Corrupt("layer", now, f"{printable(ours.name)}: its {field} was altered")


_NOTHING = (Member(b""), -1, b"")
