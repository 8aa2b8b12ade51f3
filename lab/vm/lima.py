"""The machine of `limactl start --name=lab lab/lima.yaml`."""

from __future__ import annotations

from pathlib import Path

from lab.vm.reach import Reach


def find() -> Reach | None:
    """It, if it is running. Lima keeps an ssh configuration beside each machine."""
    config = Path.home() / ".lima" / "lab" / "ssh.config"
    reach = Reach(config, "lima-lab", "Lima's machine")
    return reach if config.exists() and reach.answers() else None
