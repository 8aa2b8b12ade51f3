"""`mydocker volume`: make, list, show and remove the volumes that mydocker keeps."""

from __future__ import annotations

import os

from mydocker.cli import Globals, ask, table
from mydocker.cli.each import for_each
from mydocker.cli.flags import Command, Flag, Group
from mydocker.errors import Conflict, NotFound, Usage
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import everything
from mydocker.lifecycle.volumes import users
from mydocker.rootfs.volumestore import VolumeStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.rootfs.volumestore import Volume


def store() -> VolumeStore:
    """The volumes of this call's state root."""
    return VolumeStore(Globals.root)


def create(values: dict[str, Any], words: list[str]) -> None:
    """Make a volume and print its name; one that is there already stays as it is."""
    if values["driver"] != "local":
        raise Usage("volume create", values["driver"], "no such driver", hint="local is the only")
    if values["name"] and words:
        raise Usage("volume create", words[0], "the name is given twice")
    labels = dict(_label(item) for item in values["label"])
    print(store().create((words or [values["name"]])[0] or "", labels).name)


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise Usage("--label", text, "not NAME[=VALUE]")
    return name, value


def ls(values: dict[str, Any], _words: list[str]) -> None:
    """Print one line for each volume."""
    chosen = [volume for volume in store().all() if fits(volume, values["filter"])]
    if values["format"]:
        from mydocker.cli.format import Format
        from mydocker.cli.template import Record

        heads = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Labels": "LABELS"}
        heads |= {"Mountpoint": "MOUNTPOINT", "Scope": "SCOPE"}
        wanted = Format(values["format"], heads, Label=lambda name: name)
        wanted.show(
            Record(
                {name: _text(value) for name, value in describe(volume).items()},
                Label=lambda name, volume=volume: volume.labels.get(name, ""),
            )
            for volume in chosen
        )
        return
    if values["quiet"]:
        for volume in chosen:
            print(volume.name)
        return
    table.show(["DRIVER", "VOLUME NAME"], [["local", volume.name] for volume in chosen])


def _text(value: Any) -> str:
    """A field as a list shows it: labels are one text, as in Docker."""
    if isinstance(value, dict):
        return ",".join(f"{name}={text}" for name, text in value.items())
    return str(value)


def fits(volume: Volume, filters: list[str]) -> bool:
    """Docker's filters: dangling=, driver=, label=, label!=, name=; of one kind one must fit, of
    labels all must."""
    kinds: dict[str, list[bool]] = {}
    for text in filters:
        key, separator, value = text.partition("=")
        if not separator:
            raise Usage("--filter", text, "not NAME=VALUE")
        if key == "dangling":
            if value.lower() not in ("true", "1", "false", "0"):
                raise Usage("--filter", text, "not true or false")
            dangling = not users(Containers(Globals.root), volume.name)
            fit = dangling == (value.lower() in ("true", "1"))
        elif key == "driver":
            fit = value == "local"
        elif key == "name":
            fit = value in volume.name
        elif key in ("label", "label!"):
            name, equals, wanted = value.partition("=")
            fit = name in volume.labels and (not equals or volume.labels[name] == wanted)
            fit = fit == (key == "label")
            key = text  # each label for itself
        elif key == "all":
            continue
        else:
            hint = "dangling, driver, label or name"
            raise Usage("--filter", text, f"no filter is called {key!r}", hint=hint)
        kinds.setdefault(key, []).append(fit)
    return all(any(fit) for fit in kinds.values())


def inspect(values: dict[str, Any], words: list[str]) -> int:
    """Print one array with an object for each volume, or a line each by the template."""
    from mydocker.cli.inspect import present

    return present(words, lambda word: describe(store().find(word)), values["format"])


def describe(volume: Volume) -> dict[str, Any]:
    """All that is known of a volume, in Docker's words."""
    return {
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": store().path(volume.name),
        "Name": volume.name,
        "Options": {},
        "Scope": "local",
    }


def rm(values: dict[str, Any], words: list[str]) -> int:
    """Remove each; the others are removed although one fails."""
    containers = Containers(Globals.root)
    everything(containers)  # such as ended unseen are cleared away, or they would be in the way

    def remove(word: str) -> None:
        try:
            store().remove(word, lambda name: users(containers, name))
        except NotFound:
            if not values["force"]:
                raise

    return for_each(words, remove)


def prune(values: dict[str, Any], _words: list[str]) -> int:
    """Remove the volumes that no container uses: those without a name, or all of them."""
    containers = Containers(Globals.root)
    whole = values["all"] or any(t in ("all=1", "all=true") for t in values["filter"])
    what = "all volumes" if whole else "all anonymous volumes"
    if not values["force"] and not ask.sure(f"This will remove {what} that no container uses."):
        return 1
    everything(containers)
    removed, size = [], 0
    for volume in store().all():
        if not (whole or volume.anonymous) or not fits(volume, values["filter"]):
            continue
        try:
            count = disk_use(store().path(volume.name))
            store().remove(volume.name, lambda name: users(containers, name))
        except (NotFound, Conflict):
            continue
        removed.append(volume.name)
        size += count
    if removed:
        print("Deleted Volumes:", *removed, sep="\n")
        print()
    print(f"Total reclaimed space: {table.size(size)}")
    return 0


def disk_use(directory: str) -> int:
    """Bytes of the files below a directory; several names of one file count once."""
    seen, total = set(), 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                found = os.lstat(f"{path}/{name}")
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_size
    return total


_FORMAT = Flag("-f --format", "value", "json, or a template: '{{.Name}}'", metavar="TEMPLATE")
_FILTER = Flag("-f --filter", "list", "only those that fit", metavar="NAME=VALUE")

COMMANDS = {
    "create": Command(
        create,
        "[OPTIONS] [NAME]",
        "Make a volume.",
        [
            Flag("-d --driver", "value", "only local is there", default="local", metavar="NAME"),
            Flag("--label", "list", "a label", metavar="NAME[=VALUE]"),
            Flag("--name", "value", "the same as the word NAME"),
        ],
        most=1,
    ),
    "inspect": Command(inspect, "VOLUME...", "Show volumes as JSON.", [_FORMAT], least=1),
    "ls": Command(
        ls,
        "[OPTIONS]",
        "List volumes.",
        [Flag("-q --quiet", "bool", "only the names"), _FORMAT.without({"-f"}), _FILTER],
        most=0,
    ),
    "prune": Command(
        prune,
        "[OPTIONS]",
        "Remove the volumes that no container uses.",
        [
            Flag("-a --all", "bool", "also those with a name"),
            Flag("-f --force", "bool", "do not ask"),
            Flag("--filter", "list", "only those that fit", metavar="label=NAME[=VALUE]"),
        ],
        most=0,
    ),
    "rm": Command(
        rm,
        "[OPTIONS] VOLUME...",
        "Remove volumes.",
        [Flag("-f --force", "bool", "one that is not there is no error")],
        least=1,
    ),
}
COMMAND = Group("Keep volumes: files that outlive containers.", COMMANDS)
