"""Capabilities: root's power cut into pieces (capabilities(7)).

Docker leaves a container's root 14 of them: enough to install packages and serve a port, not
enough to mount, load modules or change the clock. The inheritable and ambient sets stay empty: a
capability left there survives an execve into a file's own capabilities (CVE-2022-24769).
"""

from __future__ import annotations

from mydocker.errors import KernelError, Usage
from mydocker.linux import syscalls

# <linux/capability.h>, in the order of their numbers.
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

DEFAULT = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
).split()


def parse(word: str) -> str:
    """The plain name of a capability written in any of Docker's ways; ALL is passed through."""
    name = word.upper().removeprefix("CAP_")
    if name != "ALL" and name not in NAMES:
        raise Usage("capability", word, "no such capability", hint="see capabilities(7)")
    return name


def choose(add: list[str], drop: list[str], privileged: bool = False) -> list[str]:
    """Docker's default set with `--cap-add` and `--cap-drop` applied, as CAP_ names by number."""
    added, dropped = {parse(word) for word in add}, {parse(word) for word in drop}
    chosen = set(NAMES) if privileged or "ALL" in added else set(DEFAULT)
    if "ALL" in dropped:
        chosen = set() if "ALL" not in added else set(NAMES)
    chosen = (chosen | (added - {"ALL"})) - (dropped - {"ALL"})
    return [f"CAP_{name}" for name in NAMES if name in chosen]


def mask(names: list[str]) -> int:
    """The bit mask of capset(2) for CAP_ names."""
    return sum(1 << NAMES.index(name.removeprefix("CAP_")) for name in names)


def limit_bounding(names: list[str]) -> int:
    """Drop from the bounding set all that is not named; return the mask of what is left of it.

    What the host's own bounding set lacks stays lacking: `--privileged` gets what there is.
    """
    wanted, kept = mask(names), 0
    for number in range(64):
        try:
            present = syscalls.prctl(syscalls.PR_CAPBSET_READ, number)
        except KernelError:  # EINVAL: past the last capability that this kernel knows
            break
        if not present:
            continue
        if wanted >> number & 1:
            kept |= 1 << number
        else:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
    return kept


def drop_to(kept: int) -> None:
    """Leave this process exactly the capabilities of a mask, and none to inherit."""
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    syscalls.capset(kept, kept, 0)
