"""The documents that say what an image consists of (OCI image-spec, manifest.md, image-index.md).

An *index* lists manifests, one for each platform, or one for each image of a layout. A *manifest*
lists an image's configuration and layers. Both list *descriptors*: kind, digest and size of a blob.
Docker's own manifests have the same shape and other media types.

Invariant: these come from strangers. A document is at most 4 MiB, is what its digest says, and is
either understood or refused; a digest that leaves here is `sha256:` and 64 hex digits.
"""

from __future__ import annotations

from mydocker.errors import Error
from mydocker.rootfs.imageconfig import this_architecture
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 4 << 20
"""Bytes of a document, as Docker and containerd have it."""

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
"""Annotations with an image's name: OCI's, which may be a tag alone, and that of Docker's tools."""

_LAYERS = (
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.rootfs.diff.",
    "application/vnd.docker.image.rootfs.foreign.diff.",
)
_HEX = frozenset("0123456789abcdef")


class Descriptor(Struct):
    """A blob: its media type, its digest, its size in bytes; platform: `linux/arm64/v8`, or ""."""

    media_type: str = ""
    digest: str
    size: int
    platform: str = ""
    annotations: dict[str, str] = {}


class Manifest(Struct):
    """One image: the blob of its configuration, and those of its layers, lowest first."""

    config: Descriptor
    layers: list[Descriptor]


def parse(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object that a document is; Error names it (`name`) and says what is wrong."""
    import json

    if len(data) > LIMIT:
        raise Error("image", name, f"is a document of more than {LIMIT >> 20} MiB")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise Error("image", name, "is not JSON") from None
    if not isinstance(document, dict):
        raise Error("image", name, "is not a JSON object")
    if "manifests" in document and ("layers" in document or "config" in document):
        # One tool would take it for an index, the next for a manifest (CVE-2021-41190).
        raise Error("image", name, "is an index and a manifest at once")
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise Error("image", name, "is of Docker's old schema 1", hint="push it again")
    return document


def index(document: dict[str, Any], name: str) -> list[Descriptor] | None:
    """What an index lists, without attestations; None if the document is no index."""
    if "manifests" not in document:
        return None
    found = _descriptors(document["manifests"], name)
    return [d for d in found if d.platform != "unknown/unknown"]


def manifest(document: dict[str, Any], name: str) -> Manifest:
    """The image that a manifest describes; Error if it describes something else, or half of it."""
    config = _descriptor(document.get("config"), name)
    if config.media_type not in (CONFIG, DOCKER_CONFIG, ""):
        raise Error("image", name, f"is not an image but {config.media_type:.80}")
    layers = _descriptors(document.get("layers"), name)
    for layer in layers:
        if not layer.media_type.startswith(_LAYERS) or layer.media_type.endswith("encrypted"):
            raise Error("image", name, f"has a layer of the unknown kind {layer.media_type:.80}")
    return Manifest(config=config, layers=layers)


def choose(found: list[Descriptor], platform: str, name: str) -> Descriptor:
    """The one of an index that is for this platform: `linux/amd64`, or with a variant."""
    for one in found:
        if not one.platform and len(found) == 1:
            return one
    fits = [one for one in found if _fits(one.platform, platform)]
    if not fits:
        there = ", ".join(sorted({one.platform for one in found if one.platform})) or "none"
        why = f"has nothing for {platform}, only for {there}"
        raise Error("image", name, why, hint="--platform chooses another one")
    # An exact match first, then the highest variant: a v7 machine runs v6 too.
    return max(fits, key=lambda one: (one.platform == platform, one.platform))


def _fits(theirs: str, ours: str) -> bool:
    parts, wanted = theirs.split("/"), ours.split("/")
    return parts[:2] == wanted[:2] and (len(wanted) < 3 or parts[2:] in ([], wanted[2:]))


def this_platform() -> str:
    """This machine's, in OCI's words."""
    return f"linux/{this_architecture()}"


def check_digest(digest: Any, name: str) -> str:
    """The digest, if it is one that we can compare."""
    digits = digest.removeprefix("sha256:") if isinstance(digest, str) else ""
    if digits == digest or len(digits) != 64 or not _HEX.issuperset(digits):
        raise Error("image", name, f"names {digest!r:.100}, which is not a sha256 digest")
    return str(digest)


def _descriptors(items: Any, name: str) -> list[Descriptor]:
    if not isinstance(items, list):
        raise Error("image", name, "has no list where one is needed")
    return [_descriptor(item, name) for item in items]


def _descriptor(item: Any, name: str) -> Descriptor:
    if not isinstance(item, dict):
        raise Error("image", name, "describes a blob by something that is not an object")
    digest = check_digest(item.get("digest"), name)
    size = item.get("size")
    if type(size) is not int or not 0 <= size < 1 << 63:
        raise Error("image", name, f"says that {digest} has the size {size!r:.40}")
    annotations = item.get("annotations") or {}
    media_type = item.get("mediaType") or ""
    if not isinstance(annotations, dict) or not isinstance(media_type, str):
        raise Error("image", name, f"describes {digest} in a way that makes no sense")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        platform=_platform(item.get("platform")),
        annotations={k: v for k, v in annotations.items() if isinstance(v, str)},
    )


def _platform(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    parts = [item.get("os"), item.get("architecture"), item.get("variant")]
    return "/".join(str(part) for part in parts if part)
