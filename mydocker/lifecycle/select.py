"""Which containers a list shows: Docker's `--filter KEY=VALUE`.

Several values of one key mean any of them, several keys all of them; labels must all be there.
A container is asked by a function for each key, so a new filter is one entry of `FILTERS`.
"""

from __future__ import annotations

import os
import re

from mydocker.errors import Error, Usage
from mydocker.lifecycle import defaults, reach
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.state import STATES
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from mydocker.spec import Mount

    T = TypeVar("T")
    Filter = Callable[[Containers, str], Callable[[Container], bool]]
    """From where the containers are, and a value, to the question that is asked of each."""

HEALTH = ("starting", "healthy", "unhealthy", "none")
UP = ("running", "paused", "restarting")
"""The states that `ps` shows without `-a`."""


def read(words: list[str], known: list[str]) -> dict[str, list[str]]:
    """`--filter KEY=VALUE` words by key; Usage for a key that is not known, or no value."""
    found: dict[str, list[str]] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise Usage("--filter", word, "not KEY=VALUE")
        if key.endswith("!"):  # label!=x, as `prune` has it
            key, value = key[:-1], f"!{value}"
        if key not in known or (value.startswith("!") and key != "label"):
            raise Usage("--filter", word, f"no such filter: {key}", hint=f"there are {known}")
        found.setdefault(key, []).append(value)
    return found


def choose(containers: Containers, found: list[Container], words: list[str]) -> list[Container]:
    """Those of the containers that fit all filters."""
    for key, values in read(words, [*FILTERS]).items():
        questions = [FILTERS[key](containers, value) for value in values]
        quantity = all if key == "label" else any
        found = [c for c in found if quantity(question(c) for question in questions)]
    return found


def mounts(container: Container) -> list[Mount]:
    """The mounts that the user asked for, without those that every container has."""
    own = {(mount.destination, mount.type) for mount in defaults.mounts(0)}
    files = os.path.dirname(container.directory) + "/"  # its /etc/hosts is not the user's mount
    found = [m for m in container.spec().mounts if (m.destination, m.type) not in own]
    return [m for m in found if not m.source.startswith(files)]


def volume_name(mount: Mount, container: Container) -> str:
    """The name of the volume that is mounted there; empty if it is no volume."""
    above, _, last = mount.source.rpartition("/")
    name = above.rpartition("/")[2]
    return name if last == "_data" and name in container.volumes else ""


def has_label(labels: dict[str, str], wanted: str) -> bool:
    """Whether `NAME` or `NAME=VALUE` is among the labels; `!` before it turns that round."""
    name, separator, value = wanted.removeprefix("!").partition("=")
    there = name in labels and (not separator or labels[name] == value)
    return there != wanted.startswith("!")


def network_names(container: Container) -> list[str]:
    """The networks that it is in: `none`, `host`, or those that it was connected to."""
    kinds = [namespace.type for namespace in container.spec().linux.namespaces]
    if reach.networked(container):
        return reach.names(container)
    return ["none" if "network" in kinds else "host"]


def _matching(key: str, value: str) -> Callable[[str], bool]:
    try:
        return lambda text, pattern=re.compile(value): bool(pattern.search(text))  # type: ignore[misc]  # a default in a lambda
    except re.error as error:
        raise Usage("--filter", f"{key}={value}", f"not a pattern: {error}") from None


def _identity(_: Containers, value: str) -> Callable[[Container], bool]:
    fits = _matching("id", value)
    return lambda c: fits(c.id)


def _name(_: Containers, value: str) -> Callable[[Container], bool]:
    fits = _matching("name", value)
    return lambda c: fits(c.name) or fits(f"/{c.name}")  # Docker's names begin with a slash


def _status(_: Containers, value: str) -> Callable[[Container], bool]:
    if value not in STATES:
        raise Usage("--filter", f"status={value}", f"not one of {' '.join(STATES)}")
    return lambda c: c.status == value


def _exited(_: Containers, value: str) -> Callable[[Container], bool]:
    if not (value.isascii() and value.isdigit()):
        raise Usage("--filter", f"exited={value}", "not an exit code")
    return lambda c: c.status == "exited" and str(c.exit_code) == value.lstrip("0").rjust(1, "0")


def _health(_: Containers, value: str) -> Callable[[Container], bool]:
    if value not in HEALTH:
        raise Usage("--filter", f"health={value}", f"not one of {' '.join(HEALTH)}")
    return lambda c: (c.health or "none") == value


def _ancestor(containers: Containers, value: str) -> Callable[[Container], bool]:
    """Made from that image, or from one that was built upon it: its layers come first."""
    image = Store(containers.root).find(value)
    if image is None:
        return lambda c: False
    layers = image.layers
    return lambda c: c.image_id == image.id or (bool(layers) and c.layers[: len(layers)] == layers)


def _before(containers: Containers, value: str) -> Callable[[Container], bool]:
    other = containers.find(value)
    return lambda c: c.created < other.created


def _since(containers: Containers, value: str) -> Callable[[Container], bool]:
    other = containers.find(value)
    return lambda c: c.created > other.created


def _volume(_: Containers, value: str) -> Callable[[Container], bool]:
    def uses(container: Container) -> bool:
        found = _or_none(mounts, container)
        return value in container.volumes or any(value in (m.source, m.destination) for m in found)

    return uses


def _network(_: Containers, value: str) -> Callable[[Container], bool]:
    return lambda c: value in _or_none(network_names, c)


def _or_none(ask: Callable[[Container], list[T]], container: Container) -> list[T]:
    """What it says; a container whose spec is damaged has none, and does not spoil the list."""
    try:
        return ask(container)
    except Error:
        return []


FILTERS: dict[str, Filter] = {
    "id": _identity,
    "name": _name,
    "label": lambda _, value: lambda c: has_label(c.labels, value),
    "status": _status,
    "exited": _exited,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "volume": _volume,
    "network": _network,
    "health": _health,
}
