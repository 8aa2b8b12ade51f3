"""`mydocker inspect`: all that is known of a container, an image, a volume or a network.

What is shown of a container begins with its own file, under the names that it has on the disk
(`pid`, `exitCode`), and goes on with the same facts where Docker keeps them (`State.Pid`,
`State.ExitCode`): a lower case letter is ours, an upper case one Docker's (docs/adr/0014).
"""

from __future__ import annotations

import json
import sys

from mydocker.cli import Globals, report
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error, NotFound, Usage
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import put_right
from mydocker.rootfs.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FLAGS = [
    Flag("-f --format", "value", "json, or a template: '{{.State.Pid}}'", metavar="TEMPLATE"),
    Flag(
        "--type", "value", "only an object of that kind", metavar="container|image|volume|network"
    ),
    Flag("-s --size", "bool", "also how much a container wrote"),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Show the first object of each name among the kinds that may be meant."""
    kinds = [*LOOKUPS] if values["type"] is None else [values["type"]]
    if kinds[0] not in LOOKUPS:
        raise Usage("--type", kinds[0], f"not one of {' '.join(LOOKUPS)}")
    return present(words, lambda word: describe(word, kinds, values["size"]), values["format"])


def present(words: list[str], find: Callable[[str], dict[str, Any]], form: str | None) -> int:
    """Print one array with an object for each word, or a line each by the template.

    What is not found is told after those that are; returns its exit code.
    """
    found, failed = [], []
    if form:
        from mydocker.cli.format import for_terminal
        from mydocker.cli.template import Template

        template = Template("{{json .}}" if form == "json" else form)
    for word in words:
        try:
            found.append(find(word))
        except Error as error:
            failed.append(error)
    if form:
        for thing in found:
            print(for_terminal(template.render(thing)))
    elif found or len(words) > 1:
        print(json.dumps(found, indent=4))
    sys.stdout.flush()
    return max((report(error) for error in failed), default=0)


def describe(word: str, kinds: list[str], size: bool = False) -> dict[str, Any]:
    """The first object of that name among the kinds; NotFound if there is none."""
    for kind in kinds:
        try:
            return LOOKUPS[kind](word, size)
        except NotFound:
            continue
    raise NotFound("inspect", word, f"no such {' or '.join(kinds)}")


def container(word: str, size: bool) -> dict[str, Any]:
    """The record and the spec of a container, and both in Docker's words."""
    from mydocker.cli import dockerwords

    containers = Containers(Globals.root)
    found = put_right(containers, containers.find(word))
    if found is None:
        raise NotFound("container", word, "no such container")
    spec = found.spec()
    told = {**found.to_json(), "spec": spec.to_json(), **dockerwords.container(found, spec)}
    if size:
        from mydocker.lifecycle.usage import size_of

        told["SizeRw"] = size_of(f"{found.directory}/upper")
        told["SizeRootFs"] = told["SizeRw"] + sum(map(size_of, found.layers))
    return told


def image(word: str, _: bool) -> dict[str, Any]:
    """The configuration of an image, and the same in Docker's words."""
    from mydocker.cli import dockerwords

    store = Store(Globals.root)
    found = store.get(word)
    own = {"id": found.id, "names": found.names, "layers": found.layers}
    return {**own, **found.config.to_json(), **dockerwords.image(store, found)}


def volume(word: str, _: bool) -> dict[str, Any]:
    """A volume, in Docker's words."""
    from mydocker.cli import volume

    return volume.describe(volume.store().find(word))


def network(word: str, _: bool) -> dict[str, Any]:
    """A network, in Docker's words."""
    from mydocker.network import show

    return show.inspect(Globals.root, word)


LOOKUPS: dict[str, Callable[[str, bool], dict[str, Any]]] = {
    "container": container,
    "image": image,
    "volume": volume,
    "network": network,
}
"""What a name may mean, in this order; each finds an object's description, or raises NotFound."""

COMMAND = Command(
    run,
    "[OPTIONS] OBJECT...",
    "Show containers, images, volumes or networks as JSON.",
    FLAGS,
    least=1,
)
