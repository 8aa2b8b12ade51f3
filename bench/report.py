"""From samples to figures, and from figures to tables.

Tables are Markdown that reads well as it is: a document can take them over unchanged.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from bench.works import Work

SCATTERED = 0.25
"""How much of the median may lie between the quarters, on a machine that does nothing else."""


class Figures(NamedTuple):
    """What one engine's samples come to: the median, the quarters beside it, the least."""

    median: float
    q1: float
    q3: float
    least: float
    samples: list[float]

    @classmethod
    def of(cls, samples: list[float]) -> Figures:
        """The figures of two samples or more."""
        q1, middle, q3 = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, q1, q3, min(samples), samples)

    @property
    def scattered(self) -> bool:
        """Whether something else must have been at work: half of the samples lie far apart."""
        return self.q3 - self.q1 > SCATTERED * self.median


class Verdict(NamedTuple):
    """mydocker against one budget: its median as a multiple of that of the slowest of `against`."""

    against: list[str]
    ratio: float
    budget: float
    aim: float
    met: bool


class Result(NamedTuple):
    """One work: the figures of each engine by name, and a verdict for each budget."""

    work: Work
    engines: dict[str, Figures]
    verdicts: list[Verdict]

    @classmethod
    def of(cls, work: Work, samples: dict[str, list[float]]) -> Result:
        """What the samples of a work come to; budgets without a measured peer are left out."""
        engines = {name: Figures.of(values) for name, values in samples.items()}
        verdicts = []
        for budget in work.budgets:
            peers = [engines[name].median for name in budget.against if name in engines]
            if peers:
                ratio = engines["mydocker"].median / max(peers)
                met = ratio <= budget.most
                verdicts.append(Verdict([*budget.against], ratio, budget.most, budget.aim, met))
        return cls(work, engines, verdicts)

    def to_json(self) -> dict[str, object]:
        """As it is written to build/bench.json."""
        return {
            "title": self.work.title,
            "unit": self.work.unit,
            "engines": {name: figures._asdict() for name, figures in self.engines.items()},
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
        }

    def show(self, versions: dict[str, str]) -> str:
        """The two tables: what each engine took, and what that means for the budgets."""
        times = [
            [f"{name} {versions[name]}", *(f"{value:.1f}" for value in figures[:4])]
            for name, figures in self.engines.items()
        ]
        ratios = [
            [
                " or ".join(verdict.against),
                f"{verdict.ratio:.2f}",
                f"≤ {verdict.budget}",
                "met" if verdict.met else "not met",
                f"≤ {verdict.aim}",
            ]
            for verdict in self.verdicts
        ]
        head = [f"{self.work.title}, {self.work.unit}", "median", "quarter", "three q.", "least"]
        judged = ["mydocker takes … of", "ratio", "budget", "is", "aim"]
        return "\n\n".join([table(head, times), *([table(judged, ratios)] if ratios else [])])


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table with its columns in line: the first to the left, figures to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        f"| {row[0]:{widths[0]}} | "
        + " | ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        + " |"
        for row in [head, rule, *rows]
    )
