"""pull: an image from a registry, its layers side by side, each straight into the store.

A layer is decompressed and unpacked while it comes, so nothing is stored twice; what is not what
its digest says is thrown away. Of an index for several platforms the image for this machine is
taken. The image remembers the digest of what the name led to, as `repository@sha256:…`.
"""

from __future__ import annotations

from mydocker.errors import Error
from mydocker.rootfs import incoming, oci, reference, registries
from mydocker.rootfs.incoming import Blob, silent
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.rootfs.incoming import Arrivals, Progress
    from mydocker.rootfs.registry import Registry
    from mydocker.rootfs.store import Store

_SIDE_BY_SIDE = 3  # layers, as Docker has it
_PATIENCE = 2.0  # seconds


class Pulled(Struct):
    """What `pull` did. name: the whole name; digest: of the manifest or index; new: was it news."""

    name: str
    digest: str
    new: bool
    image_id: str


def pull(
    store: Store,
    root: str,
    word: str,
    *,
    platform: str = "",
    told: Progress = silent,
    say: Callable[[str], None] = lambda _: None,
) -> Pulled:
    """Bring the image of that name into the store, or look that it is the newest.

    told: the bytes of each layer; say: a line when there is something to say.
    NotFound if the registry has no such image; Error if it cannot be reached, or sent something
    that is not what its digest says.
    """
    from mydocker.rootfs.registry import Registry

    parsed = reference.parse(word)
    whole = f"{parsed.domain}/{parsed.path}"
    wanted = parsed.digest or parsed.tag
    whole += f"@{wanted}" if parsed.digest else f":{wanted}"
    settings = registries.settings(root)
    registry = Registry(settings.host(parsed.domain), settings, str(parsed))
    platform = platform or oci.this_platform()
    data, digest = registry.manifest(parsed.path, wanted)
    say(f"{wanted}: Pulling from {parsed.path}")
    manifest = _of_platform(registry, parsed.path, data, platform)
    config = registry.blob(parsed.path, manifest.config.digest, manifest.config.size)
    blobs = [
        Blob(name=one.digest[7:19], diff_id="", digest=one.digest, size=one.size)
        for one in manifest.layers
    ]
    names = [f"{parsed.repository}@{digest}"]
    names += [] if parsed.digest else [f"{parsed.repository}:{parsed.tag}"]
    planned = incoming.plan(config, blobs, names, str(parsed))
    before = store.find(manifest.config.digest)
    if before and {*names} <= {*before.names, *before.digests}:
        return Pulled(name=whole, digest=digest, new=False, image_id=before.id)

    def get(arrivals: Arrivals, blobs: list[Blob]) -> None:
        _side_by_side(registry, parsed.path, arrivals, blobs, told)

    (image,) = incoming.bring(store, [planned], get)
    return Pulled(name=whole, digest=digest, new=True, image_id=image.id)


def _of_platform(registry: Registry, path: str, data: bytes, platform: str) -> oci.Manifest:
    for _ in range(3):
        document = oci.parse(data, registry.name)
        listed = oci.index(document, registry.name)
        if listed is None:
            return oci.manifest(document, registry.name)
        one = oci.choose(listed, platform, registry.name)
        data, _digest = registry.manifest(path, one.digest)
    raise Error("pull", registry.name, "is an index in an index in an index …")


def _side_by_side(
    registry: Registry, path: str, arrivals: Arrivals, blobs: list[Blob], told: Progress
) -> None:
    """Fetch the layers that the store does not have; the first that fails ends the others."""
    from concurrent.futures import ThreadPoolExecutor, as_completed, wait

    missing = [blob for blob in blobs if not arrivals.has(blob.diff_id)]
    places = [arrivals.make(blob.diff_id) for blob in missing]
    pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
    futures = []
    for blob, layer in zip(missing, places, strict=True):
        stream = registry.stream(path, blob.digest, blob.size)
        futures.append(pool.submit(incoming.fetch, stream, blob, layer, told))
    try:
        for future in as_completed(futures):
            future.result()
    except BaseException:  # a Ctrl-C too
        registry.stop()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # One that waits for an answer cannot be woken; it has nothing to write any more.
        wait(futures, _PATIENCE)
