"""The benchmark's figures as bars, drawn from docs/performance.json.

    ```chart
    run exec
    ```

draws the works of that name, each engine's median as a bar with its middle half marked; the longest
fills the width. `python -m lab.docs.chart` takes over what the last `make bench` measured
(build/bench.json) into docs/performance.json.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from lab.docs.blocks import CHECKOUT, DOCS

FIGURES = DOCS / "performance.json"
MEASURED = CHECKOUT / "build" / "bench.json"


def show(text: str) -> list[str]:
    """The works named in the fence, as lines of HTML; ValueError for one that was not measured."""
    works = json.loads(FIGURES.read_text())
    lines = []
    for name in text.split():
        if name not in works:
            raise ValueError(f"chart: {FIGURES.name} has no work {name}; it has {', '.join(works)}")
        lines += bars(works[name])
    return lines


def bars(work: dict[str, Any]) -> list[str]:
    """One work: a caption, and a bar for each engine, in the order of the table."""
    title = re.sub(r"`(.*?)`", r"<code>\1</code>", html.escape(f"{work['title']}, {work['unit']}"))
    longest = max(engine["q3"] for engine in work["engines"].values())
    lines = ['<figure class="bars">', f"<figcaption>{title}</figcaption>"]
    for name, engine in work["engines"].items():
        width, first, last = (engine[key] / longest * 100 for key in ("median", "q1", "q3"))
        ours = ' class="ours"' if name == "mydocker" else ""
        lines += [
            f'<div{ours}><span>{html.escape(name)}</span><span class="bar">'
            f'<i style="width:{width:.1f}%"></i>'
            f'<em style="left:{first:.1f}%;width:{last - first:.1f}%"></em></span>'
            f"<b>{engine['median']:.1f}</b></div>"
        ]
    return [*lines, "</figure>", ""]


def main() -> None:
    """Take over what was measured last; works that were not measured then keep their figures."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for name, work in json.loads(MEASURED.read_text())["works"].items():
        engines = {
            engine: {key: round(values[key], 2) for key in ("median", "q1", "q3")}
            for engine, values in work["engines"].items()
        }
        figures[name] = {"title": work["title"], "unit": work["unit"], "engines": engines}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
