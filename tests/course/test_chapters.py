"""Each chapter keeps its promises: starters are red, the reference is green, mutants are caught."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab.course import runner, starters, views
from lab.course.manifest import CHECKOUT, REFERENCE, Chapter, Step, cgroup_version, chapters
from lab.course.mutants import Mutant, mutants
from lab.course.pages import pages
from lab.course.words import COMMON
from mydocker.upper import functions, is_stub

if TYPE_CHECKING:
    from pathlib import Path

each_chapter = pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.name)
# Chapter 3 is the one that has to do with the version of cgroups.
each_chapter_and_v2 = pytest.mark.parametrize(
    "chapter",
    [pytest.param(c, marks=[pytest.mark.v2] if c.number == 3 else []) for c in chapters()],
    ids=lambda chapter: chapter.name,
)
STEPS = [step for chapter in chapters() for step in chapter.steps]
VERSIONS = (1, 2)


def every_mutant() -> list[Mutant]:
    """Also those that this machine's version of cgroups has no use for."""
    return [
        Mutant.load(chapter, path)
        for chapter in chapters()
        for path in sorted((chapter.directory / "mutants").glob("*.toml"))
    ]


# The manifests


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_a_step_has_all_its_texts_in_both_languages(step: Step) -> None:
    for key in ("title", "teaches"):
        assert step.data[key]
        assert step.data[f"{key}_zh"]
    assert len(step.data["hints"]) == len(step.data["hints_zh"]) == 3
    for texts in step.data["diagnoses"].values():
        assert texts["en"]
        assert texts["zh"]
    for page in ("README.md", "README.zh.md"):
        anchor = f'id="step-{step.id.replace(".", "-")}"'
        assert anchor in (step.chapter.directory / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_step_asks_for_is_in_the_reference_and_of_a_students_size(
    step: Step, version: int
) -> None:
    lines = 0
    for function in step.functions(version):
        node = functions(ast.parse((REFERENCE / function.module).read_text()))[function.name]
        assert not is_stub(node)
        lines += (node.end_lineno or 0) - node.body[0].lineno + 1
    assert 1 <= lines <= 75, f"{lines} lines"


@each_chapter
def test_a_chapter_is_worth_a_hundred_points_in_five_to_ten_steps(chapter: Chapter) -> None:
    assert chapter.points == 100
    assert 5 <= len(chapter.steps) <= 10
    assert [step.id for step in chapter.steps] == [
        f"{chapter.number}.{number}" for number in range(1, len(chapter.steps) + 1)
    ]


def test_no_module_belongs_to_two_chapters() -> None:
    for version in VERSIONS:
        modules = [module for chapter in chapters() for module in chapter.modules(version)]
        assert len(modules) == len(set(modules))


@pytest.mark.parametrize("mutant", every_mutant(), ids=lambda mutant: mutant.name)
def test_a_mutant_names_a_step_and_a_diagnosis_that_exist(mutant: Mutant, tmp_path: Path) -> None:
    step = mutant.chapter.step(mutant.step)
    assert step.diagnosis(mutant.diagnosis) or mutant.diagnosis in COMMON
    if mutant.cgroups in (0, cgroup_version()):
        mutant.write(tmp_path)


@each_chapter
def test_a_diagnosis_in_a_check_is_in_the_manifest(chapter: Chapter) -> None:
    known = {key for step in chapter.steps for key in step.data["diagnoses"]} | set(COMMON)
    text = "".join(path.read_text() for path in chapter.directory.glob("test_*.py"))
    named = set(re.findall(r'(?:Wrong|refuse_as|refuse)\(\s*"([a-z-]+)"', text))
    assert named <= known
    assert len(named) > 10


# Starters


@each_chapter
def test_starters_keep_signatures_and_docstrings_and_nothing_else_is_taken(
    chapter: Chapter,
) -> None:
    for version in VERSIONS:
        for module in chapter.modules(version):
            if version == 2 and module not in chapter.modules(1):
                continue
            theirs = functions(ast.parse(starters.starter(chapter, module)))
            ours = functions(ast.parse((REFERENCE / module).read_text()))
            assert theirs.keys() == ours.keys()
            asked = starters.exercises(chapter, module)
            for name, node in ours.items():
                assert ast.dump(node.args) == ast.dump(theirs[name].args)
                assert ast.get_docstring(node) == ast.get_docstring(theirs[name])
                assert is_stub(theirs[name]) == (name in asked)
                if name not in asked:
                    assert ast.dump(node) == ast.dump(theirs[name])


@each_chapter
def test_starters_fail_every_step(chapter: Chapter, tmp_path: Path) -> None:
    starters.write_starters(chapter, tmp_path)
    results = runner.check(runner.Request(chapter, tmp_path, needs=False))
    assert [result.step.id for result in results] == [step.id for step in chapter.steps]
    assert {(result.outcome, result.diagnosis) for result in results} == {("failed", "unwritten")}
    assert all(result.facts["module"] in result.why() for result in results)


# The reference


@pytest.mark.timeout(500)
@each_chapter_and_v2
def test_the_reference_passes_every_step(chapter: Chapter) -> None:
    results = runner.check(runner.Request(chapter))
    assert [(r.step.id, r.outcome, r.got) for r in results] == [
        (step.id, "passed", "") for step in chapter.steps
    ]


# Mutants


def check_mutants(names: list[str]) -> None:
    """Two at a time, each group in a process of its own: what they print if one gets through."""
    command = [sys.executable, "-m", "lab.course.mutants"]
    halves = [half for half in (names[::2], names[1::2]) if half]
    running = [
        subprocess.Popen([*command, *half], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for half in halves
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(halves), "".join(said)
    assert sum(text.count("ok ") for text in said) == len(names)


@pytest.mark.timeout(500)
@each_chapter_and_v2
def test_one_mutant_of_each_step_is_caught_as_named(chapter: Chapter) -> None:
    known = mutants(chapter)
    if cgroup_version() == 2 and chapter.number == 3:  # the others are caught on v1 already
        known = [mutant for mutant in known if mutant.cgroups == 2]
    first = {mutant.step: mutant.name for mutant in reversed(known)}
    check_mutants(list(first.values()))


@pytest.mark.soak
@pytest.mark.timeout(600)
@each_chapter
def test_every_mutant_is_caught_as_named(chapter: Chapter) -> None:
    check_mutants([mutant.name for mutant in mutants(chapter)])


@pytest.mark.soak
@pytest.mark.timeout(1200)
@each_chapter
def test_no_mutant_is_taken_for_a_mistake_in_an_earlier_step(chapter: Chapter) -> None:
    for mutant in mutants(chapter):
        result = mutant.check(whole=True)
        assert (result.step.id, result.diagnosis) == (mutant.step, mutant.diagnosis), mutant.name


# A view


def test_a_step_is_judged_on_the_students_code_up_to_it(tmp_path: Path) -> None:
    """A later step that is written wrongly, or not at all, is the reference's meanwhile."""
    chapter = chapters()[0]
    starters.write_starters(chapter, tmp_path)
    module = tmp_path / "sandbox/namespaces.py"
    text = module.read_text()
    for name in ("make", "fork_off"):
        node = functions(ast.parse((REFERENCE / "sandbox/namespaces.py").read_text()))[name]
        body = ast.unparse(node).partition("\n")[2]
        stub = re.compile(
            rf"(def {name}\(.*?\n)(    \"\"\".*?\"\"\"\n)?    # Step.*?\n    raise .*?\n", re.S
        )
        text = stub.sub(lambda found, body=body: f"{found[1]}{body}\n", text, count=1)  # type: ignore[misc]
    text = text.replace(
        'raise NotImplementedError("step 3.2: make_private")', "syscalls.sethostname(1)"
    )
    module.write_text(text)
    results = runner.check(runner.Request(chapter, tmp_path, only=["3.1", "3.2"], needs=False))
    assert [(r.step.id, r.outcome, r.diagnosis) for r in results] == [
        ("3.1", "passed", ""),
        ("3.2", "failed", "crash"),
    ]
    assert re.search(r"work/sandbox/namespaces\.py:\d+", results[1].why())


@pytest.mark.parametrize(
    ("text", "diagnosis"),
    [("def make(:\n", "syntax"), ("x = 1\n", "missing"), ("\0", "syntax")],
)
def test_a_module_that_cannot_be_judged_is_told_so(
    tmp_path: Path, text: str, diagnosis: str
) -> None:
    chapter = chapters()[0]
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox/namespaces.py").write_text(text)
    with pytest.raises(views.Unfit) as caught:
        views.build(chapter, chapter.step("3.1"), set(), tmp_path, [])
    assert caught.value.diagnosis == diagnosis


def test_a_missing_module_is_told_so(tmp_path: Path) -> None:
    chapter = chapters()[0]
    with pytest.raises(views.Unfit) as caught:
        views.build(chapter, chapter.step("3.3"), set(), tmp_path, [])
    assert caught.value.diagnosis == "no-module"


def test_the_readmes_say_what_the_manifests_say() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "run python3 -m lab.course.pages"
