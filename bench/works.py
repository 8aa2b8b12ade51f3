"""What is measured, and what it may cost: a class for each work, with its rows of the budgets.

To add one, write a class with `sample`, and add it to WORKS.
"""

from __future__ import annotations

from typing import NamedTuple

from bench import host
from bench.engines import Docker, Engine, Podman, Runc


class Budget(NamedTuple):
    """mydocker's median as a multiple of a peer's, of the slowest if there are several."""

    against: tuple[str, ...]
    most: float
    aim: float


class Work:
    """Something that mydocker and its peers can do."""

    name: str
    title: str
    unit = "ms"
    peers: tuple[type[Engine], ...]
    budgets: tuple[Budget, ...]

    def prepare(self, engine: Engine) -> None:
        """Make what the work needs; not measured."""

    def sample(self, engine: Engine) -> float:
        """Do it once, and return what it cost, in `unit`."""
        raise NotImplementedError


class Run(Work):
    """From nothing to a container that has run `true`, and away again."""

    name = "run"
    title = "`run --rm busybox true`, no network"
    peers = (Runc, Podman, Docker)
    budgets = (
        Budget(("runc",), 2.5, 1.0),
        Budget(("podman",), 0.4, 0.15),
        Budget(("docker",), 0.4, 0.15),
    )

    def sample(self, engine: Engine) -> float:
        began, ended = host.timed(engine.run("--network", "none"), engine.environment)
        return (ended - began) / 1e6


WORKS: tuple[Work, ...] = (Run(),)
