"""What the benchmark does on the host: run commands, clock them, and leave nothing behind."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from lab import build_image
from lab.apps import build
from mydocker.linux import link, mountinfo, syscalls

CHECKOUT = Path(__file__).resolve().parent.parent
LAUNCHER = CHECKOUT / "build" / "mydocker"
ROOTFS_TAR = CHECKOUT / "build" / "busybox.tar"
CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()
"""Whether cgroup v2 alone is mounted; else v1, or v1 beside v2 (cgroups(7))."""


class Failed(Exception):
    """A command that had to succeed did not; says which, and what it said."""


def timed(words: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Run a command that must succeed; when it began and had ended, in ns of CLOCK_MONOTONIC.

    stderr goes to a file: the end of a pipe would come only with the last process that holds it.
    """
    with tempfile.TemporaryFile() as said:
        began = time.monotonic_ns()
        code = subprocess.call(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        ended = time.monotonic_ns()
        if code:
            said.seek(0)
            raise Failed(f"{' '.join(words)}: exit {code}: {said.read().decode(errors='replace')}")
    return began, ended


def call(words: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a command that must succeed; what it printed."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise Failed(f"{' '.join(words)}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def proportional_size(pid: int) -> int:
    """The memory of a process in bytes, where shared pages count in part (smaps_rollup, Pss)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def room() -> tempfile.TemporaryDirectory[str]:
    """A directory for all engines, with a name of its own, which their cgroups have too.

    In /var/tmp, which is on a disk, as an engine's state is: /tmp may be memory (hier(7)).
    """
    return tempfile.TemporaryDirectory(prefix="mydocker-bench-", dir="/var/tmp")


def remove_cgroups(name: str, seconds: float = 10) -> None:
    """Remove every cgroup of that name with all below it, in every hierarchy.

    The name is ours alone, and so is every process in it: one that is left is killed first.
    """
    deadline = time.monotonic() + seconds
    for directory, _, _ in os.walk(CGROUPS, topdown=False):
        while name in directory.split("/"):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                break
            except OSError:  # EBUSY: a process is in it, or has not quite ended
                if time.monotonic() > deadline:
                    raise
                for pid in Path(directory, "cgroup.procs").read_text().split():
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                time.sleep(0.02)


def unmount_below(directory: Path) -> None:
    """Unmount what is still mounted below a directory, the deepest first."""
    for point in mountinfo.below(str(directory)):
        call(["umount", point])


DEBIAN_TAR = CHECKOUT / "build" / "debian.tar"


def missing_debian() -> str:
    """Why there can be no Debian root filesystem here, and what helps; empty when it is made."""
    if not DEBIAN_TAR.exists() and not shutil.which("mmdebstrap"):
        return "no mmdebstrap here: apt-get install mmdebstrap"
    try:
        debian_tar()
    except Failed as error:
        return f"{str(error).splitlines()[0]} (is there a network?)"
    return ""


def debian_tar() -> Path:
    """The tar of a Debian root filesystem; it is made once, from this machine's own sources."""
    if not DEBIAN_TAR.exists():
        made = DEBIAN_TAR.with_suffix(".part")
        words = ["mmdebstrap", "--variant=important", "--format=tar", build.suite(), str(made)]
        call([*words, *build.sources()], build.NONINTERACTIVE)
        made.rename(DEBIAN_TAR)
    return DEBIAN_TAR


IPERF3_TAR = CHECKOUT / "build" / "iperf3.tar"


def iperf3_tar() -> Path:
    """The default image's root filesystem with this machine's iperf3 in it; it is made once."""
    if not IPERF3_TAR.exists():
        made, program = IPERF3_TAR.with_suffix(".part"), shutil.which("iperf3") or ""
        shutil.copyfile(ROOTFS_TAR, made)
        with tarfile.open(made, "a", format=tarfile.USTAR_FORMAT) as tar:
            names = set(tar.getnames())
            for path in [program, *build_image.libraries(program)]:
                if path.lstrip("/") not in names:
                    tar.add(os.path.realpath(path), path)
        made.rename(IPERF3_TAR)
    return IPERF3_TAR


def facts(directory: Path) -> dict[str, object]:
    """What of this machine the figures depend on."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "cgroups": "v2" if UNIFIED else "v1",
        "filesystem": call(["stat", "-f", "-c", "%T", str(directory)]).strip(),
        "load": round(os.getloadavg()[0], 1),
    }


def own_network() -> None:
    """Go on in a network namespace of our own: the machine's bridges and rules are not touched."""
    syscalls.unshare(syscalls.CLONE_NEWNET)
    link.set_up("lo")
