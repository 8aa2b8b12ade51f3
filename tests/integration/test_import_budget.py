"""What a plain `run` may import: a list, because a time would differ on every machine."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import CHECKOUT

FORBIDDEN = {
    "argparse",
    "asyncio",
    "contextlib",
    "dataclasses",
    "hashlib",
    "inspect",
    "jinja2",
    "logging",
    "pathlib",
    "pyroute2",
    "shutil",
    "socket",
    "subprocess",
    "tarfile",
    "tempfile",
    "typing",
}


def test_run_imports_nothing_that_is_over_the_budget() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import mydocker.cli, mydocker.cli.run, mydocker.linux.selfexe;"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", script, str(CHECKOUT)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "mydocker.sandbox.init" in loaded
    assert not FORBIDDEN & set(loaded)
