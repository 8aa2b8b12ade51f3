"""`mydocker ps`: the containers, as the kernel sees them (the book's 5.2).

The columns are Docker's. The book's own are a format: `ps -a --format 'table {{.ID}}\\t{{.Names}}
\\t{{.Pid}}\\t{{.State}}\\t{{.Command}}\\t{{.Created}}'`, in one line.
"""

from __future__ import annotations

import sys

from mydocker.cli import Globals, report, table
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error, Usage
from mydocker.lifecycle import reach, repair
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.cli.template import Record

UP = ("running", "paused", "restarting")

FLAGS = [
    Flag("-a --all", "bool", "also those that do not run"),
    Flag("-q --quiet", "bool", "only the ids"),
    Flag("-n --last", "value", "the last so many, in whatever state", metavar="N", convert=int),
    Flag("-l --latest", "bool", "the one that was made last, in whatever state"),
    Flag("--no-trunc", "bool", "whole ids and commands"),
    Flag("-s --size", "bool", "also how much they wrote"),
    Flag("-f --filter", "list", "those that fit: status=exited, name=…", metavar="KEY=VALUE"),
    Flag("--format", "value", "json, or a template such as '{{.ID}}'", metavar="TEMPLATE"),
]

HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "CreatedAt": "CREATED AT",
    "State": "STATE",
    "Pid": "PID",
    "Created": "CREATED",
    "ExitCode": "EXIT CODE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
"""The fields of `--format`, and what heads their column; the first seven are the usual table."""


def run(values: dict[str, Any], _: list[str]) -> None:
    """Print one line a container; a record that is damaged is told on stderr."""
    containers = Containers(Globals.root)
    show(chosen(containers, values), values)
    sys.stdout.flush()
    for error in containers.damaged:
        report(error)


def show(shown: list[Container], values: dict[str, Any]) -> None:
    """Print them as the flags want it."""
    if values["quiet"] and not values["format"]:
        for container in shown:
            print(container.id if values["no_trunc"] else container.short_id)
    elif values["format"]:
        formatted(shown, values)
    else:
        names = [*HEADINGS][: 8 if values["size"] else 7]
        rows = [fields(c, values["no_trunc"], size=values["size"]) for c in shown]
        table.show([HEADINGS[n] for n in names], [[str(row[n]) for n in names] for row in rows])


def chosen(containers: Containers, values: dict[str, Any]) -> list[Container]:
    """The containers that the flags ask for, newest first."""
    last = 1 if values["latest"] else values["last"]
    everything = values["all"] or last is not None
    found = repair.everything(containers)
    if values["filter"]:
        from mydocker.lifecycle import select

        found = select.choose(containers, found, values["filter"])
        # Who asks for a state, or for an exit code, has said already that it need not run.
        asked = {word.partition("=")[0] for word in values["filter"]}
        everything = everything or bool(asked & {"status", "exited"})
    shown = [c for c in found if everything or c.status in UP]
    if last is not None and last < -1:
        raise Usage("--last", str(last), "not a count")
    return shown if last in (None, -1) else shown[:last]


def formatted(shown: list[Container], values: dict[str, Any]) -> None:
    """Print them by a template; what is dear to find out only if it asks for it."""
    from mydocker.cli.format import Format

    wanted = Format(values["format"], HEADINGS, Label=lambda name: name)
    size = values["size"] or wanted.template.mentions("Size")
    files = any(map(wanted.template.mentions, ("", "Mounts", "LocalVolumes", "Networks")))
    wanted.show(record(fields(c, values["no_trunc"], size, files), c) for c in shown)


def record(known: dict[str, Any], container: Container) -> Record:
    """The fields as a template takes them, with `{{.Label "name"}}`."""
    from mydocker.cli.template import Record

    return Record(known, Label=lambda name: container.labels.get(name, ""))


def fields(
    container: Container, whole: bool, size: bool = False, files: bool = False
) -> dict[str, Any]:
    """All that a line can show, by Docker's names; our own are Pid, Created and ExitCode."""
    created = container.created
    return {
        "ID": container.id if whole else container.short_id,
        "Image": container.image,
        "Command": table.command(container.command, whole),
        "RunningFor": f"{table.ago(created)} ago",
        "Status": status(container),
        "Ports": reach.ports(container),
        "Names": container.name,
        "Size": written(container) if size else "0B",
        "CreatedAt": f"{created[:10]} {created[11:19]} +0000 UTC",
        "State": container.status,
        "Pid": container.pid,
        "Created": created,
        "ExitCode": container.exit_code,
        "Labels": ",".join(f"{name}={text}" for name, text in sorted(container.labels.items())),
        **(from_the_spec(container, whole) if files else {}),
    }


def from_the_spec(container: Container, whole: bool) -> dict[str, Any]:
    """What stands in the spec, and not in the record; nothing if that is damaged."""
    from mydocker.lifecycle import select

    try:
        mounts, networks = select.mounts(container), select.network_names(container)
    except Error:
        mounts, networks = [], []
    names = [select.volume_name(m, container) or m.source for m in mounts if m.type != "tmpfs"]
    short = [name if whole or len(name) <= 15 else f"{name[:14]}…" for name in names]
    return {
        "Mounts": ",".join(short),
        "LocalVolumes": len(container.volumes),
        "Networks": ",".join(networks),
    }


def written(container: Container) -> str:
    """How much the container wrote into its upper directory, and with its image's layers."""
    from mydocker.lifecycle.usage import size_of

    own = size_of(f"{container.directory}/upper")
    below = sum(map(size_of, container.layers))
    return f"{table.size(own)} (virtual {table.size(own + below)})"


def status(container: Container) -> str:
    """Docker's words: `Up 3 minutes`, `Exited (137) 2 hours ago`, `Created`."""
    if container.status == "running":
        health = "health: starting" if container.health == "starting" else container.health
        return f"Up {table.ago(container.started_at)}" + (f" ({health})" if health else "")
    if container.status == "paused":
        return f"Up {table.ago(container.started_at)} (Paused)"
    if container.status in ("exited", "restarting"):
        how = f"{container.status.capitalize()} ({container.exit_code})"
        return f"{how} {table.ago(container.finished_at)} ago"
    return container.status.capitalize()


COMMAND = Command(run, "[OPTIONS]", "List containers.", FLAGS, most=0)
