"""Starter files: the reference module with the bodies of the exercises taken out.

They are made at the moment they are asked for, from the reference's syntax tree and the chapter's
manifest, so they cannot fall behind either.
"""

from __future__ import annotations

import ast
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab.course.manifest import REFERENCE, Chapter, Step
from lab.course.progress import own
from mydocker.upper import functions


@dataclass
class Piece:
    """A stretch of the module: given as it is, or the head of a function to write."""

    text: str
    step: Step | None = None
    name: str = ""
    indent: str = ""


def exercises(chapter: Chapter, module: str) -> dict[str, Step]:
    """The functions of a module that are to be written, and the step of each."""
    return {
        function.name: step
        for step in chapter.steps
        for function in step.functions()
        if function.module == module
    }


def starter(chapter: Chapter, module: str) -> str:
    """The module as it is handed out."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    source = (REFERENCE / module).read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    pieces = cut(source, exercises(chapter, module))
    return environment.get_template("starter.jinja").render(pieces=pieces)


def cut(source: str, wanted: dict[str, Step]) -> list[Piece]:
    """The module in pieces."""
    lines = source.splitlines(keepends=True)
    found = functions(ast.parse(source))
    pieces, at = [], 0
    for name, node in sorted(found.items(), key=lambda item: item[1].lineno):
        if name not in wanted:
            continue
        first = node.body[0]
        has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        head = (first.end_lineno if has_docstring else first.lineno - 1) or node.lineno
        while not has_docstring and lines[head - 1].strip().startswith("#"):
            head -= 1  # comments above the first line of a body belong to the solution
        pieces.append(Piece("".join(lines[at : node.lineno - 1])))
        text = "".join(lines[node.lineno - 1 : head]).rstrip("\n")
        pieces.append(Piece(text, wanted[name], name, " " * (node.col_offset + 4)))
        at = node.end_lineno or head
    return [*pieces, Piece("".join(lines[at:]))]


def solution(step: Step) -> str:
    """The reference's functions of a step."""
    parts = []
    for function in step.functions():
        source = (REFERENCE / function.module).read_text(encoding="utf-8")
        node = functions(ast.parse(source))[function.name]
        text = "".join(source.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno])
        parts.append(f"# {function.module}\n\n{text}")
    return "\n\n".join(parts)


def write_starters(chapter: Chapter, work: Path) -> tuple[list[str], list[str]]:
    """Write what is missing of a chapter's starters; which were written, which were there."""
    written, kept = [], []
    for module in chapter.modules():
        path = work / module
        if path.exists():
            kept.append(module)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(starter(chapter, module), encoding="utf-8")
        own(path, path.parent, work)
        written.append(module)
    return written, kept


def set_aside(chapter: Chapter, work: Path) -> Path | None:
    """Move the chapter's files of the student's to a dated backup; None if there are none."""
    there = [module for module in chapter.modules() if (work / module).exists()]
    if not there:
        return None
    backup = work / ".backup" / time.strftime(f"%Y-%m-%d-%H%M%S-{chapter.name}")
    for module in there:
        target = backup / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / module, target)
    return backup
