"""What has to be pulled before a container can be made (`run --pull`).

    never     nothing                     the default, unless a registry is configured
    missing   an image that is not here   the default where one is (rootfs/registries.py)
    always    the image, to see whether there is a newer one

The book's `run top` names no image: without --pull a plain word is an image only if the default
image has no command of that name.
"""

from __future__ import annotations

import os

from mydocker.errors import Usage
from mydocker.lifecycle.run import DEFAULT_IMAGE
from mydocker.rootfs import reference, registries
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mydocker.lifecycle.options import Options
    from mydocker.rootfs.store import Image

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def needed(root: str, when: str | None, asked: Options) -> Iterator[tuple[str, bool]]:
    """The names to pull, each with whether a registry may not have it: it was only a guess."""
    told = when is not None
    when = when or ("missing" if registries.configured(root) else "never")
    if when == "never":
        return
    store = Store(root)
    word = asked.image or (asked.words[0] if asked.words else DEFAULT_IMAGE)
    if when == "always" or store.find(word) is None:
        guess = not asked.image and not told
        if _is_name(word) and not (guess and _is_command(store.find(DEFAULT_IMAGE), word)):
            yield word, guess
    if asked.image is None and store.find(word) is None and store.find(DEFAULT_IMAGE) is None:
        yield DEFAULT_IMAGE, False


def _is_name(word: str) -> bool:
    """Whether it is a name, and not an id, which no registry knows."""
    try:
        parsed = reference.parse(word)
    except Usage:
        return False
    return parsed.repository != "sha256"


def _is_command(image: Image | None, word: str) -> bool:
    """Whether the image has a command of that name on its PATH."""
    if image is None or "/" in word:
        return False
    path = next((v for v in image.config.config.env if v.startswith("PATH=")), _PATH)
    places = path.removeprefix("PATH=").split(":")
    return any(
        os.path.lexists(f"{layer}/{place.strip('/')}/{word}")
        for layer in image.layers
        for place in places
    )
