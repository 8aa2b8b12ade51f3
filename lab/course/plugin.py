"""The checkpoints as pytest runs them: in the order of the steps, each on its own view and host.

A checkpoint is a test marked with its step. What becomes of each step is written, a line of JSON
each, to the descriptor in LAB_RESULTS, for the lab to show. See runner.py for the other side.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.course import manifest, views
from lab.course.host import Host, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN: dict[str, Any] = json.loads(os.environ.get("LAB_RUN", "{}"))
"""What runner.py asks for: chapter, work, others, only, needs, scratch, stock, launcher, pure."""

ITEM = pytest.StashKey[str]()


class Session:
    """The chapter under test, and what is known of its steps so far."""

    def __init__(self) -> None:
        self.chapter = manifest.chapter(str(RUN["chapter"]))
        self.work = Path(RUN["work"]) if RUN.get("work") else None
        self.failed: dict[str, dict[str, Any]] = {}
        self.left: dict[str, int] = {}
        self.spent: dict[str, float] = {}
        self.passed: set[str] = set(RUN.get("passed", []))
        self.views: dict[str, Path] = {}

    def view(self, step: manifest.Step) -> dict[str, str]:
        """What to start mydocker with for this step."""
        if self.work is None:
            return {"MYDOCKER_REFERENCE": "1"}
        if RUN.get("pure"):
            return {"MYDOCKER_WORK": str(self.work), "MYDOCKER_PURE": "1"}
        if step.id not in self.views:
            directory = Path(RUN["scratch"]) / f"view-{step.id}"
            passed = {one.id for one in self.chapter.steps} if RUN.get("whole") else self.passed
            files = views.build(self.chapter, step, passed, self.work, RUN.get("others", []))
            views.write(files, directory)
            self.views[step.id] = directory
        return {"MYDOCKER_WORK": str(self.views[step.id])}

    def tell(self, step: str, outcome: str, **facts: Any) -> None:
        """One line for the lab."""
        line = {"step": step, "outcome": outcome, "seconds": self.spent.get(step, 0.0), **facts}
        os.write(int(os.environ["LAB_RESULTS"]), json.dumps(line).encode() + b"\n")


SESSION = Session() if RUN else None


def step_of(item: pytest.Item) -> str:
    """The step that a checkpoint belongs to."""
    marker = item.get_closest_marker("step")
    if marker is None:
        raise pytest.UsageError(f"{item.nodeid} is marked with no step")
    return str(marker.args[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Number the checkpoints by step, for pytest-order; leave out what was not asked for."""
    if SESSION is None:
        raise pytest.UsageError("the checkpoints run in a box of their own: make ch3")
    order = [step.id for step in SESSION.chapter.steps]
    only = RUN.get("only") or order
    kept = []
    for item in items:
        step = step_of(item)
        if step not in order:
            raise pytest.UsageError(f"{item.nodeid}: the chapter has no step {step}")
        item.stash[ITEM] = step
        item.add_marker(pytest.mark.order(order.index(step)))
        if step in only:
            kept.append(item)
            SESSION.left[step] = SESSION.left.get(step, 0) + 1
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A step whose prerequisite failed is not looked at, nor is the rest of one that failed."""
    assert SESSION is not None
    name = item.stash[ITEM]
    step = SESSION.chapter.step(name)
    if name in SESSION.failed:
        pytest.skip("the step has failed already")
    if RUN.get("needs", True):
        missing = [need for need in step.needs if need in SESSION.failed]
        if missing:
            pytest.skip(f"needs {missing[0]}")


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A host for this checkpoint, with a mydocker whose code is the view of the step."""
    assert SESSION is not None
    step = SESSION.chapter.step(request.node.stash[ITEM])
    network = request.node.get_closest_marker("network") is not None
    made = Host(
        RUN["launcher"],
        tmp_path / "host",
        Path(RUN["stock"]),
        SESSION.view(step),
        network,
        RUN["groups"],
    )
    yield made
    made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note how each checkpoint went, and tell it when its step is through."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    assert SESSION is not None
    name = item.stash[ITEM]
    SESSION.spent[name] = SESSION.spent.get(name, 0.0) + call.duration
    if report.skipped and name not in SESSION.failed:
        reason = str(call.excinfo.value) if call.excinfo else ""
        SESSION.failed[name] = {"outcome": "skipped", "needs": reason.removeprefix("needs ")}
        if not reason.startswith("needs "):
            SESSION.failed[name] = {"outcome": "unfit", "needs": reason}
    elif report.failed and name not in SESSION.failed and call.excinfo is not None:
        SESSION.failed[name] = {"outcome": "failed", "test": item.name, **judge(call.excinfo.value)}
    if report.when == "teardown":
        SESSION.left[name] -= 1
        if SESSION.left[name] == 0:
            if name in SESSION.failed:
                SESSION.tell(name, **SESSION.failed[name])
            else:
                SESSION.passed.add(name)
                SESSION.tell(name, "passed")


def judge(error: BaseException) -> dict[str, Any]:
    """An exception of a checkpoint as what is told of it."""
    if isinstance(error, Wrong):
        names = ("diagnosis", "expected", "got", "see")
        work = f"{RUN['work']}/" if RUN.get("work") else "work/"
        facts = {name: text.replace(work, "work/") for name, text in error.facts.items()}
        return {**{name: getattr(error, name) for name in names}, "facts": facts}
    if isinstance(error, views.Unfit):
        return {"diagnosis": error.diagnosis, "facts": error.facts}
    if "Timeout" in str(error):
        facts = {"seconds": str(error).strip("Timeout >s"), "waits": ""}
        return {"diagnosis": "hangs", "facts": facts}
    text = f"{type(error).__name__}: {error}"
    return {"diagnosis": "broken-check", "facts": {"error": text[:500]}}


def pytest_sessionfinish() -> None:
    """Say when it was that all was done, so that a cut-off run is known for one."""
    if SESSION is not None:
        SESSION.tell("", "end", at=time.time())
