"""`mydocker logs`: what a container wrote (the book's 5.3)."""

from __future__ import annotations

from mydocker.cli import Globals
from mydocker.cli.flags import Command, Flag
from mydocker.errors import Error, NotFound, Usage
from mydocker.lifecycle import moments, readlog, repair
from mydocker.lifecycle.container import now
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.stdio import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("-f --follow", "bool", "go on as it writes, until it has ended"),
    Flag("-n --tail", "value", "only the last so many lines", metavar="N", default="all"),
    Flag("--since", "value", "only from then on: 10m, or 2026-01-02T03:04:05", metavar="TIME"),
    Flag("--until", "value", "only up to then", metavar="TIME"),
    Flag("-t --timestamps", "bool", "when it was written, before each line"),
    Flag("--details", "bool", "what --log-opt labels and env added, before each line"),
]


def run(values: dict[str, Any], words: list[str]) -> int:
    """Copy the log: stdout to stdout, stderr to stderr."""
    containers = Containers(Globals.root)
    container = containers.find(words[0])
    if container.log_driver == "none":
        raise Error("logs", words[0], "has none: it was made with --log-driver none")
    since, until = (moments.parse(values[n], f"--{n}") for n in ("since", "until"))
    printer = Printer(values["timestamps"], values["details"])
    tail, follow = count(values["tail"]), values["follow"]

    def lives() -> bool:
        return (not until or now() <= until) and alive(containers, container.id)

    for batch in readlog.read(f"{container.directory}/log.json", tail, lives if follow else None):
        wanted = [e for e in batch if since <= e["time"] and (not until or e["time"] <= until)]
        if not printer.show(wanted):
            return 141  # nobody reads any more
        if follow and until and batch and batch[-1]["time"] > until:
            break
    return 0


def count(text: str) -> int:
    """`--tail N`; -1 for all of it, which any negative number means too."""
    if text == "all" or (text[:1] == "-" and text[1:].isdigit()):
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Usage("--tail", text, "not a number of lines, nor all")
    return int(text)


def alive(containers: Containers, container_id: str) -> bool:
    """Whether more may come: it runs, or somebody is at work on it, who may write or restart it."""
    try:
        container = repair.put_right(containers, containers.load(container_id))
    except NotFound:
        return False
    return container is not None and (
        container.status in ("running", "paused", "restarting") or container.monitored()
    )


class Printer:
    """Prints entries; what stands before a line is not repeated within one that came in pieces."""

    def __init__(self, timestamps: bool, details: bool) -> None:
        self.timestamps = timestamps
        self.details = details
        self._inside = {"stdout": False, "stderr": False}

    def show(self, entries: list[dict[str, Any]]) -> bool:
        """Write them, a run of one stream's at a time; False when nobody reads any more."""
        pending, stream = b"", "stdout"
        for entry in entries:
            if entry["stream"] != stream:
                if not self._write(stream, pending):
                    return False
                pending, stream = b"", entry["stream"]
            text = entry["log"]
            if not self._inside[stream]:
                text = self._prefix(entry) + text
            self._inside[stream] = not text.endswith("\n")
            pending += text.encode("utf-8", "surrogateescape")
        return self._write(stream, pending)

    def _prefix(self, entry: dict[str, Any]) -> str:
        told = f"{entry['time']} " if self.timestamps else ""
        if self.details:
            pairs = sorted(entry.get("attrs", {}).items())
            told += ",".join(f"{name}={text}" for name, text in pairs) + " "
        return told

    def _write(self, stream: str, data: bytes) -> bool:
        return write_all(1 if stream == "stdout" else 2, data)


COMMAND = Command(
    run, "[OPTIONS] CONTAINER", "Show what a container wrote.", FLAGS, least=1, most=1
)
