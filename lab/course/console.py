"""The course's console: start, chN, hint, progress, watch, reset, solution, grade and the rest.

Every command can be typed as `make …`, which passes its words on as variables (`CH=4`).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.course import board, manifest, runner, starters, views
from lab.course.manifest import Chapter, Mistake
from lab.course.progress import WORK, Progress
from lab.course.words import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.course.runner import Result

USAGE = """\
mydocker-lab: the course, on the command line

  start CHAPTER         write the chapter's starter files into work/
  ch3, ch4 …  [-v]      check the chapter (STEP=3.2: that step; PURE=1: without the reference)
  watch CHAPTER         check it again whenever a file changes
  hint STEP             a hint for a step; again for a stronger one
  solution STEP         the reference's solution, once the step has passed (or SPOIL=1)
  progress              the board
  reset CHAPTER         put your files of the chapter aside and start anew
  grade DIRECTORY       grade one submission, or a directory of them
  doctor                is this machine fit for the course?
  clean-host            remove what mydocker has left on this host
"""


def main(words: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        return run(words)
    except Mistake as error:
        print(f"lab: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(words: list[str]) -> int:
    """Find the command and call it."""
    verbose = "-v" in words
    words = [word for word in words if word != "-v"]
    name, operands = (words[0], words[1:]) if words else ("help", [])
    if name.startswith("ch") and name[2:].isdigit():
        return max(check(manifest.chapter(one), verbose) for one in [name, *operands])
    simple: dict[str, Callable[[], int]] = {"progress": progress, "doctor": doctor}
    simple["clean-host"] = clean_host
    takes_word: dict[str, Callable[[str], int]] = {
        "start": start,
        "watch": watch,
        "hint": hint,
        "solution": solution,
        "reset": reset,
        "grade": grade,
    }
    if name in simple and not operands:
        return simple[name]()
    if name in takes_word:
        if len(operands) != 1:
            wants = {"hint": "STEP=4.2", "solution": "STEP=4.2", "grade": "SUBMISSION=dir"}
            raise Mistake(f"{name} needs one word", f"make {name} {wants.get(name, 'CH=4')}")
        return takes_word[name](operands[0])
    print(USAGE, end="")
    return 0 if name in ("help", "-h", "--help") else 2


def pure() -> bool:
    """Whether the reference is forbidden."""
    return os.environ.get("PURE", "") not in ("", "0")


def start(name: str) -> int:
    """Hand out a chapter."""
    chapter = manifest.chapter(name)
    written, kept = starters.write_starters(chapter, WORK)
    for module in written:
        steps = {s.id: True for s in starters.exercises(chapter, module).values()}
        print(say("started", path=module, steps=" ".join(steps)))
    for module in kept:
        print(say("kept", path=module))
    open_steps = views.unwritten(chapter, WORK) or chapter.steps
    first = open_steps[0]
    print(say("next", name=chapter.name, step=first.id, path=first.functions()[0].module))
    return 0


def check(chapter: Chapter, verbose: bool = False) -> int:
    """Check one chapter and show what came of it."""
    state = Progress()
    content = views.content(chapter, WORK)
    board.show_mix(state.mix(chapter, pure()))
    only = os.environ.get("STEP", "")
    request = runner.Request(chapter, verbose=verbose, needs=not only)
    if only:
        chapter.step(only)
        request.only = [only]
        request.passed = [step.id for step in chapter.steps if state.step_passed(step)]
    if content or pure():
        request.work, request.others, request.pure = WORK, state.others(chapter), pure()
    results = runner.check(request, board.show_result)
    failed = [result for result in results if result.outcome == "failed"]
    if content and views.content(chapter, WORK) == content:
        state.record(chapter, {r.step.id: r.passed for r in results}, content, part=bool(only))
    if failed:
        board.show_failure(failed[0])
        print()
    print(board.summary(chapter, results))
    if failed:
        return 1
    if only:
        return 0
    if not content:
        print(say("begin", number=chapter.number))
    elif all(result.passed for result in results):
        print(say("chapter-done", number=chapter.number, got=chapter.points, points=chapter.points))
    return 0


def watch(name: str) -> int:
    """Check again at each change. By polling: a folder shared with a VM sends no events."""
    chapter = manifest.chapter(name)
    seen = stamps()
    print(say("watching", number=chapter.number), flush=True)
    while True:
        try:
            check(chapter)
        except Mistake as error:
            print(f"lab: {error}", file=sys.stderr)
        while (now := stamps()) == seen:
            time.sleep(0.2)
        changed = sorted(
            name for name in now.keys() | seen.keys() if now.get(name) != seen.get(name)
        )
        seen = now
        print(f"\n{board.paint(say('changed', files=', '.join(changed)), 'dim')}", flush=True)


def stamps() -> dict[str, tuple[int, int]]:
    """The files of `work/`, each with its time and size."""
    found = {}
    for path in WORK.rglob("*.py"):
        try:
            status = path.stat()
        except FileNotFoundError:  # an editor that saves by renaming
            continue
        found[str(path.relative_to(WORK))] = (status.st_mtime_ns, status.st_size)
    return found


def hint(name: str) -> int:
    """The next hint for a step."""
    step = manifest.step(name)
    number = Progress().next_hint(step)
    which = say("hint-of", n=number + 1, all=len(step.hints))
    print(f"{board.paint(step.id, 'bold')}  {step.title}  ({which})")
    print(f"\n{step.hints[number]}\n")
    if number + 1 < len(step.hints):
        print(board.paint(f"make hint STEP={step.id}: {say('hint-more')}", "dim"))
    print(board.paint(f"{say('read')}: {step.address}", "dim"))
    return 0


def solution(name: str) -> int:
    """The reference's functions of a step."""
    step = manifest.step(name)
    spoil = os.environ.get("SPOIL", "") not in ("", "0")
    if not spoil and not Progress().step_passed(step):
        raise Mistake(say("spoil", step=step.id), f"make hint STEP={step.id}")
    print(starters.solution(step))
    return 0


def progress() -> int:
    """The board."""
    board.show_progress(Progress())
    return 0


def reset(name: str) -> int:
    """Put the chapter's files aside and hand it out anew."""
    chapter = manifest.chapter(name)
    backup = starters.set_aside(chapter, WORK)
    if backup is None:
        print(say("no-files", number=chapter.number))
    else:
        print(say("backed-up", path=backup))
        state = Progress()
        state.data.pop(chapter.name, None)
        state.save()
    return start(name)


def grade(name: str) -> int:
    """Grade a submission, or a directory of them."""
    from lab.course.grade import grade as work

    return work(Path(name))


def doctor() -> int:
    """Look at the machine."""
    from lab.course.doctor import examine

    return examine()


def clean_host() -> int:
    """Remove what is left on the host."""
    from lab.course.doctor import clean

    return clean()


def show(results: list[Result]) -> None:
    """All steps, and the first failure."""
    for result in results:
        board.show_result(result)
    for result in results:
        if result.outcome == "failed":
            board.show_failure(result)
            break
