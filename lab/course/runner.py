"""Run a chapter's checkpoints: in a box (contain.py), with pytest, results as they come."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.course import words
from lab.course.contain import Box
from lab.course.host import removed, thaw
from lab.course.manifest import CHECKOUT, Chapter, Mistake, Step
from lab.course.words import language, say
from mydocker.cgroups import hierarchies, tree
from mydocker.linux import process

if TYPE_CHECKING:
    from collections.abc import Callable

SLOWER = float(os.environ.get("LAB_PATIENCE", "1"))
GROUPS = "mydocker-lab-"
"""How the names of the control groups begin that checkpoints use."""

LIMIT = 240.0 * SLOWER
"""Seconds for a whole chapter."""


@dataclass
class Result:
    """What became of one step: passed, failed, skipped (its prerequisite failed)."""

    step: Step
    outcome: str
    seconds: float = 0.0
    needs: str = ""
    diagnosis: str = ""
    expected: str = ""
    got: str = ""
    see: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether it counts."""
        return self.outcome == "passed"

    def why(self) -> str:
        """The diagnosis as a sentence, in the user's language."""
        text = self.step.diagnosis(self.diagnosis)
        if not text and self.diagnosis in words.COMMON:
            text = words.COMMON[self.diagnosis][language() == "zh"]
        values = dict.fromkeys(("what", "module", "error", "place", "seconds", "waits"), "")
        try:
            return (text or self.diagnosis).format(**{**values, **self.facts})
        except (KeyError, IndexError):
            return text


@dataclass
class Request:
    """What to run. work: the student's directory, None for the reference."""

    chapter: Chapter
    work: Path | None = None
    others: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    needs: bool = True
    pure: bool = False
    passed: list[str] = field(default_factory=list)
    verbose: bool = False
    token: str = field(default_factory=lambda: secrets.token_hex(4))


def check(request: Request, tell: Callable[[Result], None] = lambda result: None) -> list[Result]:
    """The results of the chapter's steps, in order; `tell(result)` is called as each comes."""
    if os.geteuid() != 0:
        raise Mistake(say("root"), f"sudo make {request.chapter.name}")
    base = work_place()
    reading, writing = os.pipe()
    log = os.memfd_create("pytest") if not request.verbose else os.dup(2)
    scratch = base / "box"
    box = None
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        stock = stocked(base)
        try:
            box = Box(str(scratch), lambda: _pytest(request, scratch, stock, reading, writing, log))
            os.close(writing)
            writing = -1
            return _collect(request, box, reading, log, tell)
        finally:
            if box:
                box.end()
            remove_groups(f"{GROUPS}{request.token}-")
            for fd in (reading, writing, log):
                if fd >= 0:
                    os.close(fd)


def _collect(
    request: Request, box: Box, reading: int, log: int, tell: Callable[[Result], None]
) -> list[Result]:
    results, rest, ended = [], b"", False
    deadline = time.monotonic() + LIMIT
    while not ended and time.monotonic() < deadline:
        ready, _, _ = select.select([reading], [], [], 0.5)
        data = os.read(reading, 1 << 16) if ready else b""
        if ready and not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in map(json.loads, lines):
            if line["outcome"] == "end":
                ended = True
                continue
            result = _result(request.chapter, line)
            results.append(result)
            tell(result)
    if not ended:
        killed = box.wait(1.0) > 128
        left = [
            step for step in request.chapter.steps if step.id not in {r.step.id for r in results}
        ]
        left = [step for step in left if step.id in (request.only or [step.id])]
        if left and (killed or time.monotonic() >= deadline):
            facts = {"seconds": f"{LIMIT:g}", "waits": ""}
            diagnosis = "checker-killed" if killed else "hangs"
            results.append(Result(left[0], "failed", diagnosis=diagnosis, facts=facts))
            results += [Result(step, "skipped", needs=left[0].id) for step in left[1:]]
            for result in results[-len(left) :]:
                tell(result)
            return results
        said = ""
        if not request.verbose:
            os.lseek(log, 0, 0)
            said = os.read(log, 1 << 20).decode(errors="replace")
        raise Mistake("the checkpoints did not come to their end", said[-3000:])
    return results


def _result(chapter: Chapter, line: dict[str, Any]) -> Result:
    names = ("outcome", "seconds", "needs", "diagnosis", "expected", "got", "see", "facts")
    return Result(
        chapter.step(line["step"]), **{name: line[name] for name in names if name in line}
    )


def _pytest(
    request: Request, scratch: Path, stock: Path, reading: int, writing: int, log: int
) -> int:
    """In the box: become pytest."""
    os.close(reading)
    os.dup2(log, 1)
    os.dup2(log, 2)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.set_inheritable(writing, True)
    subprocess.run(["cp", "-a", str(stock), str(scratch / "stock")], check=True)
    asked = {
        "chapter": request.chapter.number,
        "work": str(request.work) if request.work else None,
        "others": request.others,
        "only": request.only,
        "needs": request.needs,
        "pure": request.pure,
        "passed": request.passed,
        "scratch": str(scratch),
        "stock": str(scratch / "stock"),
        "launcher": str(CHECKOUT / "build" / "mydocker"),
        "groups": f"/{GROUPS}{request.token}-",
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MYDOCKER_")},
        "LAB_RUN": json.dumps(asked),
        "LAB_RESULTS": str(writing),
        "TMPDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "XTABLES_LOCKFILE": "/run/xtables.lock",
    }
    os.chdir(CHECKOUT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "chapters/pytest.ini",
        f"--basetemp={scratch}/tmp",
    ]
    command += [f"--timeout={30 * SLOWER:g}"]
    command += ["-v"] if request.verbose else ["-q", "--tb=short"]
    os.execve(sys.executable, [*command, str(request.chapter.directory)], environment)


def lab_groups(prefix: str = GROUPS) -> list[str]:
    """The control groups of checkpoints that there are, deepest first."""
    found = []
    for hierarchy in hierarchies.mounted():
        for path in tree.children(hierarchy.top or "/"):
            if os.path.basename(path).startswith(prefix):
                found += [*tree.below(path), path]
    return found


def remove_groups(prefix: str) -> list[str]:
    """Remove the groups of checkpoints that have ended, and who is still in them; which."""
    found = lab_groups(prefix)
    thaw(found)
    for group in found:
        for pid in tree.processes(group):
            process.kill(pid, signal.SIGKILL)
        tree.wait_until(lambda directory=group: removed(directory), 2.0)  # type: ignore[misc]
    return found


def work_place() -> Path:
    """Where the lab keeps its own things: build/lab, or /tmp where the checkout is read-only."""
    base = CHECKOUT / "build" / "lab"
    if not os.access(CHECKOUT / "build", os.W_OK):
        base = Path("/tmp/mydocker-lab")
    base.mkdir(parents=True, exist_ok=True)
    return base


def stocked(base: Path) -> Path:
    """A state root with the default image, made once by the reference and never run from."""
    image = CHECKOUT / "build" / "busybox.tar"
    launcher = CHECKOUT / "build" / "mydocker"
    if not image.exists() or not launcher.exists():
        raise Mistake("this checkout is not set up", "sudo make setup")
    sources = sorted((CHECKOUT / "mydocker/rootfs").glob("*.py"))
    parts = [str(image.stat().st_mtime_ns), *(str(path.stat().st_mtime_ns) for path in sources)]
    stock = base / f"stock-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"
    if not stock.exists():
        with (base / "stock.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if stock.exists():
                return stock
            for old in base.glob("stock-*"):
                shutil.rmtree(old)
            new = base / "new-stock"
            shutil.rmtree(new, ignore_errors=True)
            words = [str(launcher), "--root", str(new), "import", "-c", 'CMD ["sh"]', str(image)]
            environment = {**os.environ, "MYDOCKER_REFERENCE": "1"}
            subprocess.run(
                [*words, "busybox:latest"], check=True, env=environment, stdout=subprocess.DEVNULL
            )
            new.rename(stock)
    return stock
