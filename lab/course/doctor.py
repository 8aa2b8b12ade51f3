"""Is this machine fit, and is anything left on it? Each finding comes with its cure."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from pathlib import Path

from lab.course import board
from lab.course.manifest import CHECKOUT
from lab.course.runner import GROUPS, lab_groups, remove_groups, work_place
from lab.course.words import say
from mydocker.cgroups import hierarchies
from mydocker.errors import Error

TOOLS = {
    "ip": "iproute2",
    "iptables": "iptables",
    "busybox": "busybox-static",
    "stress": "stress",
    "strace": "strace",
}
KERNEL = (5, 8)

Finding = tuple[bool, str, str]
"""Whether it is well, what was looked at, and the cure."""


def examine() -> int:
    """Look at everything; 0 if all is well."""
    found = [*machine(), *kernel(), *cgroups(), *tools(), *set_up(), *left()]
    for well, what, cure in found:
        print(f"{board.paint('✓', 'green') if well else board.paint('✗', 'red')} {what}")
        if not well:
            print(f"    {cure}")
    bad = sum(not well for well, _, _ in found)
    print(say("doctor-bad", n=bad) if bad else say("doctor-ok"))
    return 1 if bad else 0


def machine() -> list[Finding]:
    """Who we are, and what the kernel is."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    return [
        (os.geteuid() == 0, "root", "sudo make doctor"),
        (
            numbers >= KERNEL,
            f"kernel {release}",
            "Linux 5.8 or newer: see lab/Vagrantfile for a VM",
        ),
    ]


def kernel() -> list[Finding]:
    """Namespaces and filesystems."""
    kinds = ["mnt", "uts", "ipc", "pid", "net", "cgroup", "user"]
    missing = [kind for kind in kinds if not os.path.exists(f"/proc/self/ns/{kind}")]
    found: list[Finding] = [
        (not missing, "namespaces " + " ".join(kinds), f"this kernel has no {' '.join(missing)}")
    ]
    known = Path("/proc/filesystems").read_text().split()
    if "overlay" not in known and os.geteuid() == 0 and shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "overlay"], check=False)
        known = Path("/proc/filesystems").read_text().split()
    found.append(("overlay" in known, "overlayfs", "modprobe overlay"))
    return found


def cgroups() -> list[Finding]:
    """The version of cgroups, and the controllers."""
    try:
        used = hierarchies.in_use()
    except Error as error:
        return [(False, "cgroups", f"{error}; {error.hint}")]
    has = {name for hierarchy in used for name in hierarchy.controllers}
    missing = {"cpu", "memory", "pids"} - has
    cure = f"the kernel does not offer {' '.join(sorted(missing))}: cgroup_enable=memory at boot?"
    return [(not missing, f"cgroup v{used[0].version}: {' '.join(sorted(has))}", cure)]


def tools() -> list[Finding]:
    """The programs that checkpoints look at the kernel with."""
    gone = {name: package for name, package in TOOLS.items() if not shutil.which(name)}
    return [(not gone, "tools: " + " ".join(TOOLS), f"apt install {' '.join(gone.values())}")]


def set_up() -> list[Finding]:
    """What `make setup` makes."""
    needed = [".venv/bin/python3", "build/mydocker", "build/busybox.tar"]
    gone = [name for name in needed if not (CHECKOUT / name).exists()]
    return [(not gone, "set-up: " + " ".join(needed), "sudo make setup")]


def left() -> list[Finding]:
    """What mydocker and the lab have left on the host."""
    if os.geteuid() != 0 or not (CHECKOUT / "build/mydocker").exists():
        return []
    checked = subprocess.run(
        [str(CHECKOUT / "build/mydocker"), "--reference", "system", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in (checked.stdout + checked.stderr).splitlines() if line]
    well = checked.returncode == 0
    found: list[Finding] = [
        (well, "mydocker system check", "; ".join([*lines[:3], "make clean-host"]))
    ]
    groups = lab_groups() if not running() else []
    found.append(
        (not groups, "no groups of the lab's", f"make clean-host ({len(groups)} are left)")
    )
    return found


def running() -> bool:
    """Whether somebody is checking a chapter at this moment."""
    with (work_place() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def clean() -> int:
    """Remove what mydocker and the lab left, and nothing else."""
    done = subprocess.run(
        [str(CHECKOUT / "build/mydocker"), "--reference", "system", "check", "--repair"],
        check=False,
    )
    for group in [] if running() else remove_groups(GROUPS):
        print(f"{say('left-from')}: {group}")
    if done.returncode == 0:
        print(say("clean"))
    return done.returncode
