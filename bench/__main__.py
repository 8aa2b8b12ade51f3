"""`python -m bench`: one container, started by mydocker and by its peers, side by side.

Absolute times say more about the machine than about the program, so what counts is the ratio of
medians within one run, in which the engines take turns. `python -m bench profile` shows where
mydocker's own time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import profile
from bench.engines import CHECKOUT, Engine, Mydocker, Podman, Runc

BUDGETS = {"runc": 2.5, "podman": 0.4}
"""The most that mydocker may take, as a multiple of the peer's time."""


def timed(engine: Engine, words: list[str]) -> float:
    """Run a command that must succeed; how long it took, in milliseconds."""
    start = time.perf_counter()
    done = subprocess.run(
        words, env=engine.environment, stdin=subprocess.DEVNULL, capture_output=True
    )
    took = (time.perf_counter() - start) * 1000
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return took


def compare(rounds: int) -> dict[str, list[float]]:
    """The times of each installed engine, taken in turns; the first round does not count."""
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mydocker-bench-")))
        engines: list[Engine] = []
        for kind in (Mydocker, Runc, Podman):
            if kind is not Mydocker and not shutil.which(kind.name):
                print(f"{kind.name} is not installed: apt-get install {kind.package}")
                continue
            engines.append(stack.enter_context(kind(directory)))
        for number in range(rounds + 1):
            for engine in engines:
                took = timed(engine, engine.run_true)
                if number:
                    times.setdefault(engine.name, []).append(took)
    return times


def report(times: dict[str, list[float]]) -> dict[str, object]:
    """Print the table, and return what is written as JSON."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("| engine | median ms | least | most | mydocker's multiple | budget | met |")
    print("|---|---|---|---|---|---|---|")
    ratios = {}
    for name, values in times.items():
        row = f"| {name} | {medians[name]:.1f} | {min(values):.1f} | {max(values):.1f} |"
        if name in BUDGETS:
            ratios[name] = medians["mydocker"] / medians[name]
            met = "yes" if ratios[name] <= BUDGETS[name] else "no"
            row += f" {ratios[name]:.2f} | {BUDGETS[name]} | {met} |"
        else:
            row += " | | |"
        print(row)
    machine = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    return {"machine": machine, "times_ms": times, "medians_ms": medians, "ratios": ratios}


def main() -> None:
    """Read the command line, measure, print, and write build/bench.json."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("what", nargs="?", choices=["compare", "profile"], default="compare")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", default=str(CHECKOUT / "build" / "bench.json"))
    given = parser.parse_args()
    if given.what == "profile":
        profile.main(given.rounds)
        return
    result = report(compare(given.rounds))
    Path(given.output).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
