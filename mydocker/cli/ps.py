"""`mydocker ps`: the containers, as the kernel sees them (the book's 5.2)."""

from __future__ import annotations

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag
from mydocker.lifecycle import repair
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-a --all", "bool", "also those that do not run"),
    Flag("-q --quiet", "bool", "only the ids"),
    Flag("--no-trunc", "bool", "whole ids and commands"),
]


def run(values: dict[str, Any], _: list[str]) -> None:
    """Print one line a container."""
    containers = repair.everything(Containers(Globals.root))
    shown = [c for c in containers if values["all"] or c.status in ("running", "paused")]
    width = 64 if values["no_trunc"] else 12
    if values["quiet"]:
        for container in shown:
            print(container.id[:width])
        return
    header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    rows = [
        [
            c.id[:width],
            c.image,
            table.command(c.command, values["no_trunc"]),
            f"{table.ago(c.created)} ago",
            status(c),
            "",
            c.name,
        ]
        for c in shown
    ]
    table.show(header, rows)


def status(container: Container) -> str:
    """Docker's words: `Up 3 minutes`, `Exited (137) 2 hours ago`, `Created`."""
    if container.status == "running":
        return f"Up {table.ago(container.started_at)}"
    if container.status == "paused":
        return f"Up {table.ago(container.started_at)} (Paused)"
    if container.status == "exited":
        return f"Exited ({container.exit_code}) {table.ago(container.finished_at)} ago"
    return container.status.capitalize()


COMMAND = Command(run, "[OPTIONS]", "List containers.", FLAGS, most=0)
