"""What a step is judged on: the student's functions up to that step, over the reference.

A view is a directory like `work/`, for mydocker's import finder (mydocker/upper.py). Of the
chapter under test it has the student's modules, in which the functions of *later* steps, and of
earlier ones that failed, are the reference's: so a step is red for its own sake only. They are
compiled here, so that an error names the line in `work/`, and a run need not parse anything.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import marshal
import shutil
from pathlib import Path

from lab.course.manifest import REFERENCE, Chapter, Step, chapters
from mydocker.upper import functions, is_stub, merge


class Unfit(Exception):
    """A module of the student's cannot be judged at all: which diagnosis, and its facts."""

    def __init__(self, diagnosis: str, **facts: str) -> None:
        super().__init__(diagnosis, facts)
        self.diagnosis = diagnosis
        self.facts = facts


def build(
    chapter: Chapter, step: Step, passed: set[str], work: Path, others: list[str]
) -> dict[str, bytes]:
    """The files of the view for this step. others: modules that are taken from `work` as they are.

    Raises Unfit when a module that the step is about cannot be used.
    """
    files = {name: (work / name).read_bytes() for name in others if (work / name).is_file()}
    wanted = {f.module for f in step.functions()}
    for module in chapter.modules():
        path = work / module
        if not path.is_file():
            if module in wanted:
                raise Unfit("no-module", module=module, chapter=str(chapter.number))
            continue
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            if module in wanted:
                line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
                what = error.msg if isinstance(error, SyntaxError) else str(error)
                raise Unfit("syntax", module=module, error=f"{what}{line}") from None
            continue
        theirs = functions(tree)
        replaced = []
        for one in chapter.steps:
            for function in one.functions():
                if function.module != module:
                    continue
                if one.id == step.id:
                    check(theirs, module, function.name)
                elif one.id not in passed:
                    replaced.append(function.name)
        merge(tree, ast.parse((REFERENCE / module).read_bytes()), replaced)
        code = compile(tree, str(path), "exec", dont_inherit=True)
        header = importlib.util.MAGIC_NUMBER + bytes(12)
        files[module + "c"] = header + marshal.dumps(code)
    return files


def check(theirs: dict[str, ast.FunctionDef], module: str, name: str) -> None:
    """Whether the function is there and written."""
    if name not in theirs:
        raise Unfit("missing", what=name, module=module)
    if is_stub(theirs[name]):
        raise Unfit("unwritten", what=name, module=module)


def write(files: dict[str, bytes], directory: Path) -> None:
    """Put the files of a view where mydocker finds them."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def extras(work: Path) -> list[str]:
    """Modules in `work` that no chapter asks for: a student's own helpers, always taken."""
    if not work.is_dir():
        return []
    asked = {
        module
        for chapter in chapters()
        for version in (1, 2)
        for module in chapter.modules(version)
    }
    found = (str(path.relative_to(work)) for path in work.rglob("*.py"))
    return sorted(name for name in found if name not in asked and not name.startswith("."))


def content(chapter: Chapter, work: Path) -> str:
    """A hash of everything of the student's that a chapter is judged on; empty if there is none."""
    names = [name for name in chapter.modules() if (work / name).is_file()]
    if not names:
        return ""
    digest = hashlib.sha256()
    for name in [*names, *extras(work)]:
        digest.update(name.encode() + b"\0" + (work / name).read_bytes() + b"\0")
    return digest.hexdigest()


def unwritten(chapter: Chapter, work: Path) -> list[Step]:
    """The steps of which something is still as it was handed out, or gone."""
    found = []
    for step in chapter.steps:
        for function in step.functions():
            try:
                theirs = functions(ast.parse((work / function.module).read_bytes()))
                check(theirs, function.module, function.name)
            except (OSError, SyntaxError, ValueError, Unfit):
                found.append(step)
                break
    return found
