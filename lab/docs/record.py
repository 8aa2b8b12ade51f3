"""Record terminal sessions by running them: docs/casts/NAME.txt becomes NAME.cast.

The script has the form of a shell block, commands only. They are typed at a real terminal, like the
blocks of a page (terminal.py), and what comes is kept with its timing in asciinema's text format
(asciicast v2): a JSON header, then a line [seconds, "o", text] for each piece of output. Only the
pace of the typing is made up.

    sudo python -m lab.docs.record [NAME…]     (make casts)
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.docs import blocks, terminal

CASTS = blocks.DOCS / "casts"
KEY, PAUSE, LOOK = 0.045, 0.5, 1.1  # seconds: a key, before a command, after its output
BOLD = "\x1b[1m{}\x1b[0m"


def digest(script: Path) -> str:
    """What the recording is made from, to be kept in its header."""
    return hashlib.sha256(script.read_bytes()).hexdigest()[:16]


def record(script: Path, machine: terminal.Machine) -> list[str]:
    """Run a script; the lines of its recording."""
    block = blocks.Block(script, 0, "", "console", "")
    block.lines = script.read_text().splitlines()
    header = {"version": 2, "width": 90, "height": 22, "env": {"SCRIPT": digest(script)}}
    lines, now = [json.dumps(header)], 0.0

    def say(text: str, wait: float) -> None:
        nonlocal now
        now += wait
        lines.append(json.dumps([round(now, 3), "o", text], ensure_ascii=False))

    for entry in terminal.entries(block):
        prompt = f"{entry.shown.partition(' # ')[0]} # " if entry.inside else "# "
        say(prompt, LOOK if len(lines) > 1 else 0.0)
        now += PAUSE
        for key in entry.command:
            say(BOLD.format(key), KEY)
        say("\r\n", KEY)
        one = blocks.Block(script, 0, "", "console", "")
        one.lines = entry.shown.split("\n")
        began = time.monotonic()
        try:
            machine.run(one)
            actual: list[str] = []
        except terminal.Mismatch as error:
            actual = getattr(error, "entries", [entry])[0].actual or []
        say("".join(f"{line}\r\n" for line in actual), min(time.monotonic() - began, 2.0))
    say("# ", LOOK)
    return lines


def main(names: list[str]) -> None:
    """Record the sessions of these names, or all."""
    scripts = sorted(CASTS.glob("*.txt"))
    with tempfile.TemporaryDirectory(prefix="mydocker-casts-") as directory:
        state = Path(directory) / "state"
        words = ["import", "-c", 'CMD ["sh"]', "build/busybox.tar", "busybox:latest"]
        subprocess.run(
            [blocks.CHECKOUT / "build/mydocker", *words],
            env={**os.environ, "MYDOCKER_ROOT": str(state)},
            cwd=blocks.CHECKOUT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for script in scripts:
            if names and script.stem not in names:
                continue
            machine = terminal.Machine(Path(directory) / script.stem, state)
            try:
                lines = record(script, machine)
            finally:
                left = machine.close()
            if left:
                raise SystemExit(f"{script.name}: {left}")
            script.with_suffix(".cast").write_text("\n".join(lines) + "\n")
            print(f"{script.stem}: {len(lines)} events")


if __name__ == "__main__":
    main(sys.argv[1:])
