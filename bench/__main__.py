"""`python -m bench`: mydocker and its peers do the same work, taking turns.

Absolute times say more about the machine than about the program. So what counts is the ratio of
medians within one run; and each round takes the engines in another order, so that none of them
always comes after the one that leaves most for the kernel to clear away. There is no rest between
them: a processor that has gone to sleep would be woken at the expense of whoever comes next.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from bench import host, profile
from bench.engines import PEERS, Engine, Mydocker
from bench.report import Result
from bench.works import WORKS, Work

ROUNDS, QUICK = 20, 5


class Bench:
    """The engines that could be set up, and why the others could not, by name."""

    def __init__(self, stack: ExitStack, directory: Path, peers: list[type[Engine]]) -> None:
        self.engines: list[Engine] = [stack.enter_context(Mydocker(directory))]
        self.skipped: dict[str, str] = {}
        for kind in peers:
            engine = kind(directory)
            if why := engine.missing():
                self.skipped[engine.name] = why
                continue
            try:
                self.engines.append(stack.enter_context(engine))
            except host.Failed as error:
                self.skipped[engine.name] = str(error)
        self.versions = {engine.name: engine.version() for engine in self.engines}

    def measure(self, work: Work, rounds: int) -> Result:
        """Each engine's samples of a work, in turns; the round before the first does not count."""
        engines = [e for e in self.engines if isinstance(e, (Mydocker, *work.peers))]
        samples: dict[str, list[float]] = {engine.name: [] for engine in engines}
        order = random.Random(0)
        for engine in engines:
            work.prepare(engine)
        for number in range(min(rounds, work.most_rounds) + 1):
            for engine in order.sample(engines, len(engines)):
                cost = work.sample(engine)
                if number:
                    samples[engine.name].append(cost)
        for engine in engines:
            work.clear(engine)
        return Result.of(work, samples)


def compare(rounds: int, only: list[str], output: Path) -> None:
    """Measure, print the tables, and write all of it as JSON."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(host.room()))
        machine = host.facts(directory)
        bench = Bench(stack, directory, [p for p in PEERS if p.name in only] or [*PEERS])
        for name, why in bench.skipped.items():
            print(f"{name} is left out: {why}", file=sys.stderr)
        works = [work for work in WORKS if work.name in only] or [*WORKS]
        results = []
        for work in works:
            if why := work.missing():
                print(f"{work.name} is left out: {why}", file=sys.stderr)
                continue
            results.append(bench.measure(work, rounds))
            print(f"{results[-1].show(bench.versions)}\n", flush=True)
    print(f"{rounds} rounds on " + ", ".join(f"{name} {fact}" for name, fact in machine.items()))
    if any(figures.scattered for result in results for figures in result.engines.values()):
        print("the samples lie far apart: the machine has other work, run it again")
    output.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": machine,
        "rounds": rounds,
        "versions": bench.versions,
        "skipped": bench.skipped,
        "works": {result.work.name: result.to_json() for result in results},
    }
    output.write_text(json.dumps(told, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["compare", "profile"], default="compare")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"2 or more, {ROUNDS} by default")
    parser.add_argument("--quick", action="store_true", help=f"the same as --rounds {QUICK}")
    names = [work.name for work in WORKS] + [peer.name for peer in PEERS]
    words = f"of the works and the peers only these; of {', '.join(names)}"
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=words)
    result = host.CHECKOUT / "build" / "bench.json"
    parser.add_argument("--output", type=Path, default=result, metavar="FILE", help=str(result))
    given = parser.parse_args()
    given.rounds = given.rounds or (QUICK if given.quick else ROUNDS)
    if given.rounds < 2:
        parser.error("--rounds: a median needs 2 or more")
    return given


def main() -> None:
    """Measure as the command line says; what goes wrong is one line."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of every clean-up
    if os.geteuid() != 0:
        sys.exit("bench: needs root: sudo make bench")
    if not host.LAUNCHER.exists() or not host.ROOTFS_TAR.exists():
        sys.exit("bench: build/ is not set up: sudo make setup")
    try:
        if given.what == "profile":
            profile.main(given.rounds)
        else:
            host.own_network()
            compare(given.rounds, given.only, given.output)
    except host.Failed as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
