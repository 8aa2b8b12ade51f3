"""The engines that are compared, each with all that it needs in a directory of its own.

An engine is a context manager: entered, it is ready to run containers from the root filesystem in
build/busybox.tar; left, nothing of it is on the host. Invariant: what the user has of that engine
(its state, configuration, daemon, network rules) is neither read nor changed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LAUNCHER = CHECKOUT / "build" / "mydocker"
ROOTFS_TAR = CHECKOUT / "build" / "busybox.tar"


class Engine:
    """One engine: how it is set up, taken away, and told to run a command."""

    name: str
    package: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory / self.name
        self.environment = {"PATH": os.environ.get("PATH", os.defpath)}

    def __enter__(self) -> Engine:
        self.directory.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory)

    def call(self, words: list[str]) -> str:
        """Run a command of the set-up, which must succeed; its output."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout


class Mydocker(Engine):
    """This checkout's own launcher, on a state root and a cgroup parent of its own."""

    name = "mydocker"

    def __enter__(self) -> Engine:
        super().__enter__()
        self.environment |= {
            "MYDOCKER_ROOT": f"{self.directory}/state",
            "MYDOCKER_RUN_ROOT": f"{self.directory}/run",
            "MYDOCKER_CGROUP_PARENT": f"/mydocker-bench-{secrets.token_hex(4)}",
        }
        self.call([str(LAUNCHER), "import", "-c", 'CMD ["sh"]', str(ROOTFS_TAR), "busybox"])
        return self
