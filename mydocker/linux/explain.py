"""`--explain`: each thing that is asked of the kernel, live, in the words of the course.

One line an action: who acts, the call with its arguments in words, what came back, how long it
took, and the section of the course it belongs to::

    init     mount("overlay", "/…/rootfs", "overlay", 0, "lowerdir=…") = 0   0.08 ms  4.2 overlay

The lines go to the standard error that mydocker was started with, also from the processes that it
forks: each has a descriptor of its own to it, which execve(2) closes.
"""

from __future__ import annotations

import fcntl
import os

from mydocker.errors import KernelError
from mydocker.linux import syscalls, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SECTIONS = {
    "unshare": "3.1 namespaces",
    "setns": "5.4 joining namespaces",
    "sethostname": "3.1 namespaces",
    "prctl": "3.1 the process",
    "capset": "3.1 capabilities",
    "keyctl": "3.1 the process",
    "execve": "3.1 the user's command",
    "close_range": "3.1 the user's command",
    "pivot_root": "4.1 pivot_root",
    "umount2": "4.1 pivot_root",
    "open_pty": "3.1 terminal",
    "ioctl": "3.1 terminal",
    "mknod": "4.1 devices",
    "open_tree": "3.1 the executable",
    "mount_setattr": "3.1 the executable",
    "pidfd_send_signal": "5.5 signals",
}
"""The section of the course for a call, where the call alone decides it."""

_MOUNT_FLAGS = {name: value for name, value in vars(syscalls).items() if name.startswith("MS_")}
_CLONE_FLAGS = {
    name: value for name, value in vars(syscalls).items() if name.startswith("CLONE_NEW")
}
_PRCTL = {value: name for name, value in vars(syscalls).items() if name.startswith("PR_")}


def flag_words(value: int, table: dict[str, int]) -> str:
    """A number as the kernel's names joined by `|`; what has no name stays a number."""
    words = [name for name, bit in table.items() if bit and value & bit == bit]
    rest = value & ~sum(table[name] for name in words)
    return "|".join(words + ([hex(rest)] if rest else [])) or "0"


def _quote(value: Any) -> str:
    if isinstance(value, str):
        text = value if len(value) <= 160 else f"{value[:157]}…"
        return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_quote(item) for item in value) + "]"
    return str(value)


def _mount(args: tuple[Any, ...]) -> str:
    source, target, fstype, flags, data = args
    words = [_quote(source), _quote(target), _quote(fstype), flag_words(flags, _MOUNT_FLAGS)]
    return ", ".join([*words, _quote(data)] if data else words)


def _execve(args: tuple[Any, ...]) -> str:
    program, words, environment = args
    return f"{_quote(program)}, {_quote(words)}, {len(environment)} variables"


def _prctl(args: tuple[Any, ...]) -> str:
    option, *rest = args
    if option in (syscalls.PR_CAPBSET_DROP, syscalls.PR_CAPBSET_READ):
        from mydocker.linux.capabilities import NAMES

        known = rest[0] < len(NAMES)
        rest = [f"CAP_{NAMES[rest[0]]}" if known else rest[0]]
    return ", ".join([_PRCTL.get(option, str(option)), *map(str, rest)])


DECODERS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "mount": _mount,
    "execve": _execve,
    "prctl": _prctl,
    "unshare": lambda args: flag_words(args[0], _CLONE_FLAGS),
    "setns": lambda args: f"{args[0]}, {flag_words(args[1], _CLONE_FLAGS)}",
    "umount2": lambda args: f"{_quote(args[0])}, {'MNT_DETACH' if args[1] & 2 else args[1]}",
    "capset": lambda args: ", ".join(hex(mask) for mask in args),
    "write_whole": lambda args: f"{_quote(args[0])}, {len(args[1])} characters",
}


def section(name: str, args: tuple[Any, ...]) -> str:
    """The section of the course that an action belongs to."""
    if name in SECTIONS:
        return SECTIONS[name]
    target = str(args[0]) if args else ""
    if name == "mount":
        fstype, flags = args[2], args[3]
        if fstype == "overlay":
            return "4.2 overlay"
        if flags & (syscalls.MS_PRIVATE | syscalls.MS_SLAVE):
            return "4.1 propagation"
        return "4.3 volumes" if flags & syscalls.MS_BIND and not flags & 32 else "4.1 mounts"
    if "cgroup" in target:
        return "3.2 cgroups"
    if target.startswith("/proc/"):
        return "3.1 the process"
    return "5.2 the record" if "/containers/" in target or "/names/" in target else ""


def render(name: str, args: tuple[Any, ...], result: Any) -> str:
    """One action as text: `call(arguments) = result`."""
    words = DECODERS[name](args) if name in DECODERS else ", ".join(_quote(arg) for arg in args)
    return f"{name}({words}) = {outcome(result)}"


def outcome(result: Any) -> str:
    """What came back: a number, or -1 with the errno's name and meaning."""
    import errno

    number = getattr(result, "errno", None)
    if isinstance(result, Exception):
        if number is None:
            return f"failed: {result}"
        return f"-1 {errno.errorcode.get(number, number)} ({os.strerror(number).lower()})"
    return str(result) if isinstance(result, int) and not isinstance(result, bool) else "0"


class Text:
    """Prints each action as one line, as soon as it has happened."""

    def __init__(self, fd: int) -> None:
        self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        """execve does not come back, so it is told before it happens."""
        if name == "execve":
            self.after(name, args, 0, 0.0)

    def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None:
        if name == "execve" and not isinstance(result, Exception) and seconds:
            return
        line = f"{trace.role:8} {render(name, args, result)}"
        tail = f"{seconds * 1000:8.2f} ms  {section(name, args)}".rstrip()
        self._write(f"{line:100} {tail}\r\n" if os.isatty(self._fd) else f"{line}  {tail}\n")

    def _write(self, text: str) -> None:
        try:
            os.write(self._fd, text.encode())
        except OSError:
            pass


def start(where: str) -> None:
    """Begin to explain: on stderr, as text."""
    if where:
        raise KernelError("--explain", where, 95, hint="only text on stderr is there so far")
    trace.watch(Text(2))
