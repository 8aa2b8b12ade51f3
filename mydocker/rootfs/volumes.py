"""Volumes: a piece of the host shown inside the container by a bind mount (the book's 4.3).

The data stays where it is, on the host. The container sees it through a mount that exists only in
its own mount namespace, so however the container ends, the data is untouched: nothing is ever
copied back, unmounted on the host, or removed.

The words are Docker's: `-v /host:/container[:ro]`, `--mount type=bind,source=…,target=…`,
`--mount type=tmpfs,target=…`, `--tmpfs /run:size=64m`.
"""

from __future__ import annotations

import os

from mydocker.errors import Usage
from mydocker.linux import files
from mydocker.spec import Mount

_MODES = ("ro", "rw", "z", "Z", "private", "rprivate", "slave", "rslave", "shared", "rshared")
_TMPFS = ["nosuid", "nodev", "noexec"]


def parse_volume(text: str) -> Mount:
    """`-v SOURCE:TARGET[:OPTIONS]`; a source that is missing becomes a directory, as with Docker.

    Raises Usage naming the part that is wrong.
    """
    source, separator, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not separator:
        raise Usage("volume", text, "not SOURCE:TARGET[:ro]")
    words = options.split(",") if options else []
    unknown = [word for word in words if word not in _MODES]
    if unknown or ("ro" in words and "rw" in words):
        raise Usage("volume", text, f"bad mode {options!r}", hint="ro or rw")
    return _bind(text, source, target, words, make=True)


def parse_mount(text: str) -> Mount:
    """`--mount type=bind|tmpfs,source=…,target=…[,readonly]`; here a missing source is an error."""
    fields = {}
    for item in text.split(","):
        key, separator, value = item.partition("=")
        fields[_KEYS.get(key, key)] = value if separator else "true"
    kind = fields.pop("type", "bind")
    target = fields.pop("target", "")
    words = ["ro"] if fields.pop("readonly", "false") in ("true", "1") else []
    if kind == "bind":
        if "propagation" in fields:
            words.append(fields.pop("propagation"))
        mount = _bind(text, fields.pop("source", ""), target, words, make=False)
    elif kind == "tmpfs":
        size, mode = fields.pop("tmpfs-size", ""), fields.pop("tmpfs-mode", "")
        words += [f"size={size}"] if size else []
        words += [f"mode={mode}"] if mode else []
        mount = _tmpfs(text, target, words)
    else:
        raise Usage("mount", text, f"unknown type {kind!r}", hint="type=bind or type=tmpfs")
    if fields:
        raise Usage("mount", text, f"unknown key {next(iter(fields))!r}")
    return mount


_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS["bind-propagation"] = "propagation"


def parse_tmpfs(text: str) -> Mount:
    """`--tmpfs TARGET[:OPTIONS]`, the options being those of tmpfs(5)."""
    target, _, options = text.partition(":")
    return _tmpfs(text, target, options.split(",") if options else [])


def _bind(text: str, source: str, target: str, words: list[str], make: bool) -> Mount:
    if not source.startswith("/"):
        raise Usage("volume", text, f"the source {source!r} is not an absolute path")
    _check_target("volume" if make else "mount", text, target)
    if not make and not os.path.exists(source):
        raise Usage("mount", text, f"the source {source} does not exist")
    options = ["rbind", *(word for word in words if word not in ("rw", "z", "Z"))]
    if not any(word in _MODES[4:] for word in words):
        options.append("rprivate")
    return Mount(destination=target, type="bind", source=os.path.realpath(source), options=options)


def make_sources(mounts: list[Mount]) -> None:
    """Make the directories of the host that `-v` names and that are missing, as Docker does.

    At the start, not when the flag is read: a `run` that is refused leaves the host as it was.
    """
    for mount in mounts:
        if mount.type == "bind" and not os.path.exists(mount.source):
            files.makedirs(mount.source, 0o755)


def _tmpfs(text: str, target: str, words: list[str]) -> Mount:
    _check_target("tmpfs", text, target)
    options = [*(word for word in _TMPFS if word not in _lifted(words)), *_asked(words)]
    return Mount(destination=target, type="tmpfs", source="tmpfs", options=options)


def _lifted(words: list[str]) -> list[str]:
    """`exec`, `dev` and `suid` take away the default that forbids them."""
    return [f"no{word}" for word in words if word in ("exec", "dev", "suid")]


def _asked(words: list[str]) -> list[str]:
    return [word for word in words if word not in ("exec", "dev", "suid", *_TMPFS)]


def _check_target(what: str, text: str, target: str) -> None:
    if not target.startswith("/"):
        raise Usage(what, text, f"the target {target!r} is not an absolute path")
    if os.path.normpath(target) in ("/", "//"):
        raise Usage(what, text, "the target is the root itself")


def in_order(mounts: list[Mount]) -> list[Mount]:
    """Parents before what is mounted below them, else the parent would hide it."""
    return sorted(mounts, key=lambda mount: os.path.normpath(mount.destination).count("/"))
