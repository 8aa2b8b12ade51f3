"""Every shell block of the course is typed at a real terminal, in order, and does what it shows.

`UPDATE=1 make test-docs` writes what really came into the pages: read the difference before you
believe it. Where files cannot be written (the v2 lane), `UPDATE=print … pytest -s` prints the page.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.docs import blocks, terminal

PAGES = [
    path
    for path in blocks.english()
    if not blocks.is_english_only(path) and any(map(terminal.runs, blocks.Page(path).blocks))
]
V2 = ("ch3/cgroups.md",)  # played on the cgroup v2 lane too


def as_param(path: Path) -> object:
    name = str(path.relative_to(blocks.DOCS))
    return pytest.param(path, id=name, marks=[pytest.mark.v2] if name in V2 else [])


def with_apps(stocked_root: Path, root: Path) -> Path:
    """The same store with the images of chapter 7 in it."""
    subprocess.run(["cp", "-al", str(stocked_root), str(root)], check=True)
    environment = os.environ | {"MYDOCKER_ROOT": str(root)}
    words = [sys.executable, "-m", "lab.apps.build", "--load"]
    subprocess.run(words, check=True, env=environment, cwd=blocks.CHECKOUT)
    return root


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", [as_param(path) for path in PAGES])
def test_the_commands_of_the_page_do_what_it_shows(
    path: Path, tmp_path: Path, stocked_root: Path
) -> None:
    page = blocks.Page(path)
    if any("needs" in block.attrs for block in filter(terminal.runs, page.blocks)):
        stocked_root = with_apps(stocked_root, tmp_path / "apps")
    machine = terminal.Machine(tmp_path / "machine", stocked_root)
    problems = []
    try:
        if "UPDATE" in os.environ:
            text = terminal.update(page, machine)
            if os.environ["UPDATE"] == "print":
                print(f"<<<{text}>>>")
            else:
                path.write_text(text)
        else:
            problems = terminal.play(page, machine, lambda block, script: None)
    finally:
        left = machine.close()
    assert not problems, "\n\n".join(problems)
    assert not left, left
