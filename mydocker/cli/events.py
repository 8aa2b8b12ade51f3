"""`mydocker events`: tell what happens to containers, as it happens."""

from __future__ import annotations

import json
import sys

from mydocker.cli import Globals, printable
from mydocker.cli.flags import Command, Flag
from mydocker.cli.format import Format
from mydocker.cli.template import Record
from mydocker.errors import Usage
from mydocker.lifecycle import happenings, moments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = [
    Flag("--since", "value", "also what happened since then", metavar="TIME"),
    Flag("--until", "value", "end then", metavar="TIME"),
    Flag("-f --filter", "list", "container=, event=, image=, label=, type=", metavar="KEY=VALUE"),
    Flag("--format", "value", "json, or a template such as '{{.Action}}'", metavar="TEMPLATE"),
]


JSON = ("json", "{{json .}}")


def run(values: dict[str, Any], _: list[str]) -> None:
    """Print a line an event, until the end that was asked for, or for ever."""
    wanted = happenings.filters(values["filter"])
    since, until = moment(values["since"], "--since"), moment(values["until"], "--until")
    if values["format"] and values["format"].startswith("table"):
        raise Usage("--format", values["format"], "what never ends is no table")
    told = Format(values["format"], {}) if values["format"] not in (None, *JSON) else None
    for event in happenings.follow(Globals.root, since, until):
        if not happenings.fits(event, wanted):
            continue
        if told:
            told.show([Record(docker(event) | older_names(event))])
        else:
            print(json.dumps(docker(event)) if values["format"] else printable(line(event)))
        sys.stdout.flush()


def moment(text: str | None, flag: str) -> int | None:
    """Nanoseconds since 1970."""
    return None if text is None else moments.nanoseconds(text, flag)


def line(event: dict[str, Any]) -> str:
    """`TIME container start ID (image=busybox, name=bird)`, as Docker has it."""
    pairs = ", ".join(f"{name}={text}" for name, text in sorted(event["attributes"].items()))
    when = moments.write(event["time"])
    return f"{when} {event['type']} {event['action']} {event['id']} ({pairs})"


def docker(event: dict[str, Any]) -> dict[str, Any]:
    """The event in the words of Docker's API."""
    return {
        "status": event["action"],
        "id": event["id"],
        "from": event["attributes"].get("image", ""),
        "Type": event["type"],
        "Action": event["action"],
        "Actor": {"ID": event["id"], "Attributes": event["attributes"]},
        "scope": "local",
        "time": event["time"] // 10**9,
        "timeNano": event["time"],
    }


def older_names(event: dict[str, Any]) -> dict[str, Any]:
    """The same for a template, where all names begin with a capital."""
    known = docker(event)
    names = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time"}
    return {name: known[key] for name, key in (names | {"TimeNano": "timeNano"}).items()}


COMMAND = Command(run, "[OPTIONS]", "Tell what happens to containers.", FLAGS, most=0)
