"""An exercise as its chapter's manifest has it: what to write, what it is worth, where hints are.

```exercise
3.1
```
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from lab.docs.blocks import CHECKOUT

WORDS = {
    "en": {
        "title": "Exercise {id} ({points} points)",
        "write": "To write: ",
        "v1": " (cgroup v1)",
        "v2": " (cgroup v2)",
        "in": "{names} in `{module}`",
        "and": ", ",
        "join": "; ",
        "hint": "Begin with `make start CH={chapter}`. Stuck? `make hint STEP={id}`, three times.",
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
        "hint": "`make start CH={chapter}` 开始；卡住了就 `make hint STEP={id}`，一共三条提示。",
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
    ]


def _functions(names: list[str], words: dict[str, str]) -> str:
    modules: dict[str, list[str]] = {}
    for text in names:
        module, _, name = text.partition(":")
        modules.setdefault(module, []).append(f"`{name}`")
    return words["join"].join(
        words["in"].format(module=module, names=words["and"].join(found))
        for module, found in modules.items()
    )
