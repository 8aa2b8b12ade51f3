"""What a page is made of: sections and fenced blocks, read once for the site and for its checks.

A page is `x.md` in English and `x.zh.md` in Chinese. Every heading has an explicit id, the same in
both, so that a link holds in either. A shell block has its one source in the English page:

    ```console {#limits on=v1}
    # mydocker run -m 100m sh -c 'cat /proc/self/cgroup'
    output, as it was
    ```

and the Chinese page shows the same block by name, ```` ```console {same=limits} ````. Attributes:

    #NAME        its name within the page
    on=v1, v2    where it runs: on a machine with that version of cgroups
    terminal=2   typed at a second terminal of the same machine
    status=N     the exit status of its last command
    loose        numbers in the output are not compared
    stays        its last command goes on; a later block types at it
    hidden       run, but not shown (tidying up)
    needs=apps   run where the images that `make demo-images` makes are there
    skip=WHY     not run; WHY is a word of REASONS

In the output `…` stands for anything: alone on a line for any lines, else for any text. Lines that
begin with `> ` go on with the command above, `^C` is the key. Prompts are `# ` on the host and
`/ # ` (with the directory) in a container of the default image; blocks that are not run may have
`$ ` and `PS> `.

    python -m lab.docs.blocks     counts the blocks of each page
"""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DOCS = CHECKOUT / "docs"

ENGLISH_ONLY = ("adr/", "instructor.md", "performance.md")
"""For engineers and teachers: in one language, whatever language the site is read in."""

REASONS = {
    "vm": ("it makes a virtual machine", "它会创建虚拟机"),
    "machine": ("it installs packages on the machine", "它会在机器上安装软件包"),
    "student": ("it works on files that are yours to write", "它用到由你编写的文件"),
    "engine": ("it needs another container engine", "需要另一种容器引擎"),
    "future": ("not built yet", "尚未实现"),
    "slow": ("it takes minutes", "需要几分钟"),
    "internet": ("it needs the internet", "需要连接互联网"),
}
"""Why a block may be left out of the tests, in both languages."""

SHELLS = ("console", "bash", "sh", "shell", "shell-session")
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}) *(?P<lang>[\w-]*) *(?:\{(?P<attrs>[^}]*)\})?")
_HEADING = re.compile(r"^(?P<marks>#{1,6}) (?P<title>.*?)(?: +\{ *#(?P<id>[\w.-]+)[^}]*\})? *$")


class Block:
    """One fenced block: its language, attributes, content without the indent, and its lines."""

    def __init__(self, page: Path, line: int, indent: str, lang: str, attrs: str) -> None:
        self.page = page
        self.line = line  # of the opening fence, from 0
        self.end = line  # of the closing one
        self.indent = indent
        self.lang = lang
        self.attrs: dict[str, str] = {}
        self.lines: list[str] = []
        for word in attrs.split():
            key, _, value = word.partition("=")
            self.attrs["id" if key.startswith("#") else key] = value or key.lstrip("#")

    def __str__(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line + 1}"

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Section:
    """A heading and what follows up to the next: its id, level, title, line and text."""

    def __init__(self, title: str, id: str, level: int, line: int) -> None:
        self.title = title
        self.id = id
        self.level = level
        self.line = line
        self.text: list[str] = []


class Page:
    """A Markdown file as its sections and blocks, in order."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.lines = (path.read_text() if text is None else text).splitlines()
        self.blocks: list[Block] = []
        self.sections: list[Section] = []
        block: Block | None = None
        ticks = ""
        for number, line in enumerate(self.lines):
            fence = _FENCE.match(line)
            if block is not None:
                if fence and fence["ticks"] == ticks and not fence["lang"] and not fence["attrs"]:
                    block.end, block = number, None
                else:
                    block.lines.append(line.removeprefix(block.indent))
                    if block.lang not in SHELLS and self.sections:
                        self.sections[-1].text.append(line)
            elif fence:
                ticks = fence["ticks"]
                block = Block(path, number, fence["indent"], fence["lang"], fence["attrs"] or "")
                self.blocks.append(block)
            elif heading := _HEADING.match(line):
                level = len(heading["marks"])
                self.sections.append(Section(heading["title"], heading["id"] or "", level, number))
            elif self.sections:
                self.sections[-1].text.append(line)
        if block is not None:
            raise ValueError(f"{block}: this fence is not closed")

    def named(self, name: str) -> Block:
        """The shell block of that name."""
        found = [b for b in self.blocks if b.lang in SHELLS and b.attrs.get("id") == name]
        if len(found) != 1:
            raise ValueError(f"{self.path}: {len(found)} shell blocks are called {name}, not one")
        return found[0]


def is_chinese(path: Path) -> bool:
    return path.name.endswith(".zh.md")


def twin(path: Path) -> Path:
    """The same page in the other language."""
    name = path.name
    other = name.replace(".zh.md", ".md") if is_chinese(path) else f"{name[:-3]}.zh.md"
    return path.with_name(other)


def pages() -> list[Path]:
    """Every page of the site, in both languages."""
    return sorted(DOCS.rglob("*.md"))


def english() -> list[Path]:
    """The English pages: where the shell blocks are."""
    return [path for path in pages() if not is_chinese(path)]


def is_english_only(path: Path) -> bool:
    return str(path.relative_to(DOCS)).startswith(ENGLISH_ONLY)


def main() -> None:
    """Print how many shell blocks each page has, and how many of them run."""
    total = ran = 0
    for path in english():
        shells = [block for block in Page(path).blocks if block.lang in SHELLS]
        run = [block for block in shells if "skip" not in block.attrs]
        total, ran = total + len(shells), ran + len(run)
        if shells:
            print(f"{len(run):3} of {len(shells):3}  {path.relative_to(DOCS)}")
    print(f"{ran:3} of {total:3}  in all")


if __name__ == "__main__":
    main()
