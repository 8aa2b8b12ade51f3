"""Grade submissions: this checkout, and of the student's nothing but the files to be written.

A submission is a directory that holds `work/`, or what would be in it; a directory of such
directories is a class. Checkpoints, reference and package are this checkout's own, whatever else
has been handed in. What comes out, in OUT (default: build/grade), for each submission:

    NAME.json             everything: each step with its outcome, diagnosis and points
    NAME.junit.xml        the same for tools that read JUnit
    NAME.gradescope.json  results.json of a Gradescope autograder
    NAME.classroom.json   the result of a GitHub Classroom autograding runner

and one line on stdout. CH=4 grades that chapter only; else all that have files.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from lab.course import runner, views
from lab.course.manifest import CHECKOUT, Chapter, Mistake, chapter, chapters

LARGEST = 1 << 20
"""Bytes of a module; nobody writes more by hand."""


def grade(path: Path) -> int:
    """Grade what is at the path; 0 if all could be graded, whatever their points."""
    if not path.is_dir():
        raise Mistake(f"{path} is no directory", "make grade SUBMISSION=dir")
    out = Path(os.environ.get("OUT") or CHECKOUT / "build" / "grade")
    out.mkdir(parents=True, exist_ok=True)
    asked = os.environ.get("CH")
    wanted = [chapter(asked)] if asked else chapters()
    every = submissions(path)
    if not every:
        raise Mistake(f"{path} holds no submission", "a submission has a directory work/")
    for name, source in every:
        report = one(name, source, wanted)
        for end, text in formats(report).items():
            (out / f"{name}{end}").write_text(text, encoding="utf-8")
        parts = ", ".join(f"{c['chapter']} {c['points']}/{c['of']}" for c in report["chapters"])
        print(f"{name}: {report['points']}/{report['of']} ({parts})", flush=True)
    print(out)
    return 0


def submissions(path: Path) -> list[tuple[str, Path]]:
    """Each submission's name and its `work/`."""
    if (source := root_of(path)) is not None:
        return [(path.resolve().name, source)]
    inner = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.is_symlink())
    return [(entry.name, source) for entry in inner if (source := root_of(entry)) is not None]


def root_of(path: Path) -> Path | None:
    """The directory in a submission that mirrors the package."""
    names = {module for one in chapters() for v in (1, 2) for module in one.modules(v)}
    for candidate in (path / "work", path):
        if any((candidate / name).is_file() for name in names):
            return candidate
    return None


def one(name: str, source: Path, wanted: list[Chapter]) -> dict[str, Any]:
    """Grade one submission: chapter by chapter, each over those before it that passed whole."""
    report: dict[str, Any] = {"submission": name, "points": 0, "of": 0, "chapters": []}
    report["graded"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with tempfile.TemporaryDirectory(prefix="mydocker-grade-") as directory:
        work = Path(directory) / "work"
        take(source, work)
        passed: list[str] = []
        for part in wanted:
            chapter_report = judge(part, work, [*passed, *views.extras(work)])
            if chapter_report["points"] == chapter_report["of"]:
                passed += part.modules()
            report["chapters"].append(chapter_report)
            report["points"] += chapter_report["points"]
            report["of"] += chapter_report["of"]
    return report


def take(source: Path, work: Path) -> None:
    """Copy the modules of a submission: regular files of Python, and no links to anything."""
    for path in sorted(source.rglob("*.py")):
        inner = path.relative_to(source)
        here = [source.joinpath(*inner.parts[:n]) for n in range(1, len(inner.parts) + 1)]
        linked = any(part.is_symlink() for part in here)
        hidden = any(part.startswith(".") for part in inner.parts)
        status = path.lstat()
        if linked or hidden or not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            continue
        (work / inner).parent.mkdir(parents=True, exist_ok=True)
        (work / inner).write_bytes(path.read_bytes())
    work.mkdir(exist_ok=True)


def judge(part: Chapter, work: Path, others: list[str]) -> dict[str, Any]:
    """One chapter of a submission; without any file of it, all steps are missing."""
    own = set(part.modules())
    results: list[runner.Result] = []
    problem = ""
    if views.content(part, work):
        request = runner.Request(part, work, [name for name in others if name not in own])
        try:
            results = runner.check(request)
        except Mistake as error:
            problem = str(error)
    known = {result.step.id: result for result in results}
    steps = []
    for step in part.steps:
        result = known.get(step.id)
        row: dict[str, Any] = {
            "step": step.id,
            "title": step.title,
            "of": step.points,
            "points": step.points if result and result.passed else 0,
            "outcome": result.outcome if result else "missing",
            "seconds": round(result.seconds, 3) if result else 0.0,
        }
        if result and result.outcome == "skipped":
            row["message"] = f"needs step {result.needs}"
        elif result and not result.passed:
            row |= {"diagnosis": result.diagnosis, "message": result.why()}
            row |= {"expected": result.expected, "got": result.got, "see": result.see}
        elif not result:
            row["message"] = problem or "not handed in"
        steps.append(row)
    points = sum(row["points"] for row in steps)
    return {
        "chapter": part.name,
        "title": part.title,
        "points": points,
        "of": part.points,
        "steps": steps,
    }


def formats(report: dict[str, Any]) -> dict[str, str]:
    """A report in each of the forms."""
    dump = {"ensure_ascii": False, "indent": 1}
    return {
        ".json": json.dumps(report, **dump) + "\n",  # type: ignore[arg-type]
        ".junit.xml": junit(report),
        ".gradescope.json": json.dumps(gradescope(report), **dump) + "\n",  # type: ignore[arg-type]
        ".classroom.json": json.dumps(classroom(report), **dump) + "\n",  # type: ignore[arg-type]
    }


def told(row: dict[str, Any]) -> str:
    """What a student is told about a step that has no points."""
    keys = ("message", "expected", "got", "see")
    return "\n".join(f"{key}: {row[key]}" for key in keys if row.get(key))


def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of all chapters."""
    return [row for part in report["chapters"] for row in part["steps"]]


def junit(report: dict[str, Any]) -> str:
    """JUnit's XML: a suite for each chapter, a case for each step."""
    top = ET.Element("testsuites", name=report["submission"])
    for part in report["chapters"]:
        bad = [row for row in part["steps"] if row["outcome"] == "failed"]
        missed = [row for row in part["steps"] if row["outcome"] not in ("failed", "passed")]
        counts = {"tests": len(part["steps"]), "failures": len(bad), "skipped": len(missed)}
        words = {"name": part["chapter"], **{key: str(number) for key, number in counts.items()}}
        suite = ET.SubElement(top, "testsuite", words)
        for row in part["steps"]:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=part["chapter"],
                name=f"{row['step']} {row['title']}",
                time=str(row["seconds"]),
            )
            if row["outcome"] == "failed":
                ET.SubElement(case, "failure", message=legal(row["message"])).text = legal(
                    told(row)
                )
            elif row["outcome"] != "passed":
                ET.SubElement(case, "skipped", message=legal(row.get("message", "")))
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def legal(text: str) -> str:
    """The text without the control characters that XML cannot hold."""
    return "".join(char if char >= " " or char in "\t\n" else "?" for char in text)


def gradescope(report: dict[str, Any]) -> dict[str, Any]:
    """results.json of a Gradescope autograder (its "Autograder Specifications")."""
    return {
        "score": report["points"],
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [
            {
                "name": f"{row['step']} {row['title']}",
                "number": row["step"],
                "score": row["points"],
                "max_score": row["of"],
                "status": "passed" if row["outcome"] == "passed" else "failed",
                "output": told(row),
                "visibility": "visible",
            }
            for row in rows(report)
        ],
    }


def classroom(report: dict[str, Any]) -> dict[str, Any]:
    """The result of a runner of GitHub Classroom's autograding (autograding-grading-reporter)."""
    tests = [
        {
            "name": f"{row['step']} {row['title']}",
            "status": "pass" if row["outcome"] == "passed" else "fail",
            "message": told(row) or None,
            "test_code": f"make ch{row['step'].partition('.')[0]}",
            "filename": "",
            "line_no": 0,
            "execution_time": f"{row['seconds']}s",
            "score": row["points"],
        }
        for row in rows(report)
    ]
    done = all(test["status"] == "pass" for test in tests)
    return {
        "version": 1,
        "status": "pass" if done else "fail",
        "max_score": report["of"],
        "tests": tests,
    }
