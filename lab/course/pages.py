"""A chapter's README in both languages, from its manifest: `python3 -m lab.course.pages`.

A test compares what is there with what this writes, so the pages cannot fall behind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab.course.manifest import chapters
from lab.docs import exercise

if TYPE_CHECKING:
    from lab.course.manifest import Chapter

WORDS = {
    "begin": ("Begin", "开始"),
    "check": ("check", "检查"),
    "steps": ("Steps", "步骤"),
    "write": ("To write", "要写的"),
    "book": ("the book's {}", "书中 {} 节"),
    "points": ("{} points", "{} 分"),
    "other": ("[中文](README.zh.md)", "[English](README.md)"),
    "v1": ("on cgroup v1", "cgroup v1"),
    "v2": ("on cgroup v2", "cgroup v2"),
    "site": (
        "By hand, what goes wrong, how Docker does it: [on the site]({}) (`make docs-serve`).",
        "先动手、容易出错的地方、Docker 怎么做：见[网站上的这一节]({})（`make docs-serve`）。",
    ),
    "needs": ("Needs step {}.", "先完成第 {} 步。"),
    "how": (
        "writes the starter files into `work/`. `make ch{n}` says which step is next and why it is "
        "red (`STEP={n}.2` looks at that one only); `make hint STEP={n}.1` helps, again for more; "
        "`make watch CH={n}` checks at each save.",
        "把起始文件写进 `work/`。`make ch{n}` 告诉你下一步是什么、为什么没通过"
        "（`STEP={n}.2` 只看那一步）；"
        "`make hint STEP={n}.1` 给提示，再运行一次更明确；`make watch CH={n}` 每次保存都检查。",
    ),
}


def page(chapter: Chapter, chinese: bool) -> str:
    """The text of the README."""
    end = "_zh" if chinese else ""

    def word(key: str) -> str:
        return WORDS[key][chinese]

    lines = [
        f"# {chapter.number}. {chapter.data['title' + end]}",
        "",
        word("other"),
        "",
        chapter.data["intro" + end].strip(),
        "",
        f"`make start CH={chapter.number}` {word('how').format(n=chapter.number)}",
        "",
        f"## {word('steps')}",
    ]
    for step in chapter.steps:
        data = step.data
        lines += [
            "",
            f'<a id="step-{step.id.replace(".", "-")}"></a>',
            "",
            f"### {step.id} {data['title' + end]}",
            "",
            f"{data['teaches' + end]}"
            f" ({word('book').format(data['book'])}; {word('points').format(step.points)})",
            "",
            word("site").format(f"../../{exercise.link(step.id, chinese)}"),
            "",
            f"{word('write')}:",
            "",
        ]
        for key, where in (("write", ""), ("write_v1", word("v1")), ("write_v2", word("v2"))):
            for text in data.get(key, []):
                module, _, name = text.partition(":")
                lines.append(f"- `{name}` in `work/{module}`" + (f" ({where})" if where else ""))
        if step.needs:
            lines += ["", word("needs").format(", ".join(step.needs))]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every page with its text."""
    return {
        chapter.directory / name: page(chapter, chinese)
        for chapter in chapters()
        for name, chinese in (("README.md", False), ("README.zh.md", True))
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(os.path.relpath(path))
