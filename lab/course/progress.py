"""What has passed, remembered in `work/.progress.json` together with a hash of what passed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lab.course import views
from lab.course.manifest import CHECKOUT, Chapter, Step, chapters
from lab.course.words import say

WORK = Path(os.environ.get("LAB_WORK") or CHECKOUT / "work")


class Progress:
    """The file, read once; what changes is written at once, and whole."""

    def __init__(self, work: Path = WORK) -> None:
        self.work = work
        self.path = work / ".progress.json"
        try:
            data = json.loads(self.path.read_text())
            self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        except (OSError, ValueError):
            self.data = {}

    def save(self) -> None:
        """Write it, if there is a `work/` to write to."""
        if not self.work.is_dir():
            return
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1) + "\n")
        new.replace(self.path)
        own(new.parent, self.path)

    def of(self, chapter: Chapter) -> dict[str, Any]:
        """What is known of a chapter: steps (id to passed), hash."""
        known: dict[str, Any] = self.data.setdefault(chapter.name, {})
        known.setdefault("steps", {})
        return known

    def record(
        self, chapter: Chapter, passed: dict[str, bool], content: str, part: bool = False
    ) -> None:
        """Remember the outcome of a run of the chapter's checkpoints; only of a `part` of them,
        it does not vouch for what is in `work/` as a whole."""
        known = self.of(chapter)
        if part:
            known["steps"].update(passed)
        else:
            known.update(steps=passed, hash=content)
        self.save()

    def passed(self, chapter: Chapter) -> bool:
        """Whether all steps have passed, on exactly what is in `work/` now."""
        known = self.of(chapter)
        whole = all(known["steps"].get(step.id) for step in chapter.steps)
        return whole and known.get("hash") == views.content(chapter, self.work)

    def step_passed(self, step: Step) -> bool:
        """Whether this step passed when it was looked at last."""
        return bool(self.of(step.chapter)["steps"].get(step.id))

    def next_hint(self, step: Step) -> int:
        """Which hint is due, counted from 0; the next call gives the one after it."""
        hints: dict[str, int] = self.data.setdefault("hints", {})
        number = min(hints.get(step.id, 0), len(step.hints) - 1)
        hints[step.id] = number + 1
        self.save()
        return number

    def others(self, chapter: Chapter) -> list[str]:
        """The modules of other chapters that are taken from `work/`: those that have passed."""
        own = set(chapter.modules())
        names = [
            name
            for other in chapters()
            if other is not chapter and self.passed(other)
            for name in other.modules()
            if name not in own
        ]
        return [*names, *views.extras(self.work)]

    def mix(self, chapter: Chapter, pure: bool = False) -> str:
        """The line that tells whose code runs."""
        return " · ".join(self._mixed(one, one is chapter, pure) for one in chapters())

    def _mixed(self, one: Chapter, tested: bool, pure: bool) -> str:
        there = bool(views.content(one, self.work))
        if tested:
            return say("mix-yours-test" if there else "mix-reference-test", name=one.name)
        if not there:
            return say("mix-reference", name=one.name)
        if pure:
            return say("mix-pure", name=one.name)
        if self.passed(one):
            return say("mix-yours-ok", name=one.name)
        steps = self.of(one)["steps"]
        failed = [step for step in one.steps if not steps.get(step.id)]
        if failed:
            return say("mix-open", name=one.name, step=failed[0].id.partition(".")[2])
        return say("mix-changed", name=one.name)


def own(like: Path, *paths: Path) -> None:
    """Give files made by `sudo make` to the user whose checkout it is."""
    owner = CHECKOUT.stat()
    for path in (like, *paths):
        if os.geteuid() == 0 and owner.st_uid and path.exists():
            os.chown(path, owner.st_uid, owner.st_gid)
