"""Volumes: files that live outside the container's own, shown in it by a mount (the book's 4.3).

`-v /host:/container` shows a directory or a file of the host; `-v name:/container` one that
mydocker keeps under that name (volumestore.py), and `-v /container` one without a name, which goes
with the container. The container sees them through mounts that exist only in its own mount
namespace, so however it ends, the data is untouched: nothing is ever copied back, unmounted on the
host, or removed.

The words are Docker's: `SOURCE:TARGET[:OPTIONS]` here, `--mount` and `--tmpfs` in mountflag.py.
"""

from __future__ import annotations

import os

from mydocker.errors import Usage
from mydocker.linux import files
from mydocker.spec import Mount

PROPAGATION = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_WORDS = ("ro", "rw", "z", "Z", "nocopy", *PROPAGATION)


def parse_volume(text: str) -> Mount:
    """`-v SOURCE:TARGET[:OPTIONS]` or `-v TARGET`, as a mount of the type `bind` or `volume`.

    Raises Usage naming the part that is wrong.
    """
    source, separator, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not separator:
        source, target = "", text
        if not text.startswith("/"):
            raise Usage("volume", text, "not SOURCE:TARGET[:ro], nor a TARGET alone")
    elif not source:
        raise Usage("volume", text, "the source is empty")
    words = options.split(",") if options else []
    unknown = [word for word in words if word not in _WORDS]
    if unknown or ("ro" in words and "rw" in words):
        raise Usage("volume", text, f"bad mode {options!r}", hint="ro or rw")
    check_target("volume", text, target)
    if source.startswith("."):
        source = os.path.abspath(source)
    if source.startswith("/"):
        if "nocopy" in words:
            raise Usage("volume", text, "nocopy is for volumes, the source is a path")
        return bind(source, target, words)
    if any(word in PROPAGATION for word in words):
        raise Usage("volume", text, "propagation is for paths, the source is a volume")
    if separator:
        check_name(text, source)
    return volume(source, target, words)


def bind(source: str, target: str, words: list[str]) -> Mount:
    """A mount that shows a path of the host. `ro` holds for what is mounted below it, too."""
    options = ["rbind", *(word for word in words if word not in ("rw", "z", "Z"))]
    if "ro" in words:
        options.append("rro")
    if not any(word in PROPAGATION for word in words):
        options.append("rprivate")
    return Mount(destination=clean(target), source=os.path.realpath(source), options=options)


def volume(name: str, target: str, words: list[str]) -> Mount:
    """A mount that shows a volume, or a new one without a name (""); to be looked up later."""
    options = [word for word in words if word not in ("rw", "z", "Z")]
    return Mount(destination=clean(target), type="volume", source=name, options=options)


def check_name(text: str, name: str) -> None:
    """Docker's rule, which also keeps a name from being a path."""
    plain = name.isascii() and name.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
    if not plain or not name[0].isalnum() or len(name) < 2:
        hint = "two or more of [a-zA-Z0-9_.-], or an absolute path of the host"
        raise Usage("volume", text, f"{name!r} cannot be a volume's name", hint=hint)


def check_target(what: str, text: str, target: str) -> None:
    """The target must be an absolute path in the container, and not its root."""
    if not target.startswith("/"):
        raise Usage(what, text, f"the target {target!r} is not an absolute path")
    if clean(target) == "/":
        raise Usage(what, text, "the target is the root itself")


def clean(target: str) -> str:
    """The path without `..`, double slashes and the like: two spellings are one target."""
    return os.path.normpath("/" + target.lstrip("/"))


def of_image(paths: list[str]) -> list[Mount]:
    """The volumes that an image asks for (VOLUME); what is given for the same target goes first."""
    return [volume("", path, ["image"]) for path in sorted(paths) if clean(path) != "/"]


def make_sources(mounts: list[Mount]) -> None:
    """Make the directories of the host that `-v` names and that are missing, as Docker does.

    At the start, not when the flag is read: a `run` that is refused leaves the host as it was.
    """
    for mount in mounts:
        if mount.type == "bind" and not os.path.exists(mount.source):
            files.makedirs(mount.source, 0o755)
        if any(word in PROPAGATION[2:] for word in mount.options):
            from mydocker.rootfs import propagation

            propagation.check(mount)


def in_order(mounts: list[Mount]) -> list[Mount]:
    """Parents before what is mounted below them, else the parent would hide it."""
    return sorted(mounts, key=lambda mount: os.path.normpath(mount.destination).count("/"))
