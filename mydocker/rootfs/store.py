"""The image store: configurations, layers and names, on disk as plain files.

Everything is known by its content: a layer by the sha256 of its uncompressed tar, an image by the
sha256 of its configuration (imageconfig.py), which lists its layers. So two images with a layer in
common have it once, and what was altered shows. docs/adr/0006-image-store.md has the reasons.

    images/images.json            image id -> its names: {"sha256:…": ["busybox:latest"]}, and where
                                  it was pulled from, as `repository@sha256:…`
    images/blobs/sha256/<hex>     the configuration of an image, as JSON
    images/layers/<hex>/diff/     an unpacked layer, as overlayfs takes it (layer.py)
    images/layers/<hex>/skeleton  what the layer's tar has beside its files (skeleton.py)
    images/layers/<hex>/layer.json
    images/tmp/<random>/          a layer that is being unpacked, or removed
    images/lock                   held by who changes any of this

Invariant: an image exists when images.json has it, and then everything that it needs is complete:
layers are unpacked under tmp/ and come to their place by one rename, then the configuration, then
the name; they go in the opposite order. Whatever a crash leaves behind is no image, and the next
change of the store clears it away.

Finding an image is on the way of every `run`, so this module imports what it needs for changes
only where it makes them.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict, Corrupt, Error, KernelError, NotFound, Usage
from mydocker.linux import files, jsontext
from mydocker.linux.lock import Lock
from mydocker.rootfs import reference
from mydocker.rootfs.imageconfig import History, ImageConfig, this_architecture
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from mydocker.rootfs.compression import Stream

_HEX = frozenset("0123456789abcdef")
_AGAIN = "remove the image with rmi -f, then import it again"


class Image(Struct):
    """One image of the store.

    id: `sha256:…`, the digest of the configuration; names: `repository:tag`, none if it is
    dangling; digests: `repository@sha256:…`, what a registry knows it by; layers: directories for
    overlayfs, lowest first; broken: why it cannot be used, "" if nothing is known against it.
    """

    id: str
    names: list[str] = []
    digests: list[str] = []
    config: ImageConfig = ImageConfig()
    layers: list[str] = []
    broken: str = ""

    @property
    def created(self) -> str:
        """When, as RFC 3339 in UTC."""
        return self.config.created

    @property
    def size(self) -> int:
        """Bytes of the files in all layers."""
        return sum(_layer_size(os.path.dirname(layer)) for layer in self.layers)


class Store:
    """The images below `<root>/images`. A store that does not exist yet is an empty one.

    `warn` is told, in one line each, what did not fail but is not as it should be.
    """

    def __init__(self, root: str, warn: Callable[[str], None] | None = None) -> None:
        self.directory = f"{root}/images"
        self.warn = warn or (lambda _: None)

    # Reading

    def find(self, word: str) -> Image | None:
        """The image that `word` means: a name, an id, or the beginning of one; None if none.

        Error if the beginning fits several images; Corrupt if the image cannot be used.
        """
        index = self._index()
        image_id = self._resolve(word, index)
        return self._load(image_id, index[image_id]) if image_id else None

    def get(self, word: str) -> Image:
        """Like `find`, but no image is NotFound."""
        image = self.find(word)
        if image is None:
            raise NotFound("image", word, "there is no such image")
        return image

    def images(self) -> list[Image]:
        """All images, the newest first; what is wrong with one is in its `broken`."""
        found = []
        for image_id, names in self._index().items():
            try:
                found.append(self._load(image_id, names))
            except Corrupt as error:
                found.append(_image(image_id, names, broken=str(error)))
        found.sort(key=lambda image: image.created, reverse=True)
        return found

    def hold(self) -> Lock:
        """A shared lock: while it is held (`with store.hold():`), no image is removed."""
        return Lock(f"{self.directory}/lock", shared=True)

    def _index(self) -> dict[str, list[str]]:
        path = f"{self.directory}/images.json"
        if not os.path.exists(path):
            if os.path.exists(f"{self.directory}/layers"):
                raise Corrupt("image store", path, "is missing, but there are layers")
            return {}
        index = _json(path, files.read(path))
        if not isinstance(index, dict) or not all(isinstance(v, list) for v in index.values()):
            raise Corrupt("image store", path, "is not an index of images")
        return index

    def _resolve(self, word: str, index: dict[str, list[str]]) -> str:
        """The id of the image that `word` means, or ""."""
        try:
            name = str(reference.parse(word))
        except Usage:
            name = ""
        for image_id, names in index.items():
            if name in names:
                return image_id
        # `run dd` means a command, though dd may be the beginning of an id: so a bare beginning
        # has a decimal digit in it, as nearly all ids soon do, or is as long as those that we show.
        digits = word.removeprefix("sha256:")
        bare = digits == word
        if (
            not digits
            or not _HEX.issuperset(digits)
            or (bare and digits.isalpha() and len(digits) < 12)
        ):
            return ""
        fits = [image_id for image_id in index if image_id.startswith(f"sha256:{digits}")]
        if len(fits) > 1:
            raise Error("image", word, f"fits {len(fits)} images", hint="write more of the id")
        return fits[0] if fits else ""

    def _load(self, image_id: str, names: list[str]) -> Image:
        config = self._config(image_id)
        layers = [f"{self.layer(diff_id)}/diff" for diff_id in config.rootfs.diff_ids]
        for layer in layers:
            if not os.path.isdir(layer):
                raise Corrupt("image", _short(image_id), f"layer {layer} is missing", hint=_AGAIN)
        for number in range(len(layers) - 1, 0, -1):
            if _is_opaque(layers[number]):  # overlayfs does not look for the mark on a whole layer
                del layers[:number]
                break
        return _image(image_id, names, config=config, layers=layers)

    def _config(self, image_id: str) -> ImageConfig:
        return ImageConfig.from_json(_json(self._blob(image_id), self.config_text(image_id)))

    def config_text(self, image_id: str) -> str:
        """The image's configuration as it came: its digest is the id, or it is Corrupt."""
        path = self._blob(image_id)
        try:
            text = files.read(path)
        except KernelError as error:
            raise Corrupt("image", _short(image_id), f"{path}: {error.why}", hint=_AGAIN) from None
        if sha256(text.encode("utf-8", "surrogateescape")) != image_id:
            raise Corrupt("image", _short(image_id), f"{path} was altered", hint=_AGAIN)
        return text

    def _blob(self, digest: str) -> str:
        return f"{self.directory}/blobs/sha256/{_digits(digest)}"

    def layer(self, diff_id: str) -> str:
        """Where the layer lies, if it is there: a directory."""
        return f"{self.directory}/layers/{_digits(diff_id)}"

    def layer_size(self, diff_id: str) -> int:
        """Bytes of the files in the layer."""
        return _layer_size(self.layer(diff_id))

    # Adding

    def import_rootfs(
        self, stream: Stream, name: str | None, changes: list[str], message: str = ""
    ) -> Image:
        """An image of one layer: the tar of a root filesystem, plain or gzip, xz, bzip2, zstd."""
        from mydocker.rootfs import compression

        more = compression.pieces(stream)
        return self.add(None, more, name, changes=changes, message=message or "Imported from a tar")

    def add(
        self,
        parent: Image | None,
        more: Callable[[], bytes],
        name: str | None,
        *,
        changes: list[str] | None = None,
        author: str = "",
        message: str = "",
        created_by: str = "",
    ) -> Image:
        """An image with the parent's layers and a new one, whose tar `more()` gives in pieces.

        Usage if the name or a change is wrong, Error if the tar is or if the disk is full; then
        nothing is left of it.
        """
        from mydocker.rootfs import imagechanges

        name = _tagged(name) if name else None
        config = ImageConfig.from_json(parent.config.to_json()) if parent else ImageConfig()
        imagechanges.apply(config.config, changes or [])
        config.created = now()
        config.architecture = config.architecture or this_architecture()
        config.author = author or config.author
        config.history.append(
            History(created=config.created, created_by=created_by, author=author, comment=message)
        )
        with NewLayer(self) as layer:
            config.rootfs.diff_ids.append(layer.unpack(more))
            return self.publish(_encoded(config), [layer], [name] if name else [])

    def publish(self, config: bytes, layers: list[NewLayer], names: list[str]) -> Image:
        """Make an image of its configuration (the JSON, as bytes) and the layers not here yet.

        LayerGone if one that was here when the caller looked was removed meanwhile.
        """
        image_id = sha256(config)
        needs = parse_config(config).rootfs.diff_ids
        with self.change():
            here = {layer.diff_id for layer in layers if not layer.moved}
            for diff_id in needs:
                if diff_id not in here and not os.path.isdir(self.layer(diff_id)):
                    raise LayerGone("image", _short(image_id), f"layer {diff_id} is missing")
            for layer in layers:
                layer.move(self.layer(layer.diff_id))
            files.makedirs(os.path.dirname(self._blob(image_id)))
            files.write_whole(self._blob(image_id), config.decode("utf-8", "surrogateescape"))
            index = self._index()
            index.setdefault(image_id, [])
            for name in names:
                _named(index, image_id, name)
            self._write_index(index)
        return self._load(image_id, index[image_id])

    def tag(self, image: Image, name: str) -> None:
        """Give the image one more name; an image that had the name loses it."""
        name = _tagged(name)
        with self.change():
            index = self._index()
            if image.id not in index:
                raise NotFound("image", _short(image.id), "there is no such image")
            self._write_index(_named(index, image.id, name))

    def _write_index(self, index: dict[str, list[str]]) -> None:
        import json

        files.write_whole(f"{self.directory}/images.json", json.dumps(index, indent=2) + "\n")

    # Removing

    def remove(
        self,
        word: str,
        force: bool = False,
        in_use: Callable[[str], str] = lambda image_id: "",
    ) -> list[str]:
        """Take away a name, and with its last name the image; what happened, in Docker's words.

        A name removes only itself while the image has others; an id removes the image, if it has
        at most one name or with `force`. `in_use(id)` is the name of a container that needs the
        image, or "": such an image stays, and with `force` it loses its names.
        Layers go with the last image that has them.
        """
        with self.change():
            index = self._index()
            image_id = self._resolve(word, index)
            if not image_id:
                raise NotFound("image", word, "there is no such image")
            names = index[image_id]
            by_name = [name for name in names if _is(word, name)]
            going = _with_digests(by_name, names) or names
            container = "" if len(going) < len(names) else in_use(image_id)
            if container and not force:
                hint = "remove the container first"
                raise Conflict("remove image", word, f"container {container} uses it", hint=hint)
            tags = [name for name in names if "@" not in name]
            if len(tags) > 1 and not by_name and not force:
                why = f"it has {len(tags)} names: {', '.join(tags)}"
                raise Conflict("remove image", word, why, hint="remove them one by one, or use -f")
            said = [f"Untagged: {name}" for name in going]
            index[image_id] = [name for name in names if name not in going]
            if index[image_id] or container:
                self._write_index(index)
                return said
            del index[image_id]
            self._write_index(index)
            layers = [path for path in self._collect() if "/layers/" in path]
            deleted = [f"Deleted: sha256:{os.path.basename(path)}" for path in layers]
            return [*said, f"Deleted: {image_id}", *deleted]

    def untag(self, name: str) -> list[str]:
        """Take the name from its image, which stays even if that was its last."""
        with self.change():
            index = self._index()
            for image_id, names in index.items():
                if any(_is(name, other) for other in names):
                    index[image_id] = [other for other in names if not _is(name, other)]
                    self._write_index(index)
                    return [f"Untagged: {reference.parse(name)}"]
        raise NotFound("image", name, "there is no such image")

    # What a crash left, and what was damaged

    def check(self) -> list[str]:
        """What is wrong with the store, a line each: leftovers of a crash, damaged images."""
        if not os.path.isdir(self.directory):
            return []
        with self.hold():
            problems = [f"image {_short(i.id)}: {i.broken}" for i in self.images() if i.broken]
            problems += [f"half-made layer: {path}" for path in self._abandoned()]
            problems += [f"no image uses it: {path}" for path in self._unreferenced()]
        return problems

    def repair(self) -> list[str]:
        """Remove what a crash left (a damaged image is left to its owner); what was removed."""
        if not os.path.isdir(self.directory):
            return []
        with Lock(f"{self.directory}/lock"):
            return [f"removed {path}" for path in self.sweep()]

    def verify(self, image: Image) -> None:
        """Compare all that the image consists of with its digests; Corrupt names what differs."""
        from mydocker.rootfs import verify

        self._load(image.id, image.names)
        for diff_id in image.config.rootfs.diff_ids:
            with NewLayer(self) as beside:
                verify.layer(self.layer(diff_id), diff_id, beside)

    def change(self) -> Lock:
        """The lock for a change; entering it makes the store, and clears away what a crash left."""
        return _Change(self)

    def open(self) -> None:
        """Make the store if there is none yet, and clear away what a crash left; under the lock."""
        if not self._index() and not os.path.exists(f"{self.directory}/images.json"):
            self._write_index({})
        try:
            self.sweep()
        except Error as error:
            self.warn(str(error))

    def sweep(self) -> list[str]:
        """Remove half-made layers whose maker is gone, and what no image uses; under the lock."""
        abandoned = self._abandoned()
        for path in abandoned:
            if os.path.isdir(path):
                files.remove_tree(path)
            else:
                files.unlink(path)
        return abandoned + self._collect()

    def _abandoned(self) -> list[str]:
        import fcntl

        found = [path for path in _listing(self.directory) if path.endswith(".tmp")]
        for path in _listing(f"{self.directory}/tmp"):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its maker holds it (NewLayer)
                found.append(path)
            except BlockingIOError:
                pass
            finally:
                os.close(fd)
        return found

    def _collect(self) -> list[str]:
        """Remove the configurations and layers that no image uses; their paths."""
        unreferenced = self._unreferenced()
        for path in unreferenced:
            if os.path.isdir(path):
                # First away from its place: half a layer must not be found there.
                going = f"{self.directory}/tmp/{os.urandom(8).hex()}"
                files.makedirs(f"{self.directory}/tmp")
                files.rename(path, going)
                files.remove_tree(going)
            else:
                files.unlink(path)
        return unreferenced

    def _unreferenced(self) -> list[str]:
        index = self._index()
        used = {_digits(image_id) for image_id in index}
        for image_id in index:
            try:
                used.update(map(_digits, self._config(image_id).rootfs.diff_ids))
            except Corrupt:
                return []  # whatever that image used, it is not for us to remove
        paths = _listing(f"{self.directory}/blobs/sha256") + _listing(f"{self.directory}/layers")
        return [path for path in paths if os.path.basename(path) not in used]


class _Change(Lock):
    """The store's lock, for one change of it; what a crash left is cleared away first."""

    def __init__(self, store: Store) -> None:
        super().__init__(f"{store.directory}/lock")
        self.store = store

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.store.open()
        except BaseException:
            self.__exit__()
            raise
        return self


class LayerGone(Corrupt):
    """A layer that a new image needs was removed, with the last image that had it, meanwhile."""


class Scratch:
    """A directory under tmp/ for somebody's work, which is removed at the end of the `with` block.

    While it lives it is locked (flock(2) on the directory itself), which tells a living owner from
    a crashed one.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.directory = f"{store.directory}/tmp/{os.urandom(8).hex()}"
        self.moved = False
        self._fd = -1

    def __enter__(self) -> Self:
        import fcntl

        with self.store.change():
            files.makedirs(os.path.dirname(self.directory))
            files.mkdir(self.directory)
            self._fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self.moved:
                files.remove_tree(self.directory)
        finally:
            os.close(self._fd)


class NewLayer(Scratch):
    """A layer on its way into the store: unpacked under tmp/, then moved to its place."""

    diff_id = ""

    def unpack(self, more: Callable[[], bytes], hollow: bool = False) -> str:
        """Unpack the tar that `more()` gives in pieces; its digest, the layer's diff id.

        hollow: as for unpack.py; such a layer only serves to be looked at.
        """
        import json

        from mydocker.linux import syscalls
        from mydocker.linux.trace import step
        from mydocker.rootfs.unpack import unpack

        done = step("unpack", (self.directory,), lambda path: unpack(more, path, hollow))
        if hollow:
            return done.diff_id
        for lost in done.lost:
            self.store.warn(f"{lost}: the filesystem of the store cannot keep this attribute")
        record = {"diffId": done.diff_id, "size": done.size, "created": now()}
        files.write_whole(f"{self.directory}/layer.json", json.dumps(record, indent=2) + "\n")
        syscalls.syncfs(self._fd, self.directory)  # the name must not be there before the files
        self.diff_id = done.diff_id
        return self.diff_id

    def move(self, target: str) -> None:
        """Take its place, if no other process was first with the same layer; under the lock."""
        if not self.moved and not os.path.isdir(target):
            files.makedirs(os.path.dirname(target))
            files.rename(self.directory, target)
            self.moved = True


def now() -> str:
    """The time for `created`, RFC 3339 in UTC: SOURCE_DATE_EPOCH if it is set, else the clock's."""
    import time

    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and not (epoch.isascii() and epoch.isdecimal() and len(epoch) < 12):
        raise Usage("SOURCE_DATE_EPOCH", epoch, "is not a number of seconds since 1970")
    seconds, part = (int(epoch), 0) if epoch else divmod(time.time_ns(), 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{part:09d}Z" if part else f"{text}Z"


def _named(index: dict[str, list[str]], image_id: str, name: str | None) -> dict[str, list[str]]:
    if name and name not in index[image_id]:
        for names in index.values():
            if name in names:
                names.remove(name)
        index[image_id].append(name)
    return index


def _with_digests(going: list[str], names: list[str]) -> list[str]:
    """The names that go, and the digests of a repository that then has no tag left."""
    if not going or "@" in going[0]:
        return going
    staying = {_repository(name) for name in names if name not in going and "@" not in name}
    return going + [n for n in names if "@" in n and _repository(n) not in staying]


def _repository(name: str) -> str:
    return reference.parse(name).repository


def _tagged(name: str) -> str:
    """The familiar form of a name that is to be given to an image."""
    parsed = reference.parse(name)
    if parsed.digest:
        raise Usage("image name", name, "a digest cannot be given, it follows from the content")
    return str(parsed)


def _is(word: str, name: str) -> bool:
    try:
        return str(reference.parse(word)) == name
    except Usage:
        return False


def _encoded(config: ImageConfig) -> bytes:
    import json

    return json.dumps(config.to_json(), ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogateescape"
    )


def _image(image_id: str, names: list[str], **more: Any) -> Image:
    digests = [name for name in names if "@" in name]
    return Image(id=image_id, names=[n for n in names if "@" not in n], digests=digests, **more)


def parse_config(data: bytes) -> ImageConfig:
    """The configuration whose JSON this is; Corrupt if it is none."""
    text = data.decode("utf-8", "surrogateescape")
    return ImageConfig.from_json(_json("image configuration", text))


def _json(path: str, text: str) -> Any:
    try:
        return jsontext.loads(text)
    except (ValueError, RecursionError):
        raise Corrupt("image store", path, "is not JSON") from None


def sha256(data: bytes) -> str:
    """`sha256:…` of something small."""
    # hashlib loads OpenSSL, 3 ms; the interpreter's own sha256 is there at once, under a private
    # name that changed with Python 3.12. For some kilobytes before every run its speed will do.
    for module in ("_sha2", "_sha256", "hashlib"):
        try:
            hashed = __import__(module).sha256(data)
            break
        except ImportError:
            continue
    return f"sha256:{hashed.hexdigest()}"


def _digits(digest: str) -> str:
    """The hex digits of `sha256:…`. They become a file name, so they are looked at here."""
    digits = digest.removeprefix("sha256:")
    if digits == digest or len(digits) != 64 or not _HEX.issuperset(digits):
        raise Corrupt("image store", digest, "is not a sha256 digest")
    return digits


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _is_opaque(layer: str) -> bool:
    try:
        return os.getxattr(layer, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _layer_size(directory: str) -> int:
    path = f"{directory}/layer.json"
    return int(_json(path, files.read(path)).get("size", 0)) if os.path.exists(path) else 0


def _listing(directory: str) -> list[str]:
    try:
        return [f"{directory}/{name}" for name in sorted(os.listdir(directory))]
    except FileNotFoundError:
        return []
