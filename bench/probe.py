"""mydocker with a watcher on its funnel that writes down when each kernel call began and ended.

Run in the place of mydocker/__main__.py, with the same `python3 -I -S`. BENCH_PROBE names the file
that gets one line a moment: `NANOSECONDS ROLE MARK CALL OBJECT`, where MARK is `<` before a call,
`>` after it and `.` for a moment of the interpreter's own; the clock is CLOCK_MONOTONIC. All
processes of one run append to it, each line with one write(2). profile.py reads it.
"""

from __future__ import annotations

import time

BEGAN = time.monotonic_ns()  # before the imports: an interpreter is up

import os  # noqa: E402
import sys  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Recorder:
    """Appends moments to the file; made before the fork, so that every process has it."""

    def __init__(self, path: str, role: Callable[[], str]) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.fd = os.dup2(opened, 100, inheritable=False)  # out of the way of the container's
        self.role = role

    def write(self, mark: str, call: str, obj: object = "", moment: int = 0) -> None:
        """One line; `moment` is now if it is not given."""
        line = f"{moment or time.monotonic_ns()} {self.role()} {mark} {call} {obj}\n"
        os.write(self.fd, line.encode(errors="replace"))

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        """Called by the funnel."""
        self.write("<", name, args[0] if args else "")

    def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None:
        """Called by the funnel."""
        self.write(">", name, args[0] if args else "")


if __name__ == "__main__":
    home = __file__.rpartition("/bench/")[0]
    sys.path[:0] = [home]

    from mydocker import cli
    from mydocker.linux import trace

    recorder = Recorder(os.environ["BENCH_PROBE"], lambda: trace.role)
    recorder.write(".", "interpreter", moment=BEGAN)
    recorder.write(".", "command-line")
    trace.watch(recorder)
    load = cli.load

    def load_and_tell(name: str) -> Any:
        """cli.load, whose end is the end of the command's imports."""
        command = load(name)
        recorder.write(".", "imports")
        return command

    cli.load = load_and_tell
    cli.main(sys.argv[1:])
