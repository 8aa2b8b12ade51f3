"""A chapter as its `chapter.toml` describes it: steps, the functions to write, hints, diagnoses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lab.course.words import language

CHECKOUT = Path(__file__).resolve().parents[2]
CHAPTERS = CHECKOUT / "chapters"
REFERENCE = CHECKOUT / "mydocker"


class Mistake(Exception):
    """Something that the user of the lab has to put right; one line, and a hint."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


@cache
def cgroup_version() -> int:
    """The version of cgroups that this machine's limits are on."""
    from mydocker.cgroups import hierarchies

    return hierarchies.in_use()[0].version


@dataclass(frozen=True)
class Function:
    """A function to write: the module's path in the package, and the name (`Class.method`)."""

    module: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Function:
        """`sandbox/namespaces.py:make` in parts."""
        module, _, name = text.partition(":")
        return cls(module, name)


@dataclass
class Step:
    """One exercise. Texts come in the user's language, English where there is no other."""

    id: str
    data: dict[str, Any]
    chapter: Chapter = field(repr=False)

    def text(self, key: str) -> str:
        """One of the step's texts: title, teaches."""
        return str(self.data.get(f"{key}_{language()}") or self.data.get(key, ""))

    @property
    def title(self) -> str:
        """What the step is called on the board."""
        return self.text("title")

    @property
    def book(self) -> str:
        """The section of the book."""
        return str(self.data["book"])

    @property
    def points(self) -> int:
        """What the step is worth."""
        return int(self.data["points"])

    @property
    def needs(self) -> list[str]:
        """The steps without which this one cannot be judged."""
        return list(self.data.get("needs", []))

    @property
    def hints(self) -> list[str]:
        """Nudge, mechanism, almost code."""
        return list(self.data.get(f"hints_{language()}") or self.data["hints"])

    @property
    def address(self) -> str:
        """Where the step is explained."""
        page = "README.zh.md" if language() == "zh" else "README.md"
        return f"chapters/{self.chapter.directory.name}/{page}#step-{self.id.replace('.', '-')}"

    def functions(self, version: int = 0) -> list[Function]:
        """What is to be written, on a machine with this version of cgroups."""
        version = version or cgroup_version()
        names = [*self.data.get("write", []), *self.data.get(f"write_v{version}", [])]
        return [Function.parse(name) for name in names]

    def diagnosis(self, key: str) -> str:
        """The sentence that says what is wrong; empty if the step has none of that name."""
        texts = self.data.get("diagnoses", {}).get(key, {})
        return str(texts.get(language()) or texts.get("en", ""))


class Chapter:
    """One chapter of the course."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = tomllib.loads((directory / "chapter.toml").read_text(encoding="utf-8"))
        self.number = int(self.data["number"])
        self.steps = [Step(str(data["id"]), data, self) for data in self.data["steps"]]

    @property
    def name(self) -> str:
        """The short name: ch3."""
        return f"ch{self.number}"

    @property
    def title(self) -> str:
        """The title, in the user's language."""
        return str(self.data.get(f"title_{language()}") or self.data["title"])

    @property
    def points(self) -> int:
        """What the whole chapter is worth."""
        return sum(step.points for step in self.steps)

    def step(self, name: str) -> Step:
        """The step of that number, such as 4.2."""
        for step in self.steps:
            if step.id == name:
                return step
        known = ", ".join(step.id for step in self.steps)
        raise Mistake(f"there is no step {name}", f"chapter {self.number} has {known}")

    def modules(self, version: int = 0) -> list[str]:
        """The modules that have something to write in them."""
        found = {f.module: True for step in self.steps for f in step.functions(version)}
        return list(found)


@cache
def chapters() -> list[Chapter]:
    """All chapters there are, in order."""
    found = [Chapter(path.parent) for path in CHAPTERS.glob("*/chapter.toml")]
    return sorted(found, key=lambda chapter: chapter.number)


def chapter(number: str) -> Chapter:
    """A chapter by its number (`4` or `ch4`)."""
    for one in chapters():
        if number.removeprefix("ch") == str(one.number):
            return one
    known = " ".join(one.name for one in chapters())
    raise Mistake(f"there is no chapter {number!r}", f"there are {known}")


def step(name: str) -> Step:
    """A step by its number, in whichever chapter."""
    return chapter(name.partition(".")[0]).step(name)
