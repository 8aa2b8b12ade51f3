"""`python -m bench profile`: where the time of one `mydocker run --rm busybox true` goes.

The run is watched through the funnel (probe.py). All moments of its processes, in the order of the
clock, cut the time from the start of the launcher to its end into pieces. A piece that ends with
the end of a call is the kernel's; every other is ours, and belongs to the call that it leads to. So
the pieces add up to the whole, whichever process was the one to be waited for.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import host
from bench.engines import Engine, Mydocker
from bench.report import table

IMPORTS = 5
"""How often the imports are timed; each module's best counts."""


class Moment(NamedTuple):
    """When (ns), who, `<` before, `>` after or `.` between calls, which call, on what."""

    at: int
    role: str
    mark: str
    call: str
    obj: str


class Pieces:
    """The time of one run, in ns: by phase, as (the kernel's, ours), and by single call."""

    def __init__(self, began: int, moments: list[Moment], ended: int) -> None:
        self.phases: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.calls: dict[str, int] = defaultdict(int)
        self.interpreters = 0
        last, at = "", began
        for moment in [*sorted(moments), Moment(ended, "mydocker", ".", "end", "")]:
            phase, took = self.phase(moment, last), moment.at - at
            self.phases[phase][moment.mark != ">"] += took
            if moment.mark == ">":
                self.calls[f"{moment.role} {moment.call} {kind(moment.obj)}"] += took
            last, at = moment.call, moment.at

    def phase(self, moment: Moment, last: str) -> str:
        """The phase of a run that the piece before this moment belongs to."""
        if moment.call == "interpreter":
            self.interpreters += 1
            again = self.interpreters == 2
            return "protected re-execution" if again else "start: launcher and interpreter"
        if moment.call == "command-line" or moment.role == "start":
            again = self.interpreters == 2
            return "imports: the command line" + (", again" if again else "")
        if moment.call == "imports":
            return "imports: the command and all it needs"
        if moment.call == "end":
            return "end of the process"
        return "the command, until its end is noticed" if last == "execve" else where(moment)


ROOT = "mount mkdir mknodat symlinkat fchdir chdir pivot_root umount2".split()
"""What PID 1 calls to make the container's root and to enter it."""


def where(moment: Moment) -> str:
    """The phase of a kernel call, by who makes it and on what."""
    cgroup = "/cgroup/" in moment.obj
    if moment.role == "init":
        if moment.call in ("close_range", "execve"):
            return "handshake: execve"
        return "set-up: the root" if moment.call in ROOT else "set-up: the process, its rights"
    if moment.role == "helper":
        return "start: fork, join the cgroup" if cgroup else "start: unshare, fork again"
    if moment.call in ("prctl", "fork"):
        return "start: fork, join the cgroup"
    if cgroup:
        return "tear-down: the cgroup" if moment.call == "rmdir" else "set-up: the cgroup"
    if moment.call == "write_whole":
        return "records: config.json, container.json"
    if moment.call in ("remove_tree", "unlink") or moment.obj.endswith(".removed"):
        return "tear-down: the directory"
    return "set-up: options, image, directory"


def kind(obj: str) -> str:
    """The object of a call without what differs from run to run."""
    words = [re.sub("[0-9a-f]{64}", "ID", word) for word in obj.split("/")[-2:]]
    words = [word for word in words if not word.startswith("mydocker-bench-")]
    return "…/" + "/".join(words) if obj.startswith("/") else obj[:32]


class Import(NamedTuple):
    """What importing a module took: by itself, and with what it imports in turn (µs)."""

    own: int
    whole: int
    module: str


class Profile:
    """Watches runs of one mydocker."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        launcher = host.LAUNCHER.read_text()
        self.interpreter = launcher.split("'")[1]
        self.probe = engine.directory / "probe"
        self.probe.write_text(launcher.replace("/mydocker/__main__.py", "/bench/probe.py"))
        self.probe.chmod(0o755)

    def watched(self) -> Pieces:
        """One run under the probe."""
        notes = self.engine.directory / "moments"
        notes.unlink(missing_ok=True)
        words = [str(self.probe), *self.engine.run()[1:]]
        began, ended = host.timed(words, self.engine.environment | {"BENCH_PROBE": str(notes)})
        lines = (line.split(" ", 4) for line in notes.read_text().splitlines())
        return Pieces(began, [Moment(int(at), *rest) for at, *rest in lines], ended)

    def alone(self, words: list[str]) -> int:
        """A command that is not watched, to compare with; ns."""
        began, ended = host.timed(words, self.engine.environment)
        return ended - began

    def imports(self) -> list[Import]:
        """What the interpreter imports that was executed last, the protected one."""
        main = str(host.CHECKOUT / "mydocker" / "__main__.py")
        words = [self.interpreter, "-I", "-S", "-X", "importtime", main, *self.engine.run()[1:]]
        done = subprocess.run(
            words, env=self.engine.environment, capture_output=True, text=True, check=True
        )
        batch: list[Import] = []
        for line in done.stderr.splitlines():
            own, whole, module = line.removeprefix("import time:").split("|")
            if own.strip() == "self [us]":
                batch = []  # the header: an interpreter starts
            else:
                batch.append(Import(int(own), int(whole), module.strip()))
        return batch


def milliseconds(*nanoseconds: float) -> list[str]:
    """Durations as cells of a table."""
    return [f"{value / 1e6:.2f}" for value in nanoseconds]


def show_phases(runs: list[Pieces], alone: dict[str, list[int]]) -> None:
    """The phases in their order, the whole, and what to compare that with."""
    rows = []
    for phase in dict.fromkeys(phase for run in runs for phase in run.phases):
        kernel, ours = (median(run.phases[phase][i] for run in runs) for i in (0, 1))
        both = [sum(run.phases[phase]) for run in runs]
        rows.append([phase, *milliseconds(kernel, ours, median(both), min(both))])
    totals = {"the whole": [sum(map(sum, run.phases.values())) for run in runs]} | alone
    for label, values in totals.items():
        rows.append([label, "", "", *milliseconds(median(values), min(values))])
    head = [f"phase, ms, medians of {len(runs)} runs", "kernel", "ours", "both", "least"]
    print(table(head, rows))


def show_calls(runs: list[Pieces], most: int = 12) -> None:
    """The kernel calls that took longest, all of a kind in one run together."""
    calls = {call for run in runs for call in run.calls}
    slow = sorted(((median(run.calls[c] for run in runs), c) for c in calls), reverse=True)[:most]
    print(table(["kernel calls, slowest", "ms"], [[c, *milliseconds(took)] for took, c in slow]))


def show_imports(batches: list[list[Import]], most: int = 20) -> None:
    """The modules that took longest by themselves."""
    best = [min(each) for each in zip(*map(sorted_by_name, batches), strict=True)]
    whole = sum(item.own for item in best)
    head = [f"{len(best)} modules, {whole / 1000:.1f} ms, slowest", "self", "with theirs"]
    slow = sorted(best, reverse=True)[:most]
    print(table(head, [[i.module, *milliseconds(i.own * 1e3, i.whole * 1e3)] for i in slow]))


def sorted_by_name(batch: list[Import]) -> list[Import]:
    """The imports in an order that is the same in every batch."""
    return sorted(batch, key=lambda item: item.module)


def main(rounds: int) -> None:
    """Measure and print."""
    with host.room() as directory, Mydocker(Path(directory)) as engine:
        profile = Profile(engine)
        compare = {
            "not watched": engine.run(),
            "python3 -I -S -c pass": [profile.interpreter, "-I", "-S", "-c", "pass"],
            "sh -c 'exec true'": ["/bin/sh", "-c", "exec /bin/true"],
        }
        profile.watched()
        runs: list[Pieces] = []
        alone: dict[str, list[int]] = {label: [] for label in compare}
        for _ in range(rounds):
            runs.append(profile.watched())
            for label, words in compare.items():
                alone[label].append(profile.alone(words))
        batches = [profile.imports() for _ in range(IMPORTS)]
    show_phases(runs, alone)
    print()
    show_calls(runs)
    print()
    show_imports(batches)
