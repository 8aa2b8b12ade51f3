"""Containers that nobody needs any more, removed in one go: `container prune`."""

from __future__ import annotations

from mydocker.errors import Conflict, NotFound
from mydocker.lifecycle import moments, repair, select
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.remove import remove
from mydocker.lifecycle.usage import size_of

FILTERS = ["until", "label"]


def containers(root: str, filters: list[str]) -> tuple[list[str], int]:
    """Remove what has ended or never began; their ids, and the bytes that they had written.

    One that is started meanwhile stays, and so does one that is being made.
    """
    wanted = select.read(filters, FILTERS)
    limits = [moments.parse(text, "--filter until") for text in wanted.get("until", [])]
    all_of_them = Containers(root)
    removed, freed = [], 0
    for container in repair.everything(all_of_them):
        if not idle(container) or any(container.created > limit for limit in limits):
            continue
        if not all(select.has_label(container.labels, label) for label in wanted.get("label", [])):
            continue
        size = size_of(f"{container.directory}/upper")
        try:
            remove(all_of_them, container.id)
        except (Conflict, NotFound):
            continue
        removed.append(container.id)
        freed += size
    return removed, freed


def idle(container: Container) -> bool:
    """Whether it neither runs nor is on its way."""
    return container.status in ("created", "exited", "dead") and not container.monitored()
