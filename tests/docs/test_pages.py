"""The pages as texts: both languages in step, ids and links that hold, no block left out.

None of this needs MkDocs; that the site builds is test_site.py, that blocks run test_blocks.py.
"""

from __future__ import annotations

import html
import importlib
import json
import os
import re
from pathlib import Path

import pytest

from lab.course import manifest
from lab.docs import blocks, exercise, record, reference, source, twins
from mydocker import cli

PAGES = [blocks.Page(path) for path in blocks.pages()]
OURS = [page for page in PAGES if not blocks.is_english_only(page.path)]
SHELLS = [block for page in OURS for block in page.blocks if block.lang in blocks.SHELLS]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def name(page: blocks.Page) -> str:
    return str(page.path.relative_to(blocks.DOCS))


def test_both_languages_are_in_step() -> None:
    problems = twins.check()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", OURS, ids=name)
def test_every_heading_has_an_id_of_its_own(page: blocks.Page) -> None:
    ids = [section.id for section in page.sections]
    assert all(ids), [s.title for s in page.sections if not s.id]
    assert len(ids) == len(set(ids)), f"twice: {sorted(id for id in ids if ids.count(id) > 1)}"


def test_every_shell_block_runs_or_says_why_not() -> None:
    problems = []
    for block in SHELLS:
        if block.lang != "console":
            problems.append(f"{block}: {block.lang}: write it as console, with prompts")
        elif blocks.is_chinese(block.page) and "same" not in block.attrs:
            problems.append(f"{block}: a Chinese page shows the block of its twin: same=NAME")
        elif not blocks.is_chinese(block.page) and "id" not in block.attrs:
            problems.append(f"{block}: has no name")
        elif "skip" in block.attrs and block.attrs["skip"] not in blocks.REASONS:
            problems.append(f"{block}: {block.attrs['skip']} is none of blocks.REASONS")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", [p for p in OURS if blocks.is_chinese(p.path)], ids=name)
def test_the_chinese_page_shows_the_blocks_of_its_twin_in_their_order(page: blocks.Page) -> None:
    shown = [b.attrs["same"] for b in page.blocks if b.lang == "console"]
    there = [b for b in blocks.Page(blocks.twin(page.path)).blocks if b.lang == "console"]
    assert shown == [b.attrs["id"] for b in there if "hidden" not in b.attrs]


def test_the_code_that_the_pages_show_is_in_the_source() -> None:
    lines = [line for p in PAGES for b in p.blocks if b.lang == "source" for line in b.lines]
    assert lines
    for line in lines:
        assert source.show(line)[1].strip()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_page_and_a_section_that_are_there(page: blocks.Page) -> None:
    problems = []
    text = "\n".join(line for s in page.sections for line in s.text)
    for match in LINK.finditer(re.sub(r"`[^`]*`", "", text)):
        path, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = Path(os.path.normpath(page.path.parent / path)) if path else page.path
        if not target.exists():
            problems.append(f"{match['target']}: no such page")
        elif anchor and target.suffix == ".md" and not has(target, anchor):
            problems.append(f"{match['target']}: no such section")
    assert not problems, "\n".join(problems)


def test_a_link_to_a_step_leads_to_the_section_of_that_step() -> None:
    link = re.compile(r"\[(?:step|第) (\d\.\d+)(?: 步)?\]\(([^)#\s]*)#([\w-]+)\)")
    found = [(p, m) for p in OURS for m in link.finditer("\n".join(p.lines))]
    assert found
    for page, match in found:
        step, path, anchor = match.groups()
        target = (page.path.parent / path).resolve() if path else page.path
        section = re.sub(r"-(reference|wrong|others)$", "", anchor)
        shown = (str(target.relative_to(blocks.CHECKOUT)), section)
        where = exercise.places()[step]
        assert shown == where, f"{name(page)}: step {step} is at {where}"


def has(path: Path, anchor: str) -> bool:
    page = blocks.Page(path)
    if any(block.lang == "commands" for block in page.blocks):
        return True  # made from the command line's tables; the site's build looks at these
    return blocks.is_english_only(path) or anchor in [section.id for section in page.sections]


def test_the_command_lines_page_has_every_command_that_the_help_has() -> None:
    names = set(cli.COMMANDS)  # what --help lists
    for language in ("en", "zh"):
        shown = set(re.findall(r"^## (\S+) ", reference.commands(language), re.M))
        assert names <= shown, names - shown


def test_the_tests_that_the_pages_name_are_there() -> None:
    tests = "\n".join(path.read_text() for path in (blocks.CHECKOUT / "tests").rglob("test_*.py"))
    named = {word for p in PAGES for line in p.lines for word in re.findall(r"`(test_\w+)`", line)}
    assert named
    assert not [word for word in sorted(named) if f"def {word}(" not in tests]


def numbers(page: blocks.Page) -> list[str]:
    return [block.text.strip() for block in page.blocks if block.lang == "exercise"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_step_of_a_chapter_that_has_pages_is_on_one_of_them(language: str) -> None:
    shown = [n for p in OURS if blocks.is_chinese(p.path) == (language == "zh") for n in numbers(p)]
    assert len(shown) == len(set(shown)), "a step is shown twice"
    for chapter in sorted({number.partition(".")[0] for number in shown}):
        steps = exercise.steps(chapter)
        here = {number for number in shown if number.partition(".")[0] == chapter}
        assert not steps or here == set(steps), f"chapter {chapter}"


def test_an_exercise_names_what_is_to_be_written_in_both_languages() -> None:
    assert exercise.show("6.3", "en")[4] == (
        "    To write: `attach`, `link_name` in `network/endpoint.py`."
    )
    assert exercise.show("3.8", "zh")[4].endswith(
        "`V1._memory`（cgroup v1）；`cgroups/v2.py` 里的 `V2._memory`（cgroup v2）。"
    )


@pytest.mark.docs
def test_a_hint_is_shown_as_it_was_written() -> None:
    markdown = importlib.import_module("markdown")  # comes with MkDocs
    hint = exercise.steps("6")["6.1"]["hints"][2]
    shown = markdown.markdown(exercise.show("6.1", "en")[-1].strip())
    assert "1 << index" in hint
    assert html.unescape(re.sub("<.*?>", "", shown)).strip() == hint


@pytest.mark.parametrize("page", [p for p in OURS if numbers(p)], ids=name)
def test_an_exercise_stands_under_its_own_number(page: blocks.Page) -> None:
    for block in page.blocks:
        if block.lang == "exercise":
            above = [s for s in page.sections if s.level == 2 and s.line < block.line][-1]
            assert re.search(rf"\b{re.escape(block.text.strip())}\b", above.title), above.title


PATTERN = {
    "en": (r"\*\*By hand", r'question "Predict', r"`make ch{} STEP={}`", r'question "Check yours'),
    "zh": (r"\*\*先?动手", r'question "先猜', r"`make ch{} STEP={}`", r'question "想一想'),
}


@pytest.mark.parametrize("page", [p for p in OURS if numbers(p)], ids=name)
def test_every_step_has_the_whole_pattern(page: blocks.Page) -> None:
    language = "zh" if blocks.is_chinese(page.path) else "en"
    missing = []
    for block in page.blocks:
        if block.lang != "exercise":
            continue
        step = block.text.strip()
        start = [s for s in page.sections if s.level == 2 and s.line < block.line][-1]
        later = [s.line for s in page.sections if s.level == 2 and s.line > block.line]
        end = min(later, default=len(page.lines))
        text = "\n".join(page.lines[start.line : end])
        parts = {s.id: s for s in page.sections if start.line < s.line < end}
        endings = {id.rpartition("-")[2] for id in parts}
        missing += [f"{step}: {e}" for e in ("reference", "wrong", "others") if e not in endings]
        for word in PATTERN[language]:
            if not re.search(word.format(step.partition(".")[0], re.escape(step)), text):
                missing.append(f"{step}: {word}")
        code = [b for b in page.blocks if b.lang == "source" and start.line < b.line < end]
        others = "".join("\n".join(s.text) for id, s in parts.items() if id.endswith("-others"))
        missing += [f"{step}: the reference's code"] * (not code)
        missing += [f"{step}: a link of how others do it"] * ("https://" not in others)
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_where_a_failed_checkpoint_sends_its_reader_there_is_something_to_read(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG_LAB", language)
    steps = [step for chapter in manifest.chapters() for step in chapter.steps]
    assert len(steps) == 35
    for step in steps:
        path, _, anchor = step.address.partition("#")
        assert path.endswith(".zh.md") == (language == "zh")
        text = (blocks.CHECKOUT / path).read_text()
        assert text.count(f'<a id="{anchor}"></a>') == 1, step.address
        after = text.partition(f'<a id="{anchor}"></a>')[2].partition("<a id=")[0]
        (target,) = re.findall(r"\]\(\.\./\.\./(docs/\S+)\)", after)
        page, _, section = target.partition("#")
        assert has(blocks.CHECKOUT / page, section), target
        assert step.id in numbers(blocks.Page(blocks.CHECKOUT / page)), target


def test_every_recorded_session_is_of_its_script() -> None:
    shown = {b.text.strip() for p in PAGES for b in p.blocks if b.lang == "cast"}
    scripts = {script.stem: script for script in record.CASTS.glob("*.txt")}
    assert shown == set(scripts)
    for script in scripts.values():
        header = json.loads(script.with_suffix(".cast").read_text().partition("\n")[0])
        assert header["env"]["SCRIPT"] == record.digest(script), f"{script}: make casts"
