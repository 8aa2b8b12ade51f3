"""What the lab shows: colours and bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING

from lab.course.manifest import chapters
from lab.course.words import say

if TYPE_CHECKING:
    from lab.course.manifest import Chapter
    from lab.course.progress import Progress
    from lab.course.runner import Result

COLOURS = {"green": "32", "red": "31", "yellow": "33", "blue": "36", "dim": "2", "bold": "1"}
MARKS = {"passed": "✓", "failed": "✗", "skipped": "·", "unfit": "–", "open": "○"}
SHADES = {"passed": "green", "failed": "red", "skipped": "dim", "unfit": "dim", "open": "dim"}


def on_terminal() -> bool:
    """Whether a person looks on."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str) -> str:
    """The text in a colour, if it is for a terminal."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if on_terminal() else text


def width(text: str) -> int:
    """The columns that a text takes: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def pad(text: str, columns: int) -> str:
    """The text, filled up with blanks to so many columns."""
    return text + " " * max(0, columns - width(text))


def show_mix(line: str) -> None:
    """The first line of a run: whose code it is."""
    print(paint(line, "dim"), flush=True)


def show_result(result: Result) -> None:
    """One step, in one line."""
    outcome = "open" if result.diagnosis == "unwritten" else result.outcome
    mark = paint(MARKS[outcome], SHADES[outcome])
    text = f"{mark} {result.step.id}  {result.step.title}"
    if result.outcome == "skipped":
        text += paint(f"  ({say('skipped', step=result.needs)})", "dim")
    elif result.outcome == "unfit":
        text += paint(f"  ({result.needs})", "dim")
    print(text, flush=True)


def show_failure(result: Result) -> None:
    """What is wrong with a step, and what to do about it."""
    step = result.step
    rows = [
        ("expected", result.expected),
        ("got", result.got),
        ("see", result.see),
        ("why", result.why()),
        ("hint", f"make hint STEP={step.id}"),
        ("read", step.address),
    ]
    label = max(width(say(key)) for key, _ in rows)
    print()
    print(paint(f"{step.id}  {step.title}", "bold"))
    for key, value in rows:
        if value:
            colour = {"why": "yellow", "got": "red", "see": "blue"}.get(key)
            lines = value.splitlines() or [""]
            body = f"\n{' ' * (label + 4)}".join(lines)
            print(f"  {pad(say(key), label)}  {paint(body, colour) if colour else body}")
    sys.stdout.flush()


def summary(chapter: Chapter, results: list[Result]) -> str:
    """The points of a run."""
    got = sum(result.step.points for result in results if result.passed)
    return say("points", got=got, points=chapter.points)


def show_progress(progress: Progress) -> None:
    """The board: every chapter, its steps, its points."""
    columns = min(shutil.get_terminal_size().columns, 100)
    got = total = 0
    lines: list[str] = []
    for chapter in chapters():
        done = [step for step in chapter.steps if progress.step_passed(step)]
        points = sum(step.points for step in done)
        got, total = got + points, total + chapter.points
        whole = progress.passed(chapter)
        bar = meter(len(done), len(chapter.steps), 16)
        mark = paint("✓", "green") if whole else " "
        lines.append(
            f"{mark} {paint(chapter.name, 'bold')}  {pad(chapter.title, 34)} {bar} "
            f"{len(done):2}/{len(chapter.steps):<2}  {points:3}/{chapter.points}"
        )
        if (
            not on_terminal()
            or done
            or progress.work.joinpath(*chapter.modules()[0].split("/")).exists()
        ):
            for step in chapter.steps:
                passed = progress.step_passed(step)
                mark = MARKS["passed" if passed else "open"]
                text = f"{step.id}  {step.title}"
                room = columns - 22
                text = text if width(text) <= room else text[: room - 1] + "…"
                lines.append(
                    f"     {paint(mark, 'green' if passed else 'dim')} "
                    f"{pad(text, columns - 22)} {step.points:3}"
                )
    print(f"{paint(say('course'), 'bold')}  {say('points', got=got, points=total)}")
    print("\n".join(lines))
    if not progress.work.is_dir():
        print(say("nothing-begun"))


def meter(done: int, all_: int, cells: int) -> str:
    """A bar on a terminal, `[###---]` elsewhere."""
    full = done * cells // max(1, all_)
    if on_terminal():
        return paint("█" * full, "green") + paint("░" * (cells - full), "dim")
    return "[" + "#" * full + "-" * (cells - full) + "]"
