"""`make vm`, `make vm-ssh`, `make vm-down`, `make test-vm`; `make chN` on a host that is no lab.

    lab/vm/lab-vm up                start the machine (the first time: set it up)
    lab/vm/lab-vm ssh [SCRIPT]      a shell there, or one command
    lab/vm/lab-vm down              put it to sleep; FRESH=1: remove it
    lab/vm/lab-vm course WORD...    bring the tree, run the course's console there, fetch work/
    lab/vm/lab-vm test              what `make test-vm` runs (suite.py)

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

from lab.vm import lima, vagrant
from lab.vm.qemu import BOX, Machine
from lab.vm.reach import CHECKOUT, Reach
from lab.vm.trouble import Trouble

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
    return Machine(Path(directory).absolute(), Path(os.environ.get("LAB_VM_DISK") or BOX))


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


def running(word: str = "ch3") -> Reach:
    """The machine that runs: plain QEMU's, Vagrant's, or Lima's."""
    one = machine()
    if one.running():
        return one.reach
    found = vagrant.find() or lima.find()
    if found:
        return found
    raise Trouble(f"{why_not_here()}, and no lab machine is running", how(word))


def is_set_up() -> bool:
    """Whether the course could run on this host, but for root."""
    return (CHECKOUT / ".venv" / "bin" / "python3").exists()


def why_not_here() -> str:
    """Why the course does not run on this host itself."""
    if platform.system() != "Linux":
        return f"this is {platform.system()}, not Linux"
    if not is_set_up():
        return "this checkout is not set up for this host"
    return "containers need root" if os.geteuid() else "LAB_WHERE=vm"


def how(word: str) -> str:
    """What to do then."""
    machines = "vagrant up, or make vm"
    if platform.system() != "Linux":
        return machines
    if is_set_up():
        return f"sudo make {word}; or {machines}"
    return f"on Debian or Ubuntu sudo make setup, then sudo make {word}; else {machines}"


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
    reach = running(words[0] if words else "ch3")
    if words[:1] == ["watch"]:
        return watch(reach, words[1:])
    return there(reach, words)


def there(reach: Reach, words: list[str]) -> int:
    """One command of the console: the tree brought, output and exit code passed on.

    The first time, and after a set-up that was broken off, the machine is set up before.
    """
    reach.push()
    variables = {name: os.environ.get(name, "") for name in PASSED_ON}
    command = shlex.join(["lab/mydocker-lab", *words])
    set_up_first = f"[ -x .venv/bin/pytest ] || LAB_MACHINE=yes {SET_UP} >&2 || exit"
    code = reach.call(f"{set_up_first}; exec {command}", variables)
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


def test(_: list[str]) -> int:
    """What `make test-vm` runs, in a machine of its own without a way out."""
    os.environ.setdefault("LAB_OFFLINE", "1")
    from lab.vm.suite import run

    one = machine("test")
    return run(one, lambda: set_up(one))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
