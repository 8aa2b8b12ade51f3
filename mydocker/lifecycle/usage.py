"""How much of the disk is used, by what, and how much of that could be given back."""

from __future__ import annotations

import os

TYPE_CHECKING = False


def size_of(directory: str) -> int:
    """The bytes of the files below a directory; a file with several names counts once.

    What vanishes while we look, since a container is at work in there, does not count.
    """
    total, seen = 0, set()
    for above, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.lstat(f"{above}/{name}")
            except OSError:
                continue
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total
