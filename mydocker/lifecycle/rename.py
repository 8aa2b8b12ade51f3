"""Another name for a container: `rename`.

Invariant: at every moment the container has a name of its own, the old one or the new one. A crash
in between leaves a second one, which goes with the container, with the next try, or by `system
check --repair`.
"""

from __future__ import annotations

import os

from mydocker.errors import Conflict
from mydocker.lifecycle import events, names
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.repair import real


def rename(containers: Containers, word: str, name: str) -> None:
    """Take the new name, note it in the record, give the old one back; Conflict if it is taken."""
    container = real(containers, word)
    names.check(name)
    with containers.changing(container) as now:
        old = now.name
        if name == old and not containers.give_back(now.former_name, now.id):
            raise Conflict("rename", name, "is its name already")
        if name != old:
            now.name, now.former_name = name, old
            containers.rename(now)
    if os.path.exists(f"{now.directory}/network.json"):
        from mydocker.network import members

        members.rename(containers.root, now.id, name)
    events.container(containers.root, "rename", now, oldName=old)
