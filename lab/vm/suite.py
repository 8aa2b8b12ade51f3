"""`make test-vm`: chapters, tests and a reboot in a machine as it is right after set-up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lab.vm.trouble import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.vm.qemu import Machine

CHAPTERS = "3 4 5 6".split()
TESTS = ("-m v2 tests/integration", "tests/integration/test_seed.py")
"""What pytest runs in the machine, unless LAB_TESTS says something else.

Python is some twelve times slower in emulation, and the whole suite would take hours. So it is the
tests that are marked for a cgroup v2 kernel, which here has all its controllers, systemd beside it,
nf_tables and a disk, and the seed's commands. `LAB_TESTS=tests/integration make test-vm` runs more.
"""

PYTEST = (
    "PYTHONUNBUFFERED=1 LAB_PATIENCE=12 PYTEST_TIMEOUT=900"
    " .venv/bin/python3 -m pytest -q -p no:cacheprovider"
)

OUTLIVED = """\
set -e
[ "$(sysctl -n net.ipv4.ip_forward)" = 1 ]
while [ "$(systemctl is-active mydocker-lab.service)" = activating ]; do sleep 1; done
[ "$(systemctl is-active mydocker-lab.service)" != failed ]
ip link show mydocker0
iptables-save -t nat | grep MASQUERADE
[ "$(mydocker run --rm --network bridge echo works)" = works ]
bash -c 'source /usr/share/bash-completion/completions/mydocker && complete -p mydocker'
zsh -n /usr/share/zsh/vendor-completions/_mydocker
fish --no-execute /usr/share/fish/vendor_completions.d/mydocker.fish
run-parts /etc/update-motd.d | grep 'the lab of mydocker'
"""
"""What set-up made to outlive a reboot."""


def run(machine: Machine, set_up: Callable[[], int]) -> int:
    """Run all of it, whatever fails; 0 if nothing did."""
    began = start = time.monotonic()
    results: list[tuple[str, int, float]] = []

    def done(name: str, code: int = 0) -> None:
        nonlocal start
        results.append((name, code, time.monotonic() - start))
        start = time.monotonic()

    def part(name: str, script: str) -> None:
        print(f"--- {name}", flush=True)
        done(name, machine.reach.call(script))

    try:
        machine.up(fresh=True, set_up=set_up)
        machine.reach.push()
        done("up")
        part("set-up, again", "bash lab/provision.sh")
        for chapter in CHAPTERS:
            part(f"make ch{chapter}", f"make ch{chapter}")
        chosen = os.environ.get("LAB_TESTS", "")
        for words in [chosen] if chosen else TESTS:
            part(f"pytest {words}", f"{PYTEST} {words}")
        machine.reboot()
        done("reboot")
        part("what outlives a reboot", OUTLIVED)
    finally:
        machine.down(save=False)
    print("--- in all")
    for name, code, seconds in results:
        print(f"{f'exit {code}' if code else 'ok':8} {seconds:6.0f} s  {name}")
    bad = [name for name, code, _ in results if code]
    say(f"{len(bad)} failed" if bad else f"all passed, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0
