"""`--mount type=…,source=…,target=…` and `--tmpfs TARGET[:OPTIONS]`: mounts in words.

The keys are Docker's. What they become is what `-v` becomes (volumes.py), with three differences:
a source that is missing is an error, and a directory in memory and a part of a volume can be said.
"""

from __future__ import annotations

import os

from mydocker.errors import Usage
from mydocker.rootfs import volumes
from mydocker.spec import Mount

_KEYS = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "propagation": "bind-propagation",
}
_TMPFS = ["nosuid", "nodev", "noexec"]


def parse_mount(text: str) -> Mount:
    """`--mount type=volume|bind|tmpfs,source=…,target=…[,readonly]…`; Usage names what is wrong.

    Without a type it is a volume, or a bind mount if the source is a path.
    """
    fields: dict[str, str] = {}
    for item in text.split(","):
        key, separator, value = item.partition("=")
        fields[_KEYS.get(key, key)] = value if separator else "true"
    fields.pop("consistency", "")  # of another operating system
    source, target = fields.pop("source", ""), fields.pop("target", "")
    kind = fields.pop("type", "bind" if source.startswith("/") else "volume")
    make = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs_mount}.get(kind)
    if make is None:
        hint = "type=volume, type=bind or type=tmpfs"
        raise Usage("mount", text, f"unknown type {kind!r}", hint=hint)
    words = ["ro"] if _truth(text, fields, "readonly") else []
    volumes.check_target("mount", text, target)
    mount = make(text, source, target, words, fields)
    if fields:
        raise Usage("mount", text, f"unknown key {next(iter(fields))!r} with type={kind}")
    return mount


def _truth(text: str, fields: dict[str, str], key: str) -> bool:
    word = fields.pop(key, "false").lower()
    if word not in ("true", "1", "false", "0"):
        raise Usage("mount", text, f"{key}={word} is not true or false")
    return word in ("true", "1")


def _bind(text: str, source: str, target: str, words: list[str], fields: dict[str, str]) -> Mount:
    if not source.startswith("/"):
        raise Usage("mount", text, f"the source {source!r} is not an absolute path")
    if not os.path.exists(source):
        raise Usage("mount", text, f"the source {source} does not exist")
    propagation = fields.pop("bind-propagation", "")
    if propagation and propagation not in volumes.PROPAGATION:
        raise Usage("mount", text, f"unknown propagation {propagation!r}")
    recursive = fields.pop("bind-recursive", "enabled")
    if _truth(text, fields, "bind-nonrecursive"):
        recursive = "disabled"
    mount = volumes.bind(source, target, words + ([propagation] if propagation else []))
    if recursive == "disabled":  # what is mounted below the source is not seen
        mount.options[0] = "bind"
    if recursive in ("disabled", "writable"):
        mount.options = [word for word in mount.options if word != "rro"]
    elif recursive == "readonly":
        if not words or "rprivate" not in mount.options:
            why = "bind-recursive=readonly is for readonly mounts with rprivate"
            raise Usage("mount", text, why)
        mount.options.remove("ro")  # and so it is an error if the kernel cannot
    elif recursive != "enabled":
        why = f"unknown bind-recursive={recursive}"
        raise Usage("mount", text, why, hint="enabled, disabled, writable or readonly")
    return mount


def _volume(text: str, source: str, target: str, words: list[str], fields: dict[str, str]) -> Mount:
    if source:
        volumes.check_name(text, source)
    if _truth(text, fields, "volume-nocopy"):
        words.append("nocopy")
    subpath = fields.pop("volume-subpath", "")
    if subpath:
        if subpath.startswith("/") or ".." in subpath.split("/"):
            raise Usage("mount", text, f"the subpath {subpath!r} is not one below the volume")
        words.append(f"subpath={subpath}")
    driver = fields.pop("volume-driver", "local")
    if driver != "local":
        raise Usage("mount", text, f"no volume driver {driver!r}", hint="local is the only one")
    return volumes.volume(source, target, words)


def parse_tmpfs(text: str) -> Mount:
    """`--tmpfs TARGET[:OPTIONS]`, the options being those of tmpfs(5)."""
    target, _, options = text.partition(":")
    volumes.check_target("tmpfs", text, target)
    return _tmpfs(target, options.split(",") if options else [])


def _tmpfs_mount(
    text: str, source: str, target: str, words: list[str], fields: dict[str, str]
) -> Mount:
    if source:
        raise Usage("mount", text, "a tmpfs has no source")
    size, mode = fields.pop("tmpfs-size", ""), fields.pop("tmpfs-mode", "")
    words += [f"size={size}"] if size else []
    words += [f"mode={mode}"] if mode else []
    return _tmpfs(target, words)


def _tmpfs(target: str, words: list[str]) -> Mount:
    lifted = [f"no{word}" for word in words if word in ("exec", "dev", "suid")]
    options = [word for word in _TMPFS if word not in lifted]
    options += [word for word in words if word not in ("exec", "dev", "suid", *_TMPFS)]
    return Mount(destination=volumes.clean(target), type="tmpfs", source="tmpfs", options=options)
