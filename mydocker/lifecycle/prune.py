"""Images that nobody needs: what `image prune` removes, and what `images` lists of which kind."""

from __future__ import annotations

import time

from mydocker.errors import Conflict, NotFound, Usage
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import everything
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mydocker.rootfs.store import Image


def prune(root: str, every: bool, filters: list[str]) -> tuple[list[str], int]:
    """Remove images that are dangling, or (`every`) that no container was made from.

    filters: `until=24h`, `label=NAME[=VALUE]`, `label!=…`, `dangling=false` (the same as `every`).
    What happened, in Docker's words, and the bytes that the disk got back.
    """
    store, containers = Store(root), Containers(root)
    everything(containers)  # such as ended unseen are cleared away, or they would be in the way
    wanted = Filters(filters, ("until", "label", "dangling"))
    every = every or wanted.truth("dangling") is False
    before = disk(store)
    said: list[str] = []
    for image in store.images():
        used = {c.image_id for c in containers}
        if image.broken or image.id in used or (image.names and not every):
            continue
        if not wanted.fit(image):
            continue
        said += _remove(store, containers, image)
    return said, max(0, before - disk(store))


def _remove(store: Store, containers: Containers, image: Image) -> list[str]:
    """Remove an image with all its names; a container that was made meanwhile keeps it."""

    def user(image_id: str) -> str:
        return next((c.name for c in containers if c.image_id == image_id), "")

    said: list[str] = []
    try:
        for name in image.names[:-1]:
            said += store.remove(name, in_use=user)
        return said + store.remove(image.id, in_use=user)
    except (Conflict, NotFound):
        return said


def disk(store: Store) -> int:
    """Bytes of the files of all layers, each counted once."""
    layers = {diff_id for image in store.images() for diff_id in image.config.rootfs.diff_ids}
    return sum(map(store.layer_size, layers))


class Filters:
    """`--filter` of images: each is NAME=VALUE; all must fit."""

    def __init__(self, texts: list[str], known: tuple[str, ...]) -> None:
        self.pairs: list[tuple[str, bool, str]] = []
        for text in texts:
            name, equals, value = text.partition("=")
            no = name.endswith("!")
            name = name.removesuffix("!")
            if not equals or name not in known or (no and name != "label"):
                raise Usage("--filter", text, f"is not one of {', '.join(known)} with =VALUE")
            self.pairs.append((name, no, value))
            if name == "until":
                moment(value)
            if name == "dangling" and value not in ("true", "false", "1", "0"):
                raise Usage("--filter", text, "is neither true nor false")

    def truth(self, name: str) -> bool | None:
        """The last value of a filter that is true or false; None if it was not given."""
        found = [value in ("true", "1") for key, _, value in self.pairs if key == name]
        return found[-1] if found else None

    def fit(self, image: Image) -> bool:
        """Whether the image is one of those that the filters mean (except `dangling`)."""
        return all(
            _fits(image, name, value) != no for name, no, value in self.pairs if name in _FITS
        )


def _fits(image: Image, name: str, value: str) -> bool:
    if name == "until":
        return seconds(image.created) < moment(value)
    if name == "reference":
        from mydocker.rootfs import reference

        parsed = [reference.parse(text) for text in image.names]
        return any(name_matches(one.repository, one.tag, value) for one in parsed)
    key, equals, wanted = value.partition("=")
    labels = image.config.config.labels
    return key in labels and (not equals or labels[key] == wanted)


_FITS = ("until", "label", "reference")


def name_matches(repository: str, tag: str, pattern: str) -> bool:
    """A pattern of a name, with or without a tag; `*` stands for anything but a slash."""
    from fnmatch import fnmatchcase

    def alike(name: str) -> bool:
        parts, wanted = name.split("/"), pattern.split("/")
        pairs = zip(parts, wanted, strict=False)
        return len(parts) == len(wanted) and all(fnmatchcase(a, b) for a, b in pairs)

    return alike(repository) or alike(f"{repository}:{tag}")


def moment(text: str) -> float:
    """`24h`, `1h30m`, `2026-01-31`, `2026-01-31T12:00:00Z` or seconds since 1970: that moment."""
    from mydocker.rootfs.imagechanges import nanoseconds

    try:
        return time.time() - nanoseconds(text) / 1e9
    except ValueError:
        pass
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    found = seconds(text)
    if not found:
        why = "is no time, such as 24h, 2026-01-31T12:00:00Z or 1700000000"
        raise Usage("--filter", f"until={text}", why)
    return found


def seconds(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time, or of its day alone; 0 if it is none."""
    import datetime

    try:
        found = datetime.datetime.fromisoformat(_microseconds(text))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()


def _microseconds(text: str) -> str:
    """Nanoseconds cut to what Python reads: `.123456789Z` to `.123456Z`."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{whole}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}" if dot else text
