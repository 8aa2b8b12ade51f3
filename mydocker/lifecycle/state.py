"""The states of a container's life, and every way from one to another: the whole machine is here.

The book's containers are `running` or `exited` (its 5.2, 5.5); these are Docker's::

    created ──> running <──> paused
       ^  \\        │ ^           │
       │   \\       v │           │     from restarting, when the pause of the back-off is over
       │    \\   restarting <────┤
       │     v      v            │
       └──── exited <────────────┘

    created, exited ──> dead            a removal that could only be done in part

`start` takes an exited container back to `created`: from there it comes to life as it did the first
time, and if that fails it is `exited` again. Who changes a state does it under the record's lock
(`Containers.changing`), and the event that goes with it is written there too (events.py).

Invariant: there is no other way. `check` refuses what is not in the table.
"""

from __future__ import annotations

from mydocker.errors import Conflict

TRANSITIONS = {
    ("created", "running"): "start",
    ("created", "exited"): "die",
    ("running", "paused"): "pause",
    ("running", "restarting"): "die",
    ("running", "exited"): "die",
    ("paused", "running"): "unpause",
    ("paused", "restarting"): "die",
    ("paused", "exited"): "die",
    ("restarting", "running"): "start",
    ("restarting", "exited"): "",
    ("exited", "created"): "",
    ("created", "dead"): "",
    ("exited", "dead"): "",
}
"""From a state to a state, and the event that tells of it; empty where Docker tells nothing."""

STATES = ("created", "running", "paused", "restarting", "exited", "dead")

UP = ("running", "paused", "restarting")
"""The states in which a monitor answers for the container."""


def check(name: str, before: str, after: str) -> str:
    """The event of that transition; Conflict if there is no such transition."""
    if (before, after) not in TRANSITIONS:
        raise Conflict("container", name, f"is {before}, cannot become {after}")
    return TRANSITIONS[before, after]
