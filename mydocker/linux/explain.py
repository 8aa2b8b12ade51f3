"""`--explain`: each thing that is asked of the kernel, live, in the words of the course.

One line an action: who acts, the section of the course it belongs to, how long it took, the call
with its arguments in words (decode.py), and what came back::

    init     4.2 overlay               0.08 ms  mount("overlay", "/…/rootfs", "overlay", 0, …) = 0

The lines go to the standard error that mydocker was started with, also from the processes that it
forks: each has a descriptor of its own to it, which execve(2) closes.
"""

from __future__ import annotations

import fcntl
import os

from mydocker.errors import KernelError
from mydocker.linux import decode, syscalls, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECTIONS = {
    "fork": "3.1 processes",
    "clone3": "3.1 processes",
    "setsid": "3.1 processes",
    "unshare": "3.1 namespaces",
    "sethostname": "3.1 namespaces",
    "prctl": "3.1 the process",
    "keyctl": "3.1 the process",
    "setrlimit": "3.1 the process",
    "fchown": "3.1 the user",
    "setgroups": "3.1 the user",
    "setresgid": "3.1 the user",
    "setresuid": "3.1 the user",
    "capset": "3.1 capabilities",
    "chdir": "3.1 the process",
    "close_range": "3.1 the user's command",
    "execve": "3.1 the user's command",
    "execveat": "3.1 the executable",
    "open_pty": "3.1 terminal",
    "fchdir": "4.1 pivot_root",
    "pivot_root": "4.1 pivot_root",
    "umount2": "4.1 pivot_root",
    "move_mount": "4.1 mounts",
    "place": "4.4 files",
    "mknodat": "4.1 devices",
    "symlinkat": "4.1 devices",
    "iptables-restore": "6.4 rules",
    "ip6tables-restore": "6.4 rules",
    "RTM_NEWNEIGH": "6.6 hosts",
    "RTM_NEWROUTE": "6.5 endpoint",
    "RTM_DELLINK": "6.5 endpoint",
    "kill": "5.5 signals",
    "pidfd_send_signal": "5.5 signals",
}
"""The section of the course for a call, where the call alone decides it."""

PLACES = {
    "uid_map": "3.1 namespaces",
    "gid_map": "3.1 namespaces",
    "/cgroup": "3.2 cgroups",
    "/proc/sys/net/": "6.4 forwarding",
    "/proc/": "3.1 the process",
    "/images/": "4.4 images",
    "/volumes/": "4.3 volumes",
    "/upper": "4.2 overlay",
    "/work": "4.2 overlay",
    "/networks/": "6.2 the record",
    "/containers/": "5.2 the record",
    "/names/": "5.2 the record",
}
"""The section by what a path holds; the first that fits counts."""


def section(name: str, args: tuple[Any, ...]) -> str:
    """The section of the course that an action belongs to."""
    if name in SECTIONS:
        return SECTIONS[name]
    if name == "mount":
        return _mount_section(*args)
    if name.startswith("RTM_"):
        ours = (
            any(word.startswith(("type veth", "dev eth")) for word in args) or args[0][:3] == "eth"
        )
        return "6.5 endpoint" if ours else "6.6 hosts" if "vxlan" in str(args) else "6.4 bridge"
    if name == "ioctl":
        return "3.1 terminal" if args[0].startswith("TIOC") else "3.1 namespaces"
    if name == "setns":
        return "3.1 namespaces" if trace.role == "helper" else "5.4 joining namespaces"
    if name in ("open_tree", "mount_setattr") and args[-1] & syscalls.AT_RECURSIVE:
        return "4.3 volumes"
    if name in ("open_tree", "mount_setattr"):
        own = args[1] in ("/proc/self/exe", syscalls.MOUNT_ATTR_RDONLY)
        return "3.1 the executable" if own else "3.1 id mapping"
    paths = [arg for arg in args[:2] if isinstance(arg, str)]
    if name.startswith("write"):
        del paths[1:]
    found = [text for mark, text in PLACES.items() if any(mark in path for path in paths)]
    return found[0] if found else "4.1 mounts" if name == "mkdir" and len(args) > 2 else ""


def _mount_section(source: str, target: str, fstype: str, flags: int, _data: str) -> str:
    if fstype == "overlay":
        return "4.2 overlay"
    if flags & (syscalls.MS_PRIVATE | syscalls.MS_SLAVE):
        return "4.1 propagation"
    ours = ("/proc/self/fd/", "/dev/", target)  # our own nodes and covers, not the user's
    volume = flags & syscalls.MS_BIND and source.startswith("/") and not source.startswith(ours)
    return "4.3 volumes" if volume else "4.1 mounts"


class Text:
    """Prints each action as one line, as soon as it has happened."""

    def __init__(self, fd: int) -> None:
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
        self._call = ""

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        """Put into words what is about to happen.

        Who executes does not come back, and who closes all descriptors cannot tell it afterwards.
        """
        self._call = decode.call(name, args)
        if name.startswith("execve") or (name == "close_range" and not args[2]):
            self._line(section(name, args), "", self._call)

    def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None:
        """Tell it; what happens in two processes (fork) is told by the first."""
        if name not in ("fork", "clone3") or result != 0:
            told = f"{self._call} = {decode.outcome(result)}"
            self._line(section(name, args), f"{seconds * 1000:.2f} ms", told)

    def _line(self, where: str, took: str, told: str) -> None:
        end = "\r\n" if os.isatty(self._fd) else "\n"
        told = told.replace("\n", end + " " * 44)  # the rules of iptables-restore, one a line
        try:
            os.write(self._fd, f"{trace.role:8} {where:22} {took:>10}  {told}{end}".encode())
        except OSError:
            pass


def start(where: str) -> None:
    """Begin to explain: on stderr, as text."""
    if where:
        raise KernelError("--explain", where, 95, hint="only text on stderr is there so far")
    trace.watch(Text(2))
