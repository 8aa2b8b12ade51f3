"""Layers on their way in: from compressed blobs, each compared with its digests, into the store.

`load` and `pull` differ in where a blob comes from; what becomes of it is the same and is here.

Invariant: nothing is in the store before all of an image is there and is what its digests say; and
whatever a blob expands to goes through in pieces.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import compression
from mydocker.rootfs.imageconfig import ImageConfig
from mydocker.rootfs.store import LayerGone, NewLayer, Store, parse_config
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.rootfs.compression import Stream
    from mydocker.rootfs.store import Image

    Progress = Callable[[str, int, int], None]
    """Told what is at work, how many bytes of it are done, and of how many (0: nobody knows)."""


DAMAGED = ("tar", "gzip", "bzip2", "xz", "zstd")
"""What an Error begins with when it is the content that is wrong."""


def silent(_label: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""


class Blob(Struct):
    """A layer as an archive or a registry has it: name: for messages; diff_id: of its tar.

    digest, size: of the blob as it is stored there; "" and -1 if nobody said.
    """

    name: str
    diff_id: str
    digest: str = ""
    size: int = -1


class Planned(Struct):
    """An image that is to come: its configuration as it is, its layers, and what to call it."""

    config: bytes
    layers: list[Blob]
    names: list[str] = []


def plan(config: bytes, blobs: list[Blob], names: list[str], name: str) -> Planned:
    """The image with this configuration, whose layers are these blobs; Error if they don't fit."""
    parsed = parse_config(config)
    check_config(parsed, len(blobs), name)
    for blob, diff_id in zip(blobs, parsed.rootfs.diff_ids, strict=True):
        blob.diff_id = diff_id
    return Planned(config=config, layers=blobs, names=names)


def check_config(config: ImageConfig, layers: int, name: str) -> None:
    """Error if the configuration is not one of a Linux image with so many layers."""
    from mydocker.rootfs.oci import check_digest

    if config.os != "linux":
        raise Error("image", name, f"is for {config.os or 'no system'}, not for linux")
    if config.rootfs.type != "layers":
        raise Error("image", name, f"has a root filesystem of the kind {config.rootfs.type!r:.40}")
    if len(config.rootfs.diff_ids) != layers:
        why = f"has {layers} layers, its configuration names {len(config.rootfs.diff_ids)}"
        raise Error("image", name, why)
    for diff_id in config.rootfs.diff_ids:
        check_digest(diff_id, name)


class Checked:
    """A stream that counts and, if asked, hashes what is read from it."""

    def __init__(self, stream: Stream, blob: Blob, told: Progress, hashed: bool) -> None:
        import hashlib

        self.stream = stream
        self.blob = blob
        self.told = told
        self.count = 0
        self.sha256 = hashlib.sha256() if hashed else None

    def read(self, count: int) -> bytes:
        """The next piece."""
        piece = self.stream.read(count)
        self.count += len(piece)
        if self.count > self.blob.size >= 0:
            raise Error("layer", self.blob.name, f"is longer than its {self.blob.size} bytes")
        if self.sha256:
            self.sha256.update(piece)
        self.told(self.blob.name, self.count, max(self.blob.size, 0))
        return piece

    def finish(self) -> None:
        """Read what is left; Error if size or digest are not what was announced."""
        while self.read(compression.CHUNK):
            pass
        if self.blob.size >= 0 and self.count != self.blob.size:
            why = f"has {self.count} bytes, not {self.blob.size}"
            raise Error("layer", self.blob.name, why)
        if self.sha256 and self.blob.digest:
            found = f"sha256:{self.sha256.hexdigest()}"
            if found != self.blob.digest:
                raise Error("layer", self.blob.name, f"has the digest {found}")


def fetch(stream: Stream, blob: Blob, layer: NewLayer | None, told: Progress) -> None:
    """Unpack a blob into a new layer (None: only look whether it is sound), and compare digests."""
    # A layer that is not compressed passes through the hash that gives its diff id anyway.
    hashed = bool(blob.digest) and (layer is None or blob.digest != blob.diff_id)
    checked = Checked(stream, blob, told, hashed)
    if layer is not None or not blob.digest:
        more = compression.pieces(checked)
        try:
            found = layer.unpack(more) if layer is not None else _digest(more)
        except KernelError:
            raise
        except Error as error:
            if error.what in DAMAGED:
                checked.finish()  # a wrong digest is the better reason
            raise Error("layer", blob.name, str(error), hint=error.hint) from None
        if found != blob.diff_id:
            why = f"has the digest {found}, the configuration says {blob.diff_id}"
            raise Error("layer", blob.name, why)
    checked.finish()


def _digest(more: Callable[[], bytes]) -> str:
    import hashlib

    hashed = hashlib.sha256()
    while piece := more():
        hashed.update(piece)
    return f"sha256:{hashed.hexdigest()}"


class Arrivals:
    """New layers by diff id. All that was not published is removed when it is closed."""

    def __init__(self, store: Store, undo: Cleanup) -> None:
        self.store = store
        self.layers: dict[str, NewLayer] = {}
        self._undo = undo

    def has(self, diff_id: str) -> bool:
        """Whether the store has the layer already."""
        return os.path.isdir(self.store.layer(diff_id))

    def make(self, diff_id: str) -> NewLayer:
        """A place to unpack the layer into."""
        layer = NewLayer(self.store).__enter__()
        self._undo.push(layer.__exit__)
        self.layers[diff_id] = layer
        return layer

    def forget(self) -> None:
        """Layers that somebody removed again after they had come: they are to be fetched anew."""
        self.layers = {k: v for k, v in self.layers.items() if not v.moved}

    def publish(self, planned: Planned) -> Image:
        """Make the image, now that all of it is there."""
        layers = [
            self.layers[blob.diff_id] for blob in planned.layers if blob.diff_id in self.layers
        ]
        return self.store.publish(planned.config, layers, planned.names)


def bring(
    store: Store, images: list[Planned], get: Callable[[Arrivals, list[Blob]], None]
) -> list[Image]:
    """Let `get(arrivals, blobs)` fetch layers, then make the images.

    `get` is given all layers that did not come yet, also such as the store has: `arrivals.has`
    tells.
    """
    with Cleanup() as undo:
        arrivals = Arrivals(store, undo)
        blobs = {blob.diff_id: blob for image in images for blob in image.layers}
        for _ in range(5):
            get(arrivals, [blob for blob in blobs.values() if blob.diff_id not in arrivals.layers])
            try:
                return [arrivals.publish(image) for image in images]
            except LayerGone:  # its last image was removed while we were at work
                arrivals.forget()
        raise Error("image", "", "its layers are removed again and again")
