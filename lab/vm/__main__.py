"""`make vm`, `make vm-ssh`, `make vm-down`, `make test-vm`; `make chN` on a host that is no lab.

    lab/vm/lab-vm up                start the machine (the first time: set it up)
    lab/vm/lab-vm ssh [SCRIPT]      a shell there, or one command
    lab/vm/lab-vm down              put it to sleep; FRESH=1: remove it
    lab/vm/lab-vm course WORD...    bring the tree, run the course's console there, fetch work/
    lab/vm/lab-vm test              what `make test-vm` runs; see tests()

Variables: LAB_CPUS, LAB_MEMORY (MB), LAB_ACCEL (kvm, hvf, tcg), LAB_OFFLINE=1 (no way out of it),
LAB_VM_DIR (where it is kept: build/vm/lab), LAB_VM_DISK (a disk to begin from, not the box's).
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from pathlib import Path

from lab.vm import vagrant
from lab.vm.qemu import BOX, Machine
from lab.vm.reach import CHECKOUT, Reach
from lab.vm.trouble import Trouble, say

PASSED_ON = "CH STEP PURE SPOIL OUT LANG_LAB LAB_PATIENCE TERM".split()
SET_UP = "bash lab/provision.sh"


def main(words: list[str]) -> int:
    """Run one command; its exit code."""
    name, rest = (words[0], words[1:]) if words else ("", [])
    commands = {"up": up, "ssh": ssh, "run": run, "down": down, "course": course, "test": test}
    commands |= {"fetch": fetch, "wait": wait}
    try:
        if name in commands:
            return commands[name](rest)
    except Trouble as error:
        print(f"lab: {error}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(__doc__.partition("\n\n")[2], end="")
    return 2


def machine(name: str = "lab") -> Machine:
    """The machine that the environment means."""
    directory = os.environ.get("LAB_VM_DIR") or CHECKOUT / "build" / "vm" / name
    return Machine(Path(directory), Path(os.environ.get("LAB_VM_DISK") or BOX))


def set_up(one: Machine) -> int:
    """Bring the tree, and make a lab of the machine."""
    one.reach.push()
    return one.reach.call(f"{SET_UP} >&2")


def up(_: list[str]) -> int:
    """Start it."""
    one = machine()
    one.up(set_up=None if os.environ.get("LAB_VM_DISK") else lambda: set_up(one))
    print("the machine is up: make vm-ssh, make ch3; make vm-down puts it to sleep")
    return 0


def running() -> Reach:
    """The machine that runs: plain QEMU's, or Vagrant's."""
    one = machine()
    if one.running():
        return one.reach
    found = vagrant.find()
    if found:
        return found
    raise Trouble(f"{why_not_here()}, and no lab machine is running", how())


def why_not_here() -> str:
    """Why the course does not run on this host itself."""
    if platform.system() != "Linux":
        return f"this is {platform.system()}, not Linux"
    if not (CHECKOUT / ".venv" / "bin" / "python3").exists():
        return "this checkout is not set up for this host"
    return "containers need root" if os.geteuid() else "LAB_WHERE=vm"


def how() -> str:
    """What to do then."""
    machines = "vagrant up, or make vm"
    if platform.system() != "Linux":
        return machines
    return f"on Debian or Ubuntu sudo make setup, then sudo make ch3; else {machines}"


def ssh(words: list[str]) -> int:
    """A shell there, or one command."""
    reach = running()
    return reach.call(" ".join(words)) if words else reach.shell()


def run(words: list[str]) -> int:
    """Bring the tree, and run a script there."""
    reach = running()
    reach.push()
    return reach.call(" ".join(words))


def down(_: list[str]) -> int:
    """Put it to sleep, or remove it."""
    one = machine()
    if os.environ.get("FRESH", "") not in ("", "0"):
        one.remove()
    else:
        one.down()
    return 0


def fetch(words: list[str]) -> int:
    """Copy one file from there."""
    running().fetch(*words)
    return 0


def wait(_: list[str]) -> int:
    """Wait until it has powered off."""
    machine().wait()
    return 0


def course(words: list[str]) -> int:
    """The course's console, there: `make chN` on a host that is no lab."""
    if words[:1] == ["grade"]:
        raise Trouble("submissions are graded on the machine itself", "vagrant ssh, or make vm-ssh")
    reach = running()
    if words[:1] == ["watch"]:
        return watch(reach, words[1:])
    return there(reach, words)


def there(reach: Reach, words: list[str]) -> int:
    """One command of the console: the tree brought, output and exit code passed on."""
    reach.push()
    variables = {name: os.environ.get(name, "") for name in PASSED_ON}
    code = reach.call(shlex.join(["lab/mydocker-lab", *words]), variables)
    reach.pull()
    return code


def watch(reach: Reach, words: list[str]) -> int:
    """Check a chapter there again at every change here."""
    seen: object = None
    while True:
        files = sorted((CHECKOUT / "work").rglob("*.py"))
        now = [(path, path.stat().st_mtime_ns) for path in files if path.exists()]
        if now != seen:
            there(reach, [f"ch{word.lstrip('ch')}" for word in words])
            seen = now
        time.sleep(0.3)


# make test-vm

CHAPTERS = "3 4 5 6".split()


def tests() -> list[str]:
    """What pytest runs there: LAB_TESTS, or those that are marked for it.

    Python is some twelve times slower in emulation: the whole suite would take hours. So it is the
    quick tests, and of the integration tests those marked `v2` or `vm`: what a cgroup v2 kernel,
    systemd, nf_tables and an ordinary disk can answer differently from the machine outside.
    """
    chosen = os.environ.get("LAB_TESTS", "")
    return shlex.split(chosen) if chosen else ["-m", "vm", "tests/integration"]


def test(_: list[str]) -> int:
    """Start a machine as it was after set-up, without a way out; run the tests and the chapters."""
    os.environ.setdefault("LAB_OFFLINE", "1")
    one = machine("test")
    began = time.monotonic()
    results: list[tuple[str, int, float]] = []

    def part(name: str, script: str) -> None:
        start = time.monotonic()
        print(f"--- {name}", flush=True)
        results.append((name, one.reach.call(script), time.monotonic() - start))

    slow = "LAB_PATIENCE=12 PYTEST_TIMEOUT=900"
    try:
        one.up(fresh=True, set_up=lambda: set_up(one))
        results.append(("boot", 0, time.monotonic() - began))
        one.reach.push()
        part("set-up, again", SET_UP)
        for chapter in CHAPTERS:
            part(f"make ch{chapter}", f"make ch{chapter}")
        words = shlex.join(tests())
        part(
            f"pytest {words}", f"{slow} .venv/bin/python3 -m pytest -q -p no:cacheprovider {words}"
        )
    finally:
        one.down(save=False)
    print("--- in all")
    for name, code, seconds in results:
        print(f"{'ok' if code == 0 else f'exit {code}':8} {seconds:6.0f} s  {name}")
    bad = [name for name, code, _ in results if code]
    say(f"{len(bad)} failed" if bad else f"all passed, {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
