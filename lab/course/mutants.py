"""Mutants: wrong solutions, each a mistake that students make, and the diagnosis it must get.

`chapters/…/mutants/NAME.toml` says what to change in the reference (old text, new text), at which
step that has to be caught, and by which diagnosis. `python3 -m lab.course.mutants [NAME…]` runs
them; the tests do the same (tests/course).
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from lab.course import runner
from lab.course.manifest import REFERENCE, Chapter, cgroup_version, chapters


@dataclass
class Mutant:
    """One wrong solution of a chapter."""

    chapter: Chapter
    name: str
    title: str
    step: str
    diagnosis: str
    changes: list[dict[str, str]]
    cgroups: int

    @classmethod
    def load(cls, chapter: Chapter, path: Path) -> Mutant:
        """The mutant that a file describes."""
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(
            chapter,
            f"{chapter.name}/{path.stem}",
            data["title"],
            data["step"],
            data["diagnosis"],
            data["change"],
            data.get("cgroups", 0),
        )

    def write(self, work: Path) -> None:
        """Write what a student with this mistake would hand in: all of the chapter, one part wrong.

        ValueError if the reference does not have the text that is to be changed, exactly once.
        """
        texts = {name: (REFERENCE / name).read_text() for name in self.chapter.modules()}
        for change in self.changes:
            text, old = texts[change["module"]], change["old"]
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {change['module']} has {text.count(old)} × {old!r}")
            texts[change["module"]] = text.replace(old, change["new"])
        for name, text in texts.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)

    def check(self, whole: bool = False) -> runner.Result:
        """What the checkpoints say of it: of its step, or (whole) the first failure of all."""
        with tempfile.TemporaryDirectory(prefix="mydocker-mutant-") as directory:
            work = Path(directory)
            self.write(work)
            steps = [step.id for step in self.chapter.steps]
            before = [] if whole else steps[: steps.index(self.step)]
            only = [] if whole else [self.step]
            request = runner.Request(self.chapter, work, only=only, passed=before, needs=whole)
            results = runner.check(request)
        return next((result for result in results if result.outcome == "failed"), results[-1])


def mutants(chapter: Chapter | None = None) -> list[Mutant]:
    """All mutants that can live on this machine's version of cgroups."""
    found = [
        Mutant.load(one, path)
        for one in ([chapter] if chapter else chapters())
        for path in sorted((one.directory / "mutants").glob("*.toml"))
    ]
    return [mutant for mutant in found if mutant.cgroups in (0, cgroup_version())]


def main(names: list[str]) -> int:
    """Run mutants and show what became of them."""
    bad, known = 0, mutants()
    whole = {mutant.name for mutant in known} & set(names)
    for mutant in known:
        wanted = mutant.name in whole or any(n in mutant.name for n in names if n not in whole)
        if names and not wanted:
            continue
        result = mutant.check()
        well = (result.step.id, result.diagnosis) == (mutant.step, mutant.diagnosis)
        bad += not well
        told = f"{result.step.id} {result.diagnosis or result.outcome}"
        print(f"{'ok ' if well else 'BAD'} {mutant.name}: {mutant.step} {mutant.diagnosis}: {told}")
        if not well:
            print(f"    expected {result.expected!r} got {result.got!r} facts {result.facts}")
        sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
