"""save: images as others take them: OCI's layout (image-layout.md), and Docker's archive.

One archive is both, as `docker save` writes it since version 25: blobs lie under their digests, and
two lists name them, OCI's index.json and Docker's manifest.json, which older dockers read too.

    oci-layout     index.json     manifest.json
    blobs/sha256/<hex>            layers (tars, not compressed), configurations, manifests

Layers go out as they came in, byte for byte (skeleton.py), or the digests in the configuration
would not hold. They are not compressed: how a byte stream is compressed depends on the version of
the library that does it.

Invariant: the same images under the same names give the same bytes; a file or directory is there
whole, or not at all; and a layer that was altered on our disk does not leave it unnoticed.
"""

from __future__ import annotations

import errno
import os
import stat

from mydocker.errors import Corrupt, Error, KernelError, NotFound
from mydocker.linux import files
from mydocker.linux.trace import act, step
from mydocker.rootfs import oci, reference, skeleton, tar
from mydocker.rootfs.incoming import silent
from mydocker.rootfs.store import sha256
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from mydocker.rootfs.incoming import Progress
    from mydocker.rootfs.store import Image, Store

    class Sink(Protocol):
        """Where files go, by name: whole ones, and such as come in pieces."""

        def put(self, name: str, data: bytes) -> None: ...
        def stream(self, name: str, size: int, pieces: Iterator[bytes]) -> None: ...


FORMATS = ("docker-archive", "oci-archive", "oci-dir")
_CHUNK = 1 << 20


class Chosen(Struct):
    """An image that is to be saved, and the names that go with it."""

    id: str
    names: list[str] = []


def choose(store: Store, words: list[str]) -> list[Chosen]:
    """The images that the words mean, sorted; a name is saved with its image, an id without one."""
    names: dict[str, set[str]] = {}
    for word in words:
        image = store.find(word)
        if image is None:
            raise NotFound("save", word, "no such image", hint="mydocker images lists them")
        given = str(reference.parse(word)) if not word.startswith(image.id[7:19]) else ""
        names.setdefault(image.id, set()).update({given} & {*image.names})
    return [Chosen(id=image_id, names=sorted(names[image_id])) for image_id in sorted(names)]


def to_stream(
    store: Store, words: list[str], write: Callable[[bytes], object], form: str, told: Progress
) -> None:
    """Write an archive of the images, piece by piece."""
    chosen = choose(store, words)
    sink = Tar(write)
    _write(store, chosen, sink, docker=form == "docker-archive", told=told)
    sink.close()


def to_file(store: Store, words: list[str], path: str, form: str, told: Progress = silent) -> None:
    """Write an archive of the images to a file, which is replaced when all of it is written."""
    choose(store, words)  # what is not there is told before anything is made
    if _is_special(path):
        with open(path, "wb", buffering=0) as special:
            fd = special.fileno()
            to_stream(store, words, lambda piece: files.write_all(fd, piece), form, told)
        return
    fd, temporary = _new_file(path)
    try:
        to_stream(store, words, lambda piece: files.write_all(fd, piece), form, told)
        os.fsync(fd)
        _give_name(fd, temporary, path)
    except OSError as error:
        raise KernelError.of(error, "save", path) from None
    finally:
        os.close(fd)
        if temporary:
            files.unlink(temporary, missing_ok=True)


def _new_file(path: str) -> tuple[int, str]:
    """A file without a name, so that a crash leaves nothing; or if there are none, with one."""
    flags = os.O_WRONLY | os.O_CLOEXEC
    try:
        return act("open", os.open, os.path.dirname(path) or ".", flags | os.O_TMPFILE, 0o600), ""
    except KernelError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    temporary = f"{path}.{os.urandom(4).hex()}.tmp"
    return act("open", os.open, temporary, flags | os.O_CREAT | os.O_EXCL, 0o600), temporary


def _is_special(path: str) -> bool:
    """Whether it is a device or a pipe, which is written to and not replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if stat.S_ISDIR(mode):
        hint = "--format oci-dir writes a directory"
        raise Error("save", path, "is a directory", hint=hint)
    return not stat.S_ISREG(mode)


def _give_name(fd: int, temporary: str, path: str) -> None:
    """Put the file in its place: linkat(2) replaces nothing, rename(2) does."""
    if not temporary and not os.path.lexists(path):
        act("link", _link, path, fd)
        return
    if not temporary:
        temporary = f"{path}.{os.urandom(4).hex()}.tmp"
        act("link", _link, temporary, fd)
    files.rename(temporary, path)


def _link(path: str, fd: int) -> None:
    # A directory's descriptor, which an absolute path does not need, makes Python follow the link.
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)


def to_directory(store: Store, words: list[str], path: str, told: Progress = silent) -> None:
    """Write the images into an OCI layout, a directory that is made or that has a layout already.

    Its index.json is written last, so until then the images are not there.
    """
    chosen = choose(store, words)
    listed = _layout(path)
    files.makedirs(f"{path}/blobs/sha256", 0o755)
    descriptors = _write(store, chosen, Directory(path), docker=False, told=told)
    new = {one["annotations"][oci.REF_NAME] for one in descriptors if "annotations" in one}
    kept = [
        one
        for one in listed
        if (one.get("annotations") or {}).get(oci.REF_NAME) not in new and one not in descriptors
    ]
    _put_index(Directory(path), kept + descriptors)


def _layout(path: str) -> list[Any]:
    """The descriptors of the layout that is there; none if there is nothing, or half of one."""
    try:
        there = {name for name in os.listdir(path) if not name.endswith(".tmp")}
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KernelError.of(error, "save", path) from None
    if not there - {"blobs", "oci-layout"}:
        return []
    if "index.json" not in there:
        raise Error("save", path, "is a directory with something else in it")
    with open(f"{path}/index.json", "rb") as file:
        document = oci.parse(file.read(oci.LIMIT + 1), f"{path}/index.json")
    if oci.index(document, f"{path}/index.json") is None:
        raise Error("save", path, "has an index.json that is no index")
    return list(document["manifests"])


def _write(
    store: Store, chosen: list[Chosen], sink: Sink, docker: bool, told: Progress
) -> list[dict[str, Any]]:
    """All files; what index.json lists, which for an archive is written here too."""
    descriptors, listed, sizes = [], [], dict[str, int]()
    for one in chosen:
        config = store.config_text(one.id).encode("utf-8", "surrogateescape")
        image = store.get(one.id)
        diff_ids = image.config.rootfs.diff_ids
        for diff_id in diff_ids:
            if diff_id not in sizes:
                sizes[diff_id] = _layer(store, image, diff_id, sink, told)
        manifest = _manifest(one.id, config, [(d, sizes[d]) for d in diff_ids])
        sink.put(_path(one.id), config)
        if sha256(manifest) not in sizes:
            sink.put(_path(sha256(manifest)), manifest)
            sizes[sha256(manifest)] = len(manifest)
        descriptors += _descriptors(manifest, one.names)
        layers = [_path(diff_id) for diff_id in diff_ids]
        # Whole names: podman takes a short one for its own `localhost/…`.
        names = [_whole(name) for name in one.names] or None
        listed.append({"Config": _path(one.id), "RepoTags": names, "Layers": layers})
    sink.put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    if docker:
        sink.put("manifest.json", _json(listed))
    if isinstance(sink, Tar):
        _put_index(sink, descriptors)
    return descriptors


def _layer(store: Store, image: Image, diff_id: str, sink: Sink, told: Progress) -> int:
    """Write one layer's tar, and compare what was written with its digest; its size."""
    import hashlib

    directory = store.layer(diff_id)
    hashed = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        done = 0
        waiting = bytearray()
        for piece in skeleton.assemble(directory):
            waiting += piece
            if len(waiting) < _CHUNK:
                continue
            hashed.update(waiting)
            done += len(waiting)
            told(diff_id, done, total)
            yield bytes(waiting)
            waiting.clear()
        hashed.update(waiting)
        told(diff_id, total, total)
        yield bytes(waiting)

    try:
        total = skeleton.size(directory)
        step("save", (directory,), lambda _: sink.stream(_path(diff_id), total, pieces()))
    except Corrupt as error:
        if store.find(image.id) is None:
            raise Error("save", image.id[7:19], "was removed meanwhile") from None
        raise error
    if f"sha256:{hashed.hexdigest()}" != diff_id:
        raise Corrupt("layer", directory, "the content of a file was altered")
    return total


def _manifest(image_id: str, config: bytes, layers: list[tuple[str, int]]) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": {"mediaType": oci.CONFIG, "digest": image_id, "size": len(config)},
            "layers": [{"mediaType": oci.LAYER, "digest": d, "size": n} for d, n in layers],
        }
    )


def _descriptors(manifest: bytes, names: list[str]) -> list[dict[str, Any]]:
    """What index.json says of an image: once for each name, or once without."""
    one = {"mediaType": oci.MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
    return [{**one, "annotations": _annotations(name)} for name in names] or [one]


def _annotations(name: str) -> dict[str, str]:
    return {oci.FULL_NAME: _whole(name), oci.REF_NAME: name}


def _whole(name: str) -> str:
    """`docker.io/library/busybox:latest` for `busybox:latest`."""
    parsed = reference.parse(name)
    return f"{parsed.domain}/{parsed.path}:{parsed.tag}"


def _put_index(sink: Sink, descriptors: list[Any]) -> None:
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": descriptors}
    sink.put("index.json", _json(index))


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _json(document: Any) -> bytes:
    import json

    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class Tar:
    """A tar as a `Sink`: its members belong to root, and are from 1970."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def put(self, name: str, data: bytes) -> None:
        """A file whose content is there already."""
        self.stream(name, len(data), iter((data,)))

    def stream(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """A file of exactly so many bytes."""
        member = tar.Member(name.encode())
        member.size = size
        self._write(tar.encode(member))
        written = 0
        for piece in pieces:
            self._write(piece)
            written += len(piece)
        if written != size:
            raise Corrupt("layer", name, f"has {written} bytes, not {size}")
        self._write(bytes(-size % tar.BLOCK))

    def close(self) -> None:
        """The end of the tar, without which it is known to be cut off."""
        self._write(tar.END)


class Directory:
    """A directory as a `Sink`: each file is there whole, or not at all."""

    def __init__(self, path: str) -> None:
        self.path = path

    def put(self, name: str, data: bytes) -> None:
        """A file whose content is there already."""
        files.write_whole(f"{self.path}/{name}", data.decode("utf-8", "surrogateescape"), 0o644)

    def stream(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        """A file that comes in pieces."""
        path = f"{self.path}/{name}"
        fd, temporary = _new_file(path)
        try:
            for piece in pieces:
                files.write_all(fd, piece)
            os.fsync(fd)
            _give_name(fd, temporary, path)
        except OSError as error:
            raise KernelError.of(error, "save", self.path) from None
        finally:
            os.close(fd)
            if temporary:
                files.unlink(temporary, missing_ok=True)
