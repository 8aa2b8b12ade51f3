"""The course as a student meets it: make start, make ch3, a step written, make ch3 …"""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from lab.course import manifest, starters
from lab.course.manifest import CHECKOUT, REFERENCE, Chapter, Step, chapters
from mydocker.upper import functions
from tests.conftest import LAUNCHER

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSOLE = CHECKOUT / "lab" / "mydocker-lab"


class Student:
    """Somebody with a `work/` of their own."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.environment = {**os.environ, "LAB_WORK": str(work), "LANG_LAB": "en"}

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the console."""
        return subprocess.run(
            [str(CONSOLE), *words],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def says(self, *words: str, code: int = 0, **environment: str) -> str:
        """Run the console, which must end with that code and without a traceback."""
        done = self.types(*words, **environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def writes(self, step: Step) -> None:
        """Solve a step, as the reference does."""
        for function in step.functions():
            path = self.work / function.module
            theirs, ours = path.read_text(), (REFERENCE / function.module).read_text()
            node = functions(ast.parse(ours))[function.name]
            stub = functions(ast.parse(theirs))[function.name]
            lines = theirs.splitlines(keepends=True)
            body = ours.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
            path.write_text("".join([*lines[: stub.lineno - 1], *body, *lines[stub.end_lineno :]]))


@pytest.fixture
def student(tmp_path: Path) -> Student:
    return Student(tmp_path / "work")


def marks(text: str) -> dict[str, str]:
    """The board of a run: each step's mark."""
    return {name: mark for mark, name in re.findall(r"^([✓✗·○–]) (\d+\.\d+)  ", text, re.M)}


# The recorded walk


@pytest.mark.timeout(300)
def test_a_student_walks_through_chapter_4(student: Student) -> None:
    """Every step in its turn: red with a message to act on, then written, then green."""
    walk(student, manifest.chapter("4"), whole=False)
    assert "def pivot(" in student.says("solution", "4.1")
    said = student.says("progress")
    assert "4.10" in said
    assert "100/100" in said

    said = student.says("ch3", STEP="3.2")
    assert said.startswith("ch3 reference, under test · ch4 yours ✓")
    with (student.work / "rootfs/cover.py").open("a") as file:
        file.write("# changed since\n")
    said = student.says("ch3", STEP="3.2")
    assert said.startswith(
        "ch3 reference, under test · ch4 reference (yours has changed: make ch4)"
    )


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.name)
def test_a_student_walks_through_every_chapter(student: Student, chapter: Chapter) -> None:
    walk(student, chapter, whole=True)


def walk(student: Student, chapter: Chapter, whole: bool) -> None:
    """Begin, write step after step, and finish. whole: check all of the chapter after each."""
    said = student.says("start", chapter.name)
    first = chapter.steps[0]
    assert f"open work/{first.functions()[0].module}; make hint STEP={first.id}" in said
    said = student.says(chapter.name, code=1)
    assert f"{chapter.name} yours, under test" in said
    assert "✓" not in marks(said).values()
    assert "is still as it was handed out: open work/" in said
    for strength in (0, 1, 2, 2):  # there is none stronger than the third
        assert first.hints[strength] in student.says("hint", first.id)
    points = 0
    for number, step in enumerate(chapter.steps):
        if whole or number == len(chapter.steps) // 2:
            said = student.says(chapter.name, code=1)
            board = marks(said)
            assert all(board[one.id] == "✓" for one in chapter.steps[:number])
            assert board[step.id] == "○"
            assert f"\n{step.id}  {step.title}\n" in said
            assert f"make hint STEP={step.id}" in said
            assert f"{points} of 100 points" in said
        assert "SPOIL=1" in student.says("solution", step.id, code=2)
        student.writes(step)
        assert marks(student.says(chapter.name, STEP=step.id)) == {step.id: "✓"}
        points += step.points
    said = student.says(chapter.name)
    assert f"Chapter {chapter.number} is yours: 100 of 100 points" in said


# What is kept, and what is not


def test_start_overwrites_nothing_and_reset_puts_it_aside(student: Student) -> None:
    student.says("start", "3")
    module = student.work / "sandbox/channel.py"
    module.write_text("# mine\n")
    assert "kept work/sandbox/channel.py" in student.says("start", "3")
    assert module.read_text() == "# mine\n"
    said = student.says("reset", "ch3")
    assert "your files are in" in said
    (backup,) = (student.work / ".backup").iterdir()
    assert (backup / "sandbox/channel.py").read_text() == "# mine\n"
    assert "raise NotImplementedError" in module.read_text()
    student.says("reset", "3")
    assert len(list((student.work / ".backup").iterdir())) >= 1


def test_a_half_written_chapter_does_not_break_another(student: Student) -> None:
    student.says("start", "3")
    (student.work / "sandbox/namespaces.py").write_text("syntax error\n")
    said = student.says("ch4", STEP="4.3")
    assert said.startswith("ch3 reference (step 1 open) · ch4 reference, under test")
    assert marks(said) == {"4.3": "✓"}


def test_pure_forbids_the_reference(student: Student) -> None:
    chapter = manifest.chapter("4")
    student.says("start", "4")
    for step in chapter.steps:
        student.writes(step)
    assert marks(student.says("ch4", PURE="1", STEP="4.3")) == {"4.3": "✓"}
    student.says("start", "3")
    said = student.says("ch4", PURE="1", STEP="4.3", code=1)
    assert said.startswith("ch3 yours (PURE=1) · ch4 yours, under test")
    assert "is not written yet" in said


def test_words_that_are_wrong_are_told_in_a_line(student: Student) -> None:
    for words in (
        ("hint", "9.9"),
        ("hint", "4.99"),
        ("start", "x"),
        ("start",),
        ("ch9",),
        ("grade", "/nowhere"),
    ):
        assert student.says(*words, code=2).startswith("lab: ")
    assert "usage" in student.says("nonsense", code=2).lower() or "start CHAPTER" in student.says(
        "nonsense", code=2
    )


def test_in_chinese_by_the_variable_or_the_locale(student: Student) -> None:
    student.says("start", "4", LANG_LAB="zh")
    assert "提示 1/3" in student.says("hint", "4.1", LANG_LAB="zh")
    assert "提示 2/3" in student.says("hint", "4.1", LANG_LAB="", LC_ALL="zh_CN.UTF-8")
    assert "课程" in student.says("progress", LANG_LAB="zh")
    said = student.says("ch4", LANG_LAB="zh", code=1)
    assert "还是发下来的样子" in said


def test_a_terminal_has_colours_and_a_pipe_has_not(student: Student) -> None:
    assert "\033[" not in student.says("progress")
    assert "[----------------]" in student.says("progress")
    board = pexpect.run(f"{CONSOLE} progress", env=student.environment, encoding="utf-8")
    assert "\033[" in board
    assert "░" in board
    assert "\033[" not in pexpect.run(
        f"{CONSOLE} progress", env=student.environment | {"NO_COLOR": "1"}, encoding="utf-8"
    )


def test_watch_answers_to_a_save(student: Student) -> None:
    student.says("start", "4")
    watching = pexpect.spawn(
        str(CONSOLE), ["watch", "4"], env=student.environment, encoding="utf-8", timeout=60
    )
    try:
        watching.expect("of 100 points")
        module = student.work / "rootfs/devices.py"
        module.write_text(
            module.read_text().replace("raise NotImplementedError", "return 1 / 0  #", 1)
        )
        watching.expect("rootfs/devices.py")
        watching.expect("of 100 points")
        watching.sendintr()
        watching.expect(pexpect.EOF)
    finally:
        watching.close(force=True)


def test_doctor_finds_this_machine_fit(student: Student) -> None:
    assert "this machine is fit" in student.says("doctor", PATH=os.environ["PATH"])


# All mixes


def mixes() -> Iterator[tuple[Chapter, ...]]:
    """Every set of chapters."""
    every = chapters()
    for count in range(len(every) + 1):
        yield from itertools.combinations(every, count)


@pytest.mark.parametrize(
    "mix", list(mixes()), ids=lambda mix: "+".join(c.name for c in mix) or "none"
)
def test_every_mix_of_student_and_reference_runs(
    mydocker: Any, tmp_path: Path, mix: tuple[Chapter, ...]
) -> None:
    """The student's chapters say on stderr that they are loaded; the container runs."""
    work = tmp_path / "mix"
    work.mkdir()
    modules = [module for chapter in mix for module in chapter.modules()]
    for module in modules:
        (work / module).parent.mkdir(parents=True, exist_ok=True)
        mark = f'\n__import__("os").write(2, b"[{module}]")\n'
        (work / module).write_text((REFERENCE / module).read_text() + mark)
    environment = {"MYDOCKER_REFERENCE": "", "MYDOCKER_WORK": str(work)}
    volume = f"{tmp_path}:/data:ro"
    done = mydocker.run("run", "--rm", "-m", "50m", "-v", volume, "ls", "/data/mix", **environment)
    assert done.returncode == 0, done.stderr
    said = done.stderr
    if any(chapter.number == 6 for chapter in mix):
        script = "{0} network create n && {0} run --rm --net n true && {0} network rm n"
        host = ["unshare", "--net", "sh", "-c", script.format(LAUNCHER)]
        own = mydocker.environment | environment
        networked = subprocess.run(host, env=own, capture_output=True, text=True, check=False)
        assert networked.returncode == 0, networked.stderr
        said += networked.stderr
    loaded = set(re.findall(r"\[([a-z0-9_/]+\.py)\]", said))
    assert loaded <= set(modules)
    for chapter in mix:
        assert loaded & set(chapter.modules()), f"nothing of {chapter.name} was loaded"
    mydocker.run("run", "--name", "bird", "true", **environment)
    assert mydocker.run("commit", "bird", "image", **environment).returncode == 0


# Grading


def test_a_class_is_graded_from_its_files_alone(student: Student, tmp_path: Path) -> None:
    group = tmp_path / "class"
    chapter = manifest.chapter("4")
    for name in ("ann", "bob"):
        work = group / name / "work"
        starters.write_starters(chapter, work)
        writer = Student(work)
        for step in chapter.steps[: 2 if name == "ann" else 0]:
            writer.writes(step)
    # What else is handed in counts for nothing: checks of one's own, links, a result.
    (group / "bob/chapters").mkdir()
    (group / "bob/chapters/test_ch4.py").write_text("def test_all(): pass\n")
    (group / "bob/work/.progress.json").write_text(json.dumps({"ch4": {"steps": {"4.1": True}}}))
    (group / "bob/work/rootfs/cover.py").unlink()
    (group / "bob/work/rootfs/cover.py").symlink_to(REFERENCE / "rootfs/cover.py")
    (group / "nobody").mkdir()
    out = tmp_path / "out"
    said = student.says("grade", str(group), CH="4", OUT=str(out))
    assert "ann: 26/100 (ch4 26/100)" in said
    assert "bob: 0/100 (ch4 0/100)" in said

    report = json.loads((out / "ann.json").read_text())
    assert [row["points"] for row in report["chapters"][0]["steps"]][:3] == [14, 12, 0]
    gradescope = json.loads((out / "ann.gradescope.json").read_text())
    assert gradescope["score"] == 26
    assert sum(test["max_score"] for test in gradescope["tests"]) == 100
    assert "open work/rootfs/devices.py" in gradescope["tests"][2]["output"]
    classroom = json.loads((out / "ann.classroom.json").read_text())
    assert classroom["status"] == "fail"
    assert classroom["max_score"] == 100
    assert classroom["tests"][0]["status"] == "pass"
    junit = (out / "ann.junit.xml").read_text()
    assert '<testsuite name="ch4" tests="10"' in junit
    assert junit.count("<failure") + junit.count("<skipped") == 8
    assert Path(student.work).exists() is False
