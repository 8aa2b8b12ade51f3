"""load: images from an archive or a directory, as OCI (image-layout.md) and Docker lay them out.

    OCI's layout                            Docker's archive
    index.json     lists manifests          manifest.json   lists images: names, and the files of
    blobs/sha256/  manifests, and all                       their configurations and layers
                   that these name

`docker save` writes both into one archive since version 25; then the first is read, because it has
a digest for everything. Of an image for several platforms the one for this machine is taken.

A manifest alone with its blobs beside it (skopeo's `dir:`) is understood too.

Invariant: what an archive says is compared before it is believed, and all of its images come, or
none.
"""

from __future__ import annotations

from mydocker.errors import Error, Usage
from mydocker.linux.cleanup import Cleanup
from mydocker.rootfs import archive, incoming, oci, reference
from mydocker.rootfs.archive import NoSuchFile
from mydocker.rootfs.incoming import Blob, Planned, silent
from mydocker.rootfs.store import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from mydocker.rootfs.archive import Archive
    from mydocker.rootfs.incoming import Arrivals, Progress
    from mydocker.rootfs.oci import Descriptor
    from mydocker.rootfs.store import Image, Store

_DEEPEST = 3  # indexes in each other
_BLOBS = "blobs/sha256/"


def load(
    store: Store,
    source: str | BinaryIO,
    *,
    platform: str = "",
    name: str = "",
    told: Progress = silent,
) -> list[tuple[Image, list[str]]]:
    """The images of an archive (a path or a stream), now in the store, with the names it gave them.

    platform: `linux/arm64`, this machine's if ""; name: what to call the one image of the archive
    instead of what that says.
    Error names what is wrong with the archive; then none of its images is there.
    """
    if name:
        name = str(reference.parse(name))
        if "@" in name:
            raise Usage("--name", name, "a digest cannot be given, it follows from the content")
    with Cleanup() as undo:
        if isinstance(source, str):
            opened = archive.open_path(store, source, undo)
        else:
            opened = archive.open_stream(store, source, "stdin", undo)
        images = plan(opened, platform or oci.this_platform())
        _check_names(images, opened.name)
        if name and len(images) != 1:
            raise Usage("--name", name, f"the archive has {len(images)} images")
        if name:
            images[0].names = [name]

        def get(arrivals: Arrivals, blobs: list[Blob]) -> None:
            for blob in blobs:
                layer = None if arrivals.has(blob.diff_id) else arrivals.make(blob.diff_id)
                with opened.open(blob.name) as part:
                    incoming.fetch(part, blob, layer, told)

        loaded = incoming.bring(store, images, get)
    return [(image, planned.names) for image, planned in zip(loaded, images, strict=True)]


def _check_names(images: list[Planned], archive: str) -> None:
    """No two images of an archive have one name."""
    seen = set[str]()
    for name in [name for image in images for name in image.names]:
        if name in seen:
            raise Error("load", archive, f"names two images {name}")
        seen.add(name)


def plan(source: Archive, platform: str) -> list[Planned]:
    """What images the archive has, all of its documents compared and understood."""
    try:
        archive.read(source, "oci-layout")
        index = archive.read(source, "index.json")
    except NoSuchFile:
        try:
            listed = archive.read(source, "manifest.json")
        except NoSuchFile:
            why = "is neither an OCI layout nor an archive of docker save"
            hint = "mydocker import takes the tar of a root filesystem"
            raise Error("load", source.name, why, hint=hint) from None
        return _docker(source, listed)
    return _layout(source, index, platform)


# OCI's layout


def _layout(source: Archive, index: bytes, platform: str) -> list[Planned]:
    document = oci.parse(index, "index.json")
    listed = oci.index(document, "index.json")
    if not listed:
        raise Error("load", source.name, "its index.json lists no image")
    images: dict[str, Planned] = {}
    for name, descriptors in _by_name(listed).items():
        for one in _of_platform(descriptors, platform, name):
            manifest = _manifest(source, one, platform, _DEEPEST)
            config = _blob(source, manifest.config)
            planned = images.setdefault(sha256(config), _planned(manifest, config))
            planned.names += [name] if name and name not in planned.names else []
    return list(images.values())


def _by_name(listed: list[Descriptor]) -> dict[str, list[Descriptor]]:
    """The descriptors that an index has under each name; "" for those without one."""
    found: dict[str, list[Descriptor]] = {}
    for one in listed:
        word, full = (one.annotations.get(key, "") for key in (oci.REF_NAME, oci.FULL_NAME))
        if full.endswith(word):  # else it is another image's: umoci copies annotations
            word = full or word
        # umoci's `layout:latest` and OCI's examples give a tag alone: that is not a name.
        name = "" if word in ("", reference.DEFAULT_TAG) else _name(word, "index.json")
        found.setdefault(name, []).append(one)
    return found


def _of_platform(listed: list[Descriptor], platform: str, name: str) -> list[Descriptor]:
    """Several with one name are one image for several platforms; without a name, several images."""
    if len(listed) > 1 and all(one.platform for one in listed):
        different = len({one.platform for one in listed}) == len(listed)
        if name or different:
            return [oci.choose(listed, platform, name or "index.json")]
    return listed


def _manifest(source: Archive, one: Descriptor, platform: str, depth: int) -> oci.Manifest:
    document = oci.parse(_blob(source, one), one.digest)
    listed = oci.index(document, one.digest)
    if listed is None:
        return oci.manifest(document, one.digest)
    if not depth:
        raise Error("image", one.digest, "is an index in an index in an index …")
    return _manifest(source, oci.choose(listed, platform, one.digest), platform, depth - 1)


def _blob(source: Archive, one: Descriptor, below: str = _BLOBS) -> bytes:
    """A small blob, compared with its digest and size."""
    path = below + one.digest.removeprefix("sha256:")
    data = archive.read(source, path)
    if len(data) != one.size:
        raise Error("load", source.name, f"{path} has {len(data)} bytes, not {one.size}")
    if sha256(data) != one.digest:
        raise Error("load", source.name, f"{path} has the digest {sha256(data)}")
    return data


def _planned(manifest: oci.Manifest, config: bytes, below: str = _BLOBS) -> Planned:
    blobs = [
        Blob(
            name=below + one.digest.removeprefix("sha256:"),
            diff_id="",
            digest=one.digest,
            size=one.size,
        )
        for one in manifest.layers
    ]
    return incoming.plan(config, blobs, [], manifest.config.digest)


# Docker's archive


def _docker(source: Archive, listed: bytes) -> list[Planned]:
    import json

    try:
        items = json.loads(listed)
    except (ValueError, RecursionError):
        items = None
    if isinstance(items, dict):
        return [_plain(source, listed)]
    if not isinstance(items, list) or not items:
        raise Error("load", source.name, "manifest.json lists no image")
    images: dict[str, Planned] = {}
    for item in items:
        path, names, layers = _item(source, item)
        config = archive.read(source, path)
        image_id = sha256(config)
        digits = path.removeprefix(_BLOBS).removesuffix(".json")
        if len(digits) == 64 and image_id != f"sha256:{digits}":
            raise Error("load", source.name, f"{path} has the digest {image_id}")
        blobs = [_docker_blob(layer) for layer in layers]
        planned = images.setdefault(image_id, incoming.plan(config, blobs, [], path))
        planned.names += [name for name in names if name not in planned.names]
    return list(images.values())


def _plain(source: Archive, data: bytes) -> Planned:
    """skopeo's `dir:`, podman's docker-dir: one manifest, and beside it blobs by their digits."""
    name = f"{source.name}/manifest.json"
    document = oci.parse(data, name)
    manifest = oci.manifest(document, name)
    config = _blob(source, manifest.config, "")
    return _planned(manifest, config, "")


def _item(source: Archive, item: Any) -> tuple[str, list[str], list[str]]:
    """One image of manifest.json: the file of its configuration, its names, its layers' files."""
    item = item if isinstance(item, dict) else {}
    config, names, layers = item.get("Config"), item.get("RepoTags") or [], item.get("Layers")
    lists = isinstance(names, list) and isinstance(layers, list)
    if not isinstance(config, str) or not lists or not all(map(_is_text, [*names, *layers])):
        raise Error("load", source.name, "manifest.json describes an image in an unknown way")
    return config, [_name(name, "manifest.json") for name in names], layers


def _docker_blob(path: str) -> Blob:
    """The digest is in the name of a file `blobs/sha256/<hex>`; else the diff id will do."""
    digits = path.removeprefix(_BLOBS)
    sound = digits != path and len(digits) == 64
    return Blob(name=path, diff_id="", digest=f"sha256:{digits}" if sound else "")


def _is_text(item: Any) -> bool:
    return isinstance(item, str)


def _name(text: str, where: str) -> str:
    try:
        parsed = reference.parse(text)
    except Usage as error:
        raise Error("load", where, f"names an image {text[:100]!r}: {error.why}") from None
    if parsed.digest:
        raise Error("load", where, f"names an image {text[:100]!r}, by a digest")
    return str(parsed)
