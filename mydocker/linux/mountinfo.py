"""What is mounted where: /proc/PID/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

from mydocker.linux import files


class MountEntry:
    """One line of mountinfo: where, which part of what, of what type, with what options."""

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        words = left.split()
        self.id = int(words[0])
        self.parent = int(words[1])
        self.device = words[2]
        self.root = _unescape(words[3])
        self.mountpoint = _unescape(words[4])
        self.options = words[5].split(",")
        self.propagation = words[6:]
        self.fstype, self.source, super_options = [*right.split(" ", 2), "", ""][:3]
        self.super_options = super_options.strip().split(",")


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as octal (\040), to keep one line a mount.
    if "\\" not in text:
        return text
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def mounts(pid: int | str = "self") -> list[MountEntry]:
    """All mounts of a process's mount namespace, in the order the kernel lists them."""
    return [MountEntry(line) for line in files.read(f"/proc/{pid}/mountinfo").splitlines()]


def below(path: str, pid: int | str = "self") -> list[str]:
    """The mount points at or below `path`, deepest first."""
    import os

    path = os.path.realpath(path)
    prefix = path.rstrip("/") + "/"
    found = [
        m.mountpoint for m in mounts(pid) if m.mountpoint == path or m.mountpoint.startswith(prefix)
    ]
    return sorted(found, key=len, reverse=True)
