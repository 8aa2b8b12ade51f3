"""What every container gets unless it is asked otherwise: Docker's defaults, in OCI's words.

Compare with moby's `oci/defaults.go`: the same mounts, masked and read-only paths and devices.
"""

from __future__ import annotations

import os
import stat

from mydocker.spec import Device, Mount, Namespace

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NAMESPACES = ("mount", "uts", "ipc", "network", "pid", "cgroup")

MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]

READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_SAFE = ["nosuid", "noexec", "nodev"]


def mounts(shm_size: int, read_only_sys: bool = True) -> list[Mount]:
    """/proc, /dev and what is in it, /sys and the container's cgroups, in the order they nest."""
    sys_options = [*_SAFE, "ro"] if read_only_sys else _SAFE
    return [
        Mount(destination="/proc", type="proc", source="proc", options=_SAFE),
        Mount(
            destination="/dev",
            type="tmpfs",
            source="tmpfs",
            options=["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        Mount(
            destination="/dev/pts",
            type="devpts",
            source="devpts",
            options=["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        Mount(destination="/sys", type="sysfs", source="sysfs", options=sys_options),
        Mount(destination="/sys/fs/cgroup", type="cgroup", source="cgroup", options=sys_options),
        Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=_SAFE),
        Mount(
            destination="/dev/shm",
            type="tmpfs",
            source="shm",
            options=[*_SAFE, "mode=1777", f"size={shm_size}"],
        ),
    ]


def devices() -> list[Device]:
    """null, zero, full, random, urandom and tty (null(4), random(4), tty(4))."""
    numbers = {
        "null": (1, 3),
        "zero": (1, 5),
        "full": (1, 7),
        "random": (1, 8),
        "urandom": (1, 9),
        "tty": (5, 0),
    }
    return [Device(path=f"/dev/{name}", major=a, minor=b) for name, (a, b) in numbers.items()]


def host_devices() -> list[Device]:
    """Every device node of the host's /dev, for `--privileged`, but terminals and what is ours."""
    found = []
    ours = {"console", "ptmx", *(os.path.basename(device.path) for device in devices())}
    for directory, below, names in os.walk("/dev"):
        below[:] = [name for name in below if name not in ("pts", "shm", "mqueue", "fd")]
        for name in sorted(set(names) - (ours if directory == "/dev" else set())):
            path = f"{directory}/{name}"
            status = os.lstat(path)
            kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(status.st_mode))
            if kind:
                major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
                mode = stat.S_IMODE(status.st_mode)
                found.append(Device(path=path, type=kind, major=major, minor=minor, file_mode=mode))
    return found


DEVICE_RULES = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
]
"""Which devices may be used, in the words of the v1 devices cgroup; any node may be made (m)."""


def namespaces(network: bool = True, user: bool = False) -> list[Namespace]:
    """New namespaces of every kind; the network and the user namespace as asked."""
    kinds = (["user"] if user else []) + [k for k in NAMESPACES if network or k != "network"]
    return [Namespace(type=kind) for kind in kinds]
