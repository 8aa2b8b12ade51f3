"""What MkDocs does not do by itself: our kinds of fenced blocks, and the list of decisions.

console    a shell block (blocks.py), prompts and output marked, a note when it is not run
source     the reference's code, by name (source.py)
commands   the command line's reference (reference.py)
cast       a recorded terminal session, docs/casts/NAME.cast
mermaid    a diagram, drawn by the reader's browser
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from lab.docs import blocks, chart, exercise, reference, source

PROMPT = re.compile(r"(?:/\S* )?# |\$ |PS> |> |\^[A-Z](?:\^[A-Z])*$")
WORDS = {
    "en": {"2": "the second terminal", "1": "the first terminal", "skip": "Not run by the tests"},
    "zh": {"2": "第二个终端", "1": "第一个终端", "skip": "测试不运行这一段"},
}


def on_config(config: Any) -> Any:
    """Teach the fences their names, and list the decisions that there are in docs/adr."""
    from pymdownx.superfences import fence_code_format

    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    formats = {"console": console, "cast": cast, "mermaid": fence_code_format}
    fences["custom_fences"] = [
        {"name": name, "class": name, "format": function, "validator": accept}
        for name, function in formats.items()
    ]
    _complete(config.nav)
    return config


def _complete(nav: list[Any]) -> None:
    """Put in the decisions that there are, and leave out a page that is not there (yet)."""
    for item in list(nav):
        for title, children in item.items() if isinstance(item, dict) else ():
            if children == "adr/":
                item[title] = ["adr/README.md", *_decisions()]
            elif isinstance(children, list):
                _complete(children)
            elif not (blocks.DOCS / children).exists():
                nav.remove(item)


def _decisions() -> list[str]:
    return [f"adr/{path.name}" for path in sorted((blocks.DOCS / "adr").glob("0*.md"))]


def accept(language: str, inputs: dict[str, str], options: Any, attrs: Any, md: Any) -> bool:
    """Every option is ours: they were written by on_page_markdown."""
    options.update(inputs)
    return True


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put into each of our fences what it stands for."""
    path = Path(page.file.abs_src_path)
    language = "zh" if blocks.is_chinese(path) or page.url.startswith("zh/") else "en"
    this = blocks.Page(path, markdown)
    origin = blocks.Page(blocks.twin(path)) if blocks.is_chinese(path) else this
    lines = this.lines
    for block in reversed(this.blocks):
        new = _replace(block, origin, page, language)
        if new is not None:
            indented = [f"{block.indent}{line}".rstrip() for line in new]
            lines[block.line : block.end + 1] = indented
    text = "\n".join(lines) + "\n"
    return join_chinese(text) if language == "zh" else text


CJK = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”‘’…—]"


def join_chinese(text: str) -> str:
    """A line break between two Chinese characters is no blank, as Markdown would have it."""
    parts = re.split(r"(?ms)(^ *```.*?^ *```$)", text)
    parts[::2] = [re.sub(rf"(?<={CJK})\n *(?={CJK})", "", part) for part in parts[::2]]
    return "".join(parts)


def _replace(
    block: blocks.Block, origin: blocks.Page, page: Any, language: str
) -> list[str] | None:
    if block.lang == "console":
        if "same" in block.attrs:
            block = origin.named(block.attrs["same"])
        if "hidden" in block.attrs:
            return []
        options, words = "", WORDS[language]
        if "terminal" in block.attrs:
            options += f' where="{words[block.attrs["terminal"]]}"'
        if "skip" in block.attrs:
            why = blocks.REASONS[block.attrs["skip"]][language == "zh"]
            colon = "：" if language == "zh" else ": "
            options += f' skip="{words["skip"]}{colon}{why}"'
        return [f"```console{options}", *block.lines, "```"]
    if block.lang == "source":
        shown = [source.show(line) for line in block.lines if line.strip()]
        code = "\n\n\n".join(text for _, text in shown)
        return [f'```python title="{shown[0][0]}"', *code.splitlines(), "```"]
    if block.lang == "exercise":
        return exercise.show(block.text.strip(), language)
    if block.lang == "chart":
        return chart.show(block.text)
    if block.lang == "commands":
        return reference.commands(language).splitlines()
    if block.lang == "compatibility":
        return reference.compatibility(language).splitlines()
    if block.lang == "cast":
        path = os.path.relpath(f"casts/{block.text.strip()}.cast", page.url or ".")
        return [f'```cast src="{path}"', block.text, "```"]
    return None


def console(text: str, language: str, css: str, options: Any, md: Any, **rest: Any) -> str:
    """A shell block as HTML: prompts (gp) and output (go) apart from what is typed (in)."""
    out = []
    for line in text.split("\n"):
        if prompt := PROMPT.match(line):
            typed = line[prompt.end() :]
            out.append(f'<span class="gp">{html.escape(prompt[0])}</span>')
            out.append(f'<span class="in">{html.escape(typed)}</span>\n')
        else:
            out.append(f'<span class="go">{html.escape(line)}\n</span>')
    where, skip = options.get("where"), options.get("skip")
    above = f'<span class="where">{html.escape(where)}</span>' if where else ""
    below = f'<span class="not-run">{html.escape(skip)}</span>' if skip else ""
    code = "".join(out)
    return f'<div class="console highlight">{above}<pre><code>{code}</code></pre>{below}</div>'


def cast(text: str, language: str, css: str, options: Any, md: Any, **rest: Any) -> str:
    """A recorded session: a place for the player."""
    return f'<div class="session" data-cast="{html.escape(options["src"])}"></div>'


# Each language has a search index of its own: else a search in one finds every page twice.


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Chinese pages look for their index, and for what it names, below zh/.

    And Material would look for a sitemap beside each page of `rel=alternate`, where there is none:
    our language links lead to the same page already.
    """
    output = output.replace('<link rel="alternate" href', '<link rel="alternate help" href')
    if not page.url.startswith("zh/"):
        return output
    return re.sub(r'(id="__config"[^>]*>[^<]*?"base": ")([^"]*)"', r'\1\2/zh/"', output, count=1)


def on_post_build(config: Any) -> None:
    """Part the index that was built for all languages."""
    whole = Path(config.site_dir) / "search" / "search_index.json"
    if Path(config.site_dir).name == "zh" or not whole.exists():
        return
    index = json.loads(whole.read_text())
    chinese = [entry for entry in index["docs"] if entry["location"].startswith("zh/")]
    if not chinese:
        return
    english = [entry for entry in index["docs"] if not entry["location"].startswith("zh/")]
    for entry in chinese:
        entry["location"] = entry["location"].removeprefix("zh/")
    part = whole.parent.parent / "zh" / "search" / whole.name
    part.parent.mkdir(exist_ok=True)
    part.write_text(json.dumps(index | {"docs": chinese}, ensure_ascii=False))
    whole.write_text(json.dumps(index | {"docs": english}, ensure_ascii=False))


on_post_build.mkdocs_priority = -200  # type: ignore[attr-defined]  # after all languages are built
