"""`mydocker stats`: what containers use, as a table that renews itself each second."""

from __future__ import annotations

import os
import sys
import time

from mydocker.cli import Globals, table
from mydocker.cli.flags import Command, Flag
from mydocker.cli.format import Format
from mydocker.cli.template import Record
from mydocker.errors import NotFound
from mydocker.lifecycle import repair, stats
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-a --all", "bool", "also those that do not run"),
    Flag("--no-stream", "bool", "once, and no more"),
    Flag("--no-trunc", "bool", "whole ids"),
    Flag("--format", "value", "json, or a template such as '{{.CPUPerc}}'", metavar="TEMPLATE"),
]

HEADINGS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
    "Container": "CONTAINER",
}
USUAL = "table " + "\t".join(f"{{{{.{name}}}}}" for name in [*HEADINGS][:-1])

FIRST, AGAIN = 0.4, 1.0
"""Seconds between the looks that a percentage is made from: at the beginning, and later on."""
CLEAR = "\033[H\033[J"


def run(values: dict[str, Any], words: list[str]) -> int:
    """Print a line a container, once or again and again."""
    told = Format(values["format"] or USUAL, HEADINGS)
    containers = Containers(Globals.root)
    for word in words:
        containers.find(word)
    before: dict[str, stats.Sample] = {}
    live = os.isatty(1) and not values["no_stream"] and values["format"] is None
    while True:
        shown = chosen(containers, words, values["all"])
        first = {c.id: stats.sample(c) for c in shown} | before
        time.sleep(AGAIN if before else FIRST)
        before = {c.id: stats.sample(c) for c in shown}
        if live:
            print(CLEAR, end="")
        told.show(fields(c, first[c.id], before[c.id], values["no_trunc"]) for c in shown)
        sys.stdout.flush()
        if values["no_stream"] or (words and not shown):
            return 0


def chosen(containers: Containers, words: list[str], everything: bool) -> list[Container]:
    """The named containers as far as they are there, else those that run, else all."""
    if not words:
        found = repair.everything(containers)
        return [c for c in found if everything or c.status in ("running", "paused")]
    named = []
    for word in words:
        try:
            container = repair.put_right(containers, containers.find(word))
        except NotFound:
            continue
        named += [container] if container else []
    return named


def fields(container: Container, first: stats.Sample, last: stats.Sample, whole: bool) -> Record:
    """One line; nothing is known of a container that does not run."""
    group, limit = last.group, stats.memory_limit(last)
    runs = container.alive()
    return Record(
        {
            "ID": container.id if whole else container.short_id,
            "Container": container.id if whole else container.short_id,
            "Name": container.name,
            "CPUPerc": f"{stats.cpu_percent(first, last):.2f}%" if runs else "--",
            "MemUsage": f"{binary(group.memory_usage)} / {binary(limit)}" if runs else "-- / --",
            "MemPerc": f"{100 * group.memory_usage / limit:.2f}%" if runs else "--",
            "NetIO": f"{table.size(last.received)} / {table.size(last.sent)}" if runs else "--",
            "BlockIO": both(group.block_read, group.block_write) if runs else "--",
            "PIDs": str(group.pids) if runs else "--",
        }
    )


def both(read: int, written: int) -> str:
    """Two sizes, as Docker writes them."""
    return f"{table.size(read)} / {table.size(written)}"


def binary(count: int) -> str:
    """Bytes with four digits and a unit of 1024s, as Docker writes memory: 1.934MiB."""
    value, unit = float(count), "B"
    for following in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, following
    return f"{value:.4g}{unit}"


COMMAND = Command(run, "[OPTIONS] [CONTAINER...]", "Show what containers use, live.", FLAGS)
