"""An exercise as its chapter's manifest has it: what to write, what it is worth, where hints are.

```exercise
3.1
```
"""

from __future__ import annotations

import html
import re
import tomllib
from functools import cache
from typing import Any

from lab.docs.blocks import CHECKOUT, Page, english, twin

WORDS: dict[str, Any] = {
    "en": {
        "title": "Exercise {id} ({points} points)",
        "write": "To write: ",
        "v1": " (cgroup v1)",
        "v2": " (cgroup v2)",
        "in": "{names} in `{module}`",
        "and": ", ",
        "join": "; ",
        "hint": "Begin with `make start CH={chapter}`. Stuck? `make hint STEP={id}`, or here:",
        "hints": ("Hint 1: a nudge", "Hint 2: the mechanism", "Hint 3: almost the code"),
        "end": ".",
        "absent": "Exercise {id} is being written.",
    },
    "zh": {
        "title": "练习 {id}（{points} 分）",
        "write": "要写的是：",
        "v1": "（cgroup v1）",
        "v2": "（cgroup v2）",
        "in": "`{module}` 里的 {names}",
        "and": "、",
        "join": "；",
        "hint": "`make start CH={chapter}` 开始；卡住了就 `make hint STEP={id}`，或者看这里：",
        "hints": ("提示一：点一下", "提示二：原理", "提示三：几乎就是代码"),
        "end": "。",
        "absent": "练习 {id} 正在编写。",
    },
}


@cache
def steps(chapter: str) -> dict[str, dict[str, Any]]:
    """The steps of a chapter by id; none where there is no such chapter yet."""
    found = {}
    for path in (CHECKOUT / "chapters").glob(f"ch{chapter}_*/chapter.toml"):
        for step in tomllib.loads(path.read_text())["steps"]:
            found[step["id"]] = step
    return found


@cache
def places() -> dict[str, tuple[str, str]]:
    """Where each exercise stands: {step: (English page, section)}."""
    found = {}
    for path in english():
        page = Page(path)
        for block in page.blocks:
            if block.lang == "exercise":
                above = [s for s in page.sections if s.level == 2 and s.line < block.line]
                found[block.text.strip()] = (str(path.relative_to(CHECKOUT)), above[-1].id)
    return found


def link(id: str, chinese: bool) -> str:
    """The way from the checkout to the section of a step: `docs/…/page.md#section`."""
    path, section = places()[id]
    page = twin(CHECKOUT / path) if chinese else CHECKOUT / path
    return f"{page.relative_to(CHECKOUT)}#{section}"


def show(id: str, language: str) -> list[str]:
    """The exercise as an admonition; ValueError when its chapter has no such step."""
    words, chapter = WORDS[language], id.partition(".")[0]
    known = steps(chapter)
    if not known:
        return [f'!!! example "{words["absent"].format(id=id)}"']
    if id not in known:
        raise ValueError(f"exercise {id}: chapters/ch{chapter}_* has no such step")
    step = known[id]
    title = words["title"].format(id=id, points=step["points"])
    zh = language == "zh"
    teaches = step.get("teaches_zh" if zh else "teaches", step["teaches"])
    written = [
        _functions(step[key], words) + words.get(version, "")
        for key, version in (("write", ""), ("write_v1", "v1"), ("write_v2", "v2"))
        if key in step
    ]
    return [
        f'!!! example "{title}"',
        "",
        f"    {teaches}",
        "",
        f"    {words['write']}{words['join'].join(written)}{words['end']}",
        "",
        f"    {words['hint'].format(chapter=chapter, id=id)}",
        *_hints(step.get("hints_zh" if zh else "hints", step["hints"]), words["hints"]),
    ]


def _hints(hints: list[str], titles: tuple[str, ...]) -> list[str]:
    """Each folded away: who opens the third has been asked twice."""
    lines = []
    for title, text in zip(titles, hints, strict=True):
        lines += ["", f'    ??? tip "{title}"', "", f"        {_plain(text)}"]
    return lines


def _plain(text: str) -> str:
    """Hints are written for a terminal: what Markdown would take for its own is escaped."""
    parts = text.split("`")
    parts[::2] = [
        re.sub(r"([\\*_\[\]#{}])", r"\\\1", html.escape(part, quote=False)) for part in parts[::2]
    ]
    return "`".join(parts)


def _functions(names: list[str], words: dict[str, Any]) -> str:
    modules: dict[str, list[str]] = {}
    for text in names:
        module, _, name = text.partition(":")
        modules.setdefault(module, []).append(f"`{name}`")
    return str(words["join"]).join(
        words["in"].format(module=module, names=words["and"].join(found))
        for module, found in modules.items()
    )
