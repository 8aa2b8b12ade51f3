"""A machine that ssh reaches: run a command there, bring the tree, fetch what has come of it.

The tree is `/vagrant` in every machine, made by Vagrant's own rsync or by ours. The host's is the
one that counts: before a command all of it is brought there; after it only `work/` comes back, and
of that no file that is newer here (somebody saved it meanwhile).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.vm.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parents[2]
THERE = "/vagrant"
LEFT_OUT = (
    "/.git /.venv /build /dist /.vagrant /.tox /.hypothesis /.coverage /*.egg-info __pycache__"
    " .mypy_cache .pytest_cache .ruff_cache .import_linter_cache"
).split()


class Reach:
    """How to get at a machine: an ssh configuration file, and the host's name in it."""

    def __init__(self, config: Path, host: str = "lab", name: str = "the machine") -> None:
        self.config = config
        self.host = host
        self.name = name

    def answers(self, seconds: int = 10) -> bool:
        """Whether it lets us in."""
        words = ["ssh", "-F", str(self.config), "-o", f"ConnectTimeout={seconds}"]
        words += ["-o", "BatchMode=yes", self.host, "true"]
        try:
            done = subprocess.run(words, capture_output=True, check=False, timeout=seconds * 3)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def call(self, script: str, variables: Mapping[str, str] | None = None) -> int:
        """Run a shell script in the tree there, as root, with our terminal; its exit code."""
        given = [f"{key}={value}" for key, value in (variables or {}).items() if value]
        words = ["sudo", "env", *given, "bash", "-c", script]
        terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else ["-T"]
        command = f"cd {THERE} && exec {shlex.join(words)}"
        return subprocess.call(["ssh", "-F", str(self.config), *terminal, self.host, command])

    def output(self, script: str) -> str:
        """What a command prints there; nothing if it cannot be reached."""
        words = ["ssh", "-F", str(self.config), "-T", self.host, script]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def hang_up(self) -> None:
        """End the connection that is kept open."""
        words = ["ssh", "-F", str(self.config), "-O", "exit", self.host]
        subprocess.run(words, capture_output=True, check=False)

    def shell(self) -> int:
        """A login shell there."""
        return subprocess.call(["ssh", "-F", str(self.config), self.host])

    def push(self) -> None:
        """Bring the tree."""
        if b"\r\n" in (CHECKOUT / "lab" / "provision.sh").read_bytes():
            raise Trouble(
                "this clone has Windows line endings, and bash would stumble over them",
                "git config core.autocrlf false && git rm -rq --cached . && git reset -q --hard",
            )
        left_out = [f"--exclude={name}" for name in LEFT_OUT]
        self._rsync("--delete", *left_out, f"{CHECKOUT}/", f"{self.host}:{THERE}/")

    def pull(self) -> None:
        """Fetch `work/`, where a command there may have written."""
        there = f"test -d {THERE}/work"
        if subprocess.call(["ssh", "-F", str(self.config), self.host, there]) == 0:
            self._rsync("--update", f"{self.host}:{THERE}/work/", f"{CHECKOUT}/work/")

    def fetch(self, path: str, target: str) -> None:
        """Copy one file from there."""
        self._rsync(f"{self.host}:{path}", target)

    def _rsync(self, *words: str) -> None:
        if not shutil.which("rsync"):
            raise Trouble("rsync is not installed", "apt-get install rsync, or brew install rsync")
        options = ["--archive", "--no-owner", "--no-group", "-e", f'ssh -F "{self.config}"']
        done = subprocess.run(["rsync", *options, *words], capture_output=True, check=False)
        if done.returncode not in (0, 24):  # 24: a file vanished meanwhile
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Trouble(
                f"{self.name}: rsync failed: {said[0] if said else done.returncode}",
                "is the machine up, and has its disk room?",
            )


def write_config(path: Path, values: Mapping[str, str]) -> None:
    """An ssh configuration for the host `lab`."""
    lines = "".join(f"  {key} {value}\n" for key, value in values.items())
    path.write_text(f"Host lab\n{lines}")
    os.chmod(path, 0o600)
