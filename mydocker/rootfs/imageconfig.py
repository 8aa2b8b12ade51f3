"""What an image says about itself: the OCI image configuration (image-spec, config.md).

The JSON of this record is a file like any other, and its sha256 is the image's id: the layers are
named in it by their own digests, so the id covers every byte of the image. Two images with the
same configuration are the same image.

Invariant: what another tool wrote into a configuration and we do not know is kept.

`apply` makes the changes of `commit -c` and `import -c`, in the words of a Dockerfile; they are in
imagechanges.py, since a container that starts needs none of them.
"""

from __future__ import annotations

from mydocker.errors import Corrupt
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self


class Document(Struct):
    """A `Struct` whose JSON names are not camelCase, and that keeps the names it does not know."""

    other: dict[str, Any] = {}

    @classmethod
    def key(cls, name: str) -> str:
        """The JSON name of a field: the same, unless a subclass says otherwise."""
        return name

    def to_json(self) -> dict[str, Any]:
        """A dict ready for `json.dumps`; empty fields are left out, as Go's tools do."""
        data: dict[str, Any] = {}
        for name in self.fields()[1:]:
            value = getattr(self, name)
            if isinstance(value, Struct):
                value = value.to_json()
            elif isinstance(value, list):
                value = [item.to_json() if isinstance(item, Struct) else item for item in value]
            elif isinstance(value, dict):
                value = value.copy()
            if value or name in self.always():
                data[self.key(name)] = value
        return data | self.other

    @classmethod
    def always(cls) -> tuple[str, ...]:
        """Fields that are written even when they are empty."""
        return ()

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The record; Corrupt names the field that has a value of the wrong kind.

        A value of null is what Go writes for "empty".
        """
        if not isinstance(data, dict):
            raise Corrupt("image configuration", cls.__name__.lower(), "is not a JSON object")
        values: dict[str, Any] = {}
        known = {cls.key(name): name for name in cls.fields()[1:]}
        nested, rules = cls.nested(), cls.rules()
        for key, value in data.items():
            name = known.get(key)
            if name is None or value is None:
                continue
            kind = nested.get(name)
            sound = rules.get(name, _is_text)
            if isinstance(kind, list):
                value = [kind[0].from_json(item) for item in _items(key, value)]
                sound = _is_anything
            elif kind is not None:
                sound, value = _is_anything, kind.from_json(value)
            if not sound(value):
                raise Corrupt("image configuration", key, f"has the value {value!r:.100}")
            values[name] = value
        return cls(other={k: v for k, v in data.items() if k not in known}, **values)

    @classmethod
    def rules(cls) -> dict[str, Callable[[Any], bool]]:
        """Fields that are not text, each with what its value must satisfy."""
        return {}


def _items(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Corrupt("image configuration", key, f"has the value {value!r:.100}")
    return value


def _is_anything(_: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_set(value: Any) -> bool:
    return isinstance(value, dict)


class RunConfig(Document):
    """How a container of the image runs if its command line does not say otherwise.

    Sets are dicts with empty values, as in the JSON: `{"80/tcp": {}}`.
    """

    user: str = ""
    exposed_ports: dict[str, Any] = {}
    env: list[str] = []
    entrypoint: list[str] = []
    cmd: list[str] = []
    volumes: dict[str, Any] = {}
    working_dir: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = ""
    healthcheck: dict[str, Any] = {}
    on_build: list[str] = []

    @classmethod
    def key(cls, name: str) -> str:
        return "".join(word.capitalize() for word in name.split("_"))

    @classmethod
    def rules(cls) -> dict[str, Callable[[Any], bool]]:
        words = dict.fromkeys(("env", "entrypoint", "cmd", "on_build"), _is_words)
        sets = dict.fromkeys(("exposed_ports", "volumes", "healthcheck"), _is_set)
        return {**words, **sets, "labels": _is_labels}


class RootFS(Document):
    """The layers, lowest first, by the digests of their uncompressed tars (`sha256:…`)."""

    type: str = "layers"
    diff_ids: list[str] = []

    @classmethod
    def always(cls) -> tuple[str, ...]:
        return ("diff_ids",)

    @classmethod
    def rules(cls) -> dict[str, Callable[[Any], bool]]:
        return {"diff_ids": _is_words}


class History(Document):
    """Where one layer came from. `empty_layer`: a change of the configuration alone."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def rules(cls) -> dict[str, Callable[[Any], bool]]:
        return {"empty_layer": lambda value: isinstance(value, bool)}


class ImageConfig(Document):
    """One image, whole, except for its files. `created` is RFC 3339, in UTC."""

    created: str = ""
    author: str = ""
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    config: RunConfig = RunConfig()
    rootfs: RootFS = RootFS()
    history: list[History] = []

    @classmethod
    def always(cls) -> tuple[str, ...]:
        return ("architecture",)

    @classmethod
    def nested(cls) -> dict[str, Any]:
        return {"config": RunConfig, "rootfs": RootFS, "history": [History]}


def this_architecture() -> str:
    """This machine's architecture, in Go's words, which are OCI's: amd64, arm64, …"""
    import os

    machine = os.uname().machine
    return {
        "x86_64": "amd64",
        "aarch64": "arm64",
        "armv7l": "arm",
        "i686": "386",
        "ppc64le": "ppc64le",
        "s390x": "s390x",
        "riscv64": "riscv64",
    }.get(machine, machine)
