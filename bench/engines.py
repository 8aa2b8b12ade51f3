"""The engines that are compared, each with all that it needs in a directory of its own.

An engine is a context manager: entered, it is ready to run containers from the root filesystem in
build/busybox.tar; left, nothing of it is on the host. Invariant: what the user has of that engine
(its state, configuration, daemon, network rules) is neither read nor changed.
"""

from __future__ import annotations

import json
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

    @property
    def run_true(self) -> list[str]:
        """The command that runs one container with `true` and removes it."""
        raise NotImplementedError

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
            "MYDOCKER_CGROUP_PARENT": f"/mydocker-bench-{secrets.token_hex(4)}",
        }
        self.call([str(LAUNCHER), "import", "-c", 'CMD ["sh"]', str(ROOTFS_TAR), "busybox"])
        return self

    @property
    def run_true(self) -> list[str]:
        """One container that does nothing and removes itself."""
        return [str(LAUNCHER), "run", "--rm", "busybox", "true"]


class Runc(Engine):
    """runc, from a bundle with the same root filesystem."""

    name = "runc"
    package = "runc"

    def __enter__(self) -> Engine:
        super().__enter__()
        rootfs = self.directory / "rootfs"
        rootfs.mkdir()
        self.call(["tar", "-C", str(rootfs), "-xf", str(ROOTFS_TAR)])
        self.call(["runc", "spec", "--bundle", str(self.directory)])
        path = self.directory / "config.json"
        spec = json.loads(path.read_text())
        spec["process"] |= {"terminal": False, "args": ["true"], "rlimits": []}
        path.write_text(json.dumps(spec))
        return self

    @property
    def run_true(self) -> list[str]:
        """One container that does nothing; runc removes it when it has ended."""
        state = ["--root", f"{self.directory}/state"]
        return ["runc", *state, "run", "--bundle", str(self.directory), f"bench-{os.getpid()}"]


class Podman(Engine):
    """podman with cgroupfs, on a store of its own."""

    name = "podman"
    package = "podman"

    def __enter__(self) -> Engine:
        super().__enter__()
        config = self.directory / "containers.conf"
        config.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        )
        self.environment |= {"CONTAINERS_CONF": str(config), "HOME": str(self.directory)}
        self.call([*self._podman, "import", str(ROOTFS_TAR), "bench"])
        return self

    def __exit__(self, *_: object) -> None:
        self.call([*self._podman, "rmi", "-f", "bench"])
        overlay = f"{self.directory}/root/overlay"
        subprocess.run(["umount", overlay], capture_output=True)  # its driver's bind mount
        super().__exit__()

    @property
    def _podman(self) -> list[str]:
        stores = ["--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run"]
        return ["podman", *stores, "--cgroup-manager", "cgroupfs"]

    @property
    def run_true(self) -> list[str]:
        """One container without a network that does nothing and removes itself."""
        return [*self._podman, "run", "--rm", "--network", "none", "bench", "true"]
