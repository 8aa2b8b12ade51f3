"""Change a container's limits and its restart policy, also while it runs: `update`.

The limits of a container that runs are files of its control group, which may be written at any
time; the spec is written too, so that they hold for its next life.

Invariant: a limit that the kernel refuses (less memory than is in use) changes nothing at all.
"""

from __future__ import annotations

import json
import time

from mydocker import cgroups
from mydocker.cgroups import convert
from mydocker.errors import Conflict
from mydocker.lifecycle import events, state
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.start import PATIENCE, quiet
from mydocker.linux import files
from mydocker.spec import Resources


def update(
    containers: Containers, word: str, wanted: Resources, policy: tuple[str, int] | None
) -> None:
    """Set the limits that are not None, and the restart policy (and how often at most)."""
    container = quiet(containers, word, time.monotonic() + PATIENCE)
    with containers.changing(container) as now:
        if now.status == "dead":
            raise Conflict("update", word, "could not be removed whole", hint=f"mydocker rm {word}")
        if policy and policy[0] != "no" and now.auto_remove:
            raise Conflict("update", word, "is removed at its end (--rm), so it cannot restart")
        spec = now.spec()
        limits = spec.linux.resources
        changed = {n: v for n in Resources.fields() if (v := getattr(wanted, n)) not in (None, [])}
        group = cgroups.group(now.cgroup_parent, now.id)
        for name, value in changed.items():
            setattr(limits, name, value)
        if changed:
            if now.status in state.UP and now.status != "restarting":
                group.update(wanted)
            else:
                convert.check(limits)
            text = json.dumps(spec.to_json(), indent=2) + "\n"
            files.write_whole(f"{now.directory}/config.json", text)
        if policy:
            now.restart_policy, now.restart_most = policy
    events.container(containers.root, "update", now)
