"""A kernel action's arguments in words, as strace(1) writes them: flags by name, modes in octal.

Two liberties, both marked: an id of 64 digits is cut to the first twelve and `…`, and a descriptor
is followed by what it refers to, in angle brackets. Many of our paths are descriptors
(`/proc/self/fd/12`), because a name inside an image cannot be trusted. What they refer to has to be
asked before the call: after a mount the same name leads elsewhere.
"""

from __future__ import annotations

import os
import signal
import stat

from mydocker.linux import syscalls
from mydocker.linux.capabilities import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST = 240
_HEX = frozenset("0123456789abcdef")


def table(*prefixes: str) -> dict[str, int]:
    """The constants of syscalls.py whose names begin so."""
    return {name: value for name, value in vars(syscalls).items() if name.startswith(prefixes)}


MOUNT_FLAGS = table("MS_")
CLONE_FLAGS = table("CLONE_")
UMOUNT_FLAGS = table("MNT_", "UMOUNT_")
TREE_FLAGS = table("OPEN_TREE_", "AT_RECURSIVE", "AT_EMPTY_PATH")
ATTRIBUTES = table("MOUNT_ATTR_")
FSCONFIG = {value: name for name, value in table("FSCONFIG_").items()}
PRCTL = {value: name for name, value in table("PR_").items() if name.count("AMBIENT_") == 0}


def flag_words(value: int, names: dict[str, int]) -> str:
    """A number as the kernel's names joined by `|`; what has no name stays a number."""
    words = [name for name, bit in names.items() if bit and value & bit == bit]
    rest = value & ~sum(names[name] for name in words)
    return "|".join(words + ([hex(rest)] if rest else [])) or "0"


def shorten(text: str) -> str:
    """The text with each id of 64 digits cut to twelve, as Docker shows them."""
    start = 0
    while start + 64 <= len(text):
        end = start
        while end < len(text) and text[end] in _HEX:
            end += 1
        if end - start == 64:
            text = f"{text[: start + 12]}…{text[end:]}"
            end = start + 13
        start = end + 1
    return text


def quote(value: Any) -> str:
    """A value as it would stand in a program; no control character gets through."""
    if isinstance(value, str):
        text = shorten(value)
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(quote(item) for item in value) + "]"
    return str(value)


def descriptor(fd: int) -> str:
    """A descriptor, and what it refers to; inside a container's root, from `…/rootfs` on."""
    if fd == syscalls.AT_FDCWD:
        return "AT_FDCWD"
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return str(fd)
    before, rootfs, inside = target.partition("/rootfs")
    if rootfs and "/containers/" in before and inside[:1] in ("", "/"):
        target = f"…/rootfs{inside}"
    return f"{fd}<{quote(target)[1:-1]}>"


def path(text: str) -> str:
    """A path, and behind one that is a descriptor what that refers to."""
    number = text.removeprefix("/proc/self/fd/")
    if number == text or not number.isdigit():
        return quote(text)
    return quote(text) + descriptor(int(number))[len(number) :]


def capability_words(mask: int) -> str:
    """A mask of capabilities as their names, or as those that are missing, if they are fewer."""
    names = [name for bit, name in enumerate(NAMES) if mask >> bit & 1]
    missing = [name for name in NAMES if name not in names]
    if len(missing) < len(names) // 2:
        return "all but " + "|".join(missing) if missing else "all"
    return "|".join(names) or "none"


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)


def _mount(source: str, target: str, fstype: str, flags: int, data: str) -> str:
    words = [path(source), path(target), quote(fstype), flag_words(flags, MOUNT_FLAGS)]
    return ", ".join([*words, quote(data)] if data else words)


def _mkdir(name: str, mode: int, more: str | int = "") -> str:
    if isinstance(more, int):
        return f"{descriptor(more)}, {quote(name)}, 0{mode:o}"
    return f"{quote(name)}, 0{mode:o}" + (f", marked {more}" if more else "")


def _mknodat(name: str, mode: int, device: int, parent: int) -> str:
    kind = "S_IFBLK" if stat.S_ISBLK(mode) else "S_IFCHR"
    numbers = f"{os.major(device)}:{os.minor(device)}"
    return f"{descriptor(parent)}, {quote(name)}, {kind}|0{stat.S_IMODE(mode):o}, {numbers}"


def _execve(program: str, words: list[str], environment: dict[str, str]) -> str:
    return f"{quote(program)}, {quote(words)}, {len(environment)} variables"


def _prctl(option: int, *rest: int | str) -> str:
    first = rest[0]
    word = quote(first) if isinstance(first, str) else str(first)
    if option in (syscalls.PR_CAPBSET_DROP, syscalls.PR_CAPBSET_READ):
        word = f"CAP_{NAMES[int(first)]}" if int(first) < len(NAMES) else word
    elif option == syscalls.PR_CAP_AMBIENT and first == syscalls.PR_CAP_AMBIENT_CLEAR_ALL:
        word = "PR_CAP_AMBIENT_CLEAR_ALL"
    elif option == syscalls.PR_SET_PDEATHSIG:
        word = _signal(int(first))
    return f"{PRCTL.get(option, option)}, {word}"


def _capset(effective: int, permitted: int, inheritable: int) -> str:
    same = "the same" if permitted == effective else capability_words(permitted)
    first, last = capability_words(effective), capability_words(inheritable)
    return f"effective {first}, permitted {same}, inheritable {last}"


def _setrlimit(name: str, values: tuple[int, int]) -> str:
    return ", ".join([name, *("RLIM_INFINITY" if v == -1 else str(v) for v in values)])


def _mount_setattr(fd: int, attributes: int, userns: int, flags: int) -> str:
    words = [descriptor(fd), flag_words(attributes, ATTRIBUTES)]
    words += [descriptor(userns)] if attributes & syscalls.MOUNT_ATTR_IDMAP else []
    return ", ".join(words + ([flag_words(flags, TREE_FLAGS)] if flags else []))


def _move_mount(source: int, directory: int, name: str) -> str:
    return f"{descriptor(source)}, {descriptor(directory)}, {quote(name)}"


def _fsconfig(fd: int, command: int, key: str | None, value: str | None) -> str:
    words = [quote(word) for word in (key, value) if word is not None]
    return ", ".join([descriptor(fd), FSCONFIG.get(command, str(command)), *words])


def _close_range(first: int, last: int, flags: int) -> str:
    words = [str(first), "~0U" if last == 0xFFFFFFFF else str(last)]
    return ", ".join(words + (["CLOSE_RANGE_CLOEXEC"] if flags else []))


def _rules(lines: list[str]) -> str:
    return "".join(f"\n  {line}" for line in ["--noflush", *lines]) + "\n"


DECODERS: dict[str, Callable[..., str]] = {
    "capset": _capset,
    "clone3": lambda flags, where: f"{flag_words(flags, CLONE_FLAGS)}, {quote(where)}",
    "close_range": _close_range,
    "execve": _execve,
    "execveat": lambda fd, *more: f"{descriptor(fd)}, {_execve(*more)}",
    "fchdir": descriptor,
    "fchown": lambda fd, uid, gid: f"{descriptor(fd)}, {uid}, {gid}",
    "fsconfig": _fsconfig,
    "fsmount": descriptor,
    "iptables-restore": _rules,
    "ip6tables-restore": _rules,
    "ioctl": lambda request, fd, *more: ", ".join([descriptor(fd), request, *more]),
    "keyctl": lambda command, name: f"KEYCTL_JOIN_SESSION_KEYRING, {quote(name)}",
    "kill": lambda pid, number: f"{pid}, {_signal(number)}",
    "mkdir": _mkdir,
    "mknodat": _mknodat,
    "mount": _mount,
    "mount_setattr": _mount_setattr,
    "move_mount": _move_mount,
    "open_tree": lambda fd, name, flags: (
        f"{descriptor(fd)}, {path(name)}, {flag_words(flags, TREE_FLAGS)}"
    ),
    "pidfd_send_signal": lambda pid, number: f"{pid}, {_signal(number)}",
    "place": lambda name, fd: f"{quote(name)}, {descriptor(fd)}",
    "prctl": _prctl,
    "renameat2": lambda source, target, flags: (
        f"{quote(source)}, {quote(target)}, {flag_words(flags, table('RENAME_'))}"
    ),
    "setns": lambda fd, kind: f"{descriptor(fd)}, {flag_words(kind, CLONE_FLAGS)}",
    "setrlimit": _setrlimit,
    "symlinkat": lambda text, fd, name: f"{quote(text)}, {descriptor(fd)}, {quote(name)}",
    "umount2": lambda target, flags: f"{path(target)}, {flag_words(flags, UMOUNT_FLAGS)}",
    "unshare": lambda flags: flag_words(flags, CLONE_FLAGS),
    "write_whole": lambda name, text, *_: f"{quote(name)}, {len(text)} characters",
}
"""Actions whose arguments take more than quoting."""


def call(name: str, args: tuple[Any, ...]) -> str:
    """One action as text: `call(arguments)`."""
    decode = DECODERS.get(name)
    words = decode(*args) if decode else ", ".join(quote(arg) for arg in args)
    if name == "mkdir" and isinstance(args[-1], int) and len(args) > 2:
        name = "mkdirat"
    return f"{name}({words})"


def outcome(result: Any) -> str:
    """What came back: a number or two, or -1 with the errno's name and meaning."""
    import errno

    number = getattr(result, "errno", None)
    if isinstance(result, Exception):
        if number is None:
            return f"failed: {result}"
        return f"-1 {errno.errorcode.get(number, number)} ({os.strerror(number).lower()})"
    if isinstance(result, tuple):
        return ", ".join(map(str, result))
    return str(result) if isinstance(result, int) and not isinstance(result, bool) else "0"
