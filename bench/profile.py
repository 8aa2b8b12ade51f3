"""`python -m bench profile`: where the time of one `mydocker run --rm busybox true` goes.

The run is watched through the funnel (probe.py). All moments of its processes, in the order of the
clock, cut the time from the start of the launcher to its end into pieces. A piece that ends with
the end of a call is the kernel's; every other is ours, and belongs to the call that it leads to. So
the pieces add up to the whole, whichever process was the one to be waited for.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.engines import CHECKOUT, LAUNCHER, Engine, Mydocker

RUN = ["run", "--rm", "busybox", "true"]


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
        last, at = None, began
        for moment in [*sorted(moments), Moment(ended, "mydocker", ".", "end", "")]:
            phase, took = self.phase(moment, last), moment.at - at
            self.phases[phase][moment.mark != ">"] += took
            if moment.mark == ">":
                self.calls[f"{moment.role} {moment.call} {kind(moment.obj)}"] += took
            last, at = moment, moment.at

    def phase(self, moment: Moment, last: Moment | None) -> str:
        """The phase of a run that the piece before this moment belongs to."""
        if moment.call == "interpreter":
            self.interpreters += 1
            if self.interpreters == 1:
                return "start: sh launcher and interpreter"
            return "protected re-execution: interpreter again"
        if moment.call == "command-line" or moment.call in ("open_tree", "mount_setattr"):
            which = "again" if self.interpreters == 2 else "before the re-execution"
            return f"imports: command line and linux, {which}"
        if moment.call == "imports":
            return "imports: the command and all it needs"
        if last and last.call == "execve":
            return "the command itself, until its end is noticed"
        if moment.call == "end":
            return "end of the process"
        return where(moment)


def where(moment: Moment) -> str:
    """The phase of a kernel call, by who makes it and on what."""
    if moment.role == "helper":
        joins = "cgroup" in moment.obj
        return "start: fork, join the cgroup" if joins else "start: unshare the namespaces"
    if moment.role == "init":
        if moment.call in ("mount", "mkdir", "mknod", "pivot_root", "umount2"):
            return "set-up: the root (mounts, devices, pivot_root, masks)"
        if moment.call in ("close_range", "execve"):
            return "handshake: recorded as running, execve"
        return "set-up: identity (host name, keyring, user, capabilities)"
    if "/cgroup/" in moment.obj:
        return "tear-down: cgroup" if moment.call == "rmdir" else "set-up: cgroup"
    if moment.call in ("remove_tree", "unlink") or moment.obj.endswith(".removed"):
        return "tear-down: the container's directory"
    if moment.call == "prctl":
        return "start: fork, join the cgroup"
    return "set-up and records: the container's directory"


def kind(obj: str) -> str:
    """The object of a call without what differs from run to run."""
    words = [re.sub("[0-9a-f]{64}", "ID", word) for word in obj.split("/")[-2:]]
    words = [word for word in words if not word.startswith("mydocker-bench-")]
    return "…/" + "/".join(words) if obj.startswith("/") else obj[:32]


def timed(words: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Run a command with its output thrown away; when it was started and when it had ended."""
    began = time.monotonic_ns()
    done = subprocess.run(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    ended = time.monotonic_ns()
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return began, ended


def watched(engine: Engine, launcher: Path) -> Pieces:
    """One run under the probe."""
    notes = engine.directory / "moments"
    notes.unlink(missing_ok=True)
    began, ended = timed([str(launcher), *RUN], engine.environment | {"BENCH_PROBE": str(notes)})
    lines = (line.split(" ", 4) for line in notes.read_text().splitlines())
    return Pieces(began, [Moment(int(at), *rest) for at, *rest in lines], ended)


def importtime(engine: Engine, interpreter: str) -> list[tuple[int, int, str]]:
    """(self µs, cumulative µs, module) of what the re-executed interpreter imports."""
    main = str(CHECKOUT / "mydocker" / "__main__.py")
    words = [interpreter, "-I", "-S", "-X", "importtime", main, *RUN]
    done = subprocess.run(words, env=engine.environment, capture_output=True, text=True, check=True)
    batch: list[tuple[int, int, str]] = []
    for line in done.stderr.splitlines():
        words = line.removeprefix("import time:").split("|")
        if words[0].strip() == "self [us]":
            batch = []  # the header: an interpreter starts
        elif len(words) == 3:
            batch.append((int(words[0]), int(words[1]), words[2].rstrip()))
    return batch


def milliseconds(nanoseconds: float) -> str:
    """A duration as a cell of a table."""
    return f"{nanoseconds / 1e6:8.2f}"


def main(rounds: int) -> None:
    """Measure and print: the phases, the slowest calls, the slowest imports, and what to compare
    them with."""
    text = LAUNCHER.read_text()
    interpreter = text.split("'")[1]
    with TemporaryDirectory(prefix="mydocker-bench-") as name, Mydocker(Path(name)) as engine:
        launcher = Path(name) / "launcher"
        launcher.write_text(text.replace("/mydocker/__main__.py", "/bench/probe.py"))
        launcher.chmod(0o755)
        bare = Path(name) / "bare"
        bare.write_text("#!/bin/sh\nexec /bin/true\n")
        bare.chmod(0o755)
        compare = {
            "mydocker run, not watched": [str(LAUNCHER), *RUN],
            "python3 -I -S -c pass": [interpreter, "-I", "-S", "-c", "pass"],
            "sh script that execs /bin/true": [str(bare)],
            "/bin/true": ["/bin/true"],
        }
        watched(engine, launcher)
        runs, alone = [], defaultdict(list)
        for _ in range(rounds):
            runs.append(watched(engine, launcher))
            for label, words in compare.items():
                began, ended = timed(words, engine.environment)
                alone[label].append(ended - began)
        imports = importtime(engine, interpreter)

    phases = list(dict.fromkeys(phase for run in runs for phase in run.phases))
    totals = [sum(map(sum, run.phases.values())) for run in runs]
    print(f"mydocker {' '.join(RUN)}: medians of {rounds} runs, in ms\n")
    print(f"{'phase':58}{'kernel':>8}{'ours':>8}{'both':>8}{'least':>8}")
    for phase in phases:
        kernel, ours = (median(run.phases[phase][i] for run in runs) for i in (0, 1))
        both = [sum(run.phases[phase]) for run in runs]
        cells = (kernel, ours, median(both), min(both))
        print(f"{phase:58}" + "".join(map(milliseconds, cells)))
    for label, values in {"the whole (watched)": totals, **alone}.items():
        print(f"{label:74}{milliseconds(median(values))}{milliseconds(min(values))}")
    print(f"\n{'slowest kernel calls, all of that kind in one run':74}{'ms':>8}")
    calls = {call for run in runs for call in run.calls}
    rows = sorted(((median(run.calls[c] for run in runs), c) for c in calls), reverse=True)
    for took, call in rows[:15]:
        print(f"{call:74}{milliseconds(took)}")
    print(
        f"\nimports of the re-executed interpreter: {len(imports)} modules, "
        f"{sum(i[0] for i in imports) / 1000:.2f} ms under -X importtime"
    )
    print(f"{'slowest by themselves':58}{'self':>8}{'with theirs':>12}")
    for own, cumulative, module in sorted(imports, reverse=True)[:25]:
        print(f"{module.strip():58}{own / 1000:8.2f}{cumulative / 1000:12.2f}")
