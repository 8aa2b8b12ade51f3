"""The values of the limit flags, read as Docker reads them: `100m`, `1.5`, `0-2,4`, `/dev/sda:1mb`.

Every function takes the text and the flag as the user wrote it, and returns numbers in the units of
`spec.Resources`; what does not parse raises Usage, which names the flag, the text and the reason.
0 means "no limit asked", as with Docker, where a flag allows it. (Patterns would say the same in
fewer lines, but `run` does without the module `re`: docs/adr/0004-import-budget.md.)
"""

from __future__ import annotations

import os
import stat

from mydocker.cgroups.convert import LEAST_MEMORY, PERIOD, UNLIMITED
from mydocker.errors import KernelError, Usage
from mydocker.linux import files
from mydocker.spec import Throttle

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
LARGEST = (1 << 63) - 1
EMPTY = "''"  # how an empty value is shown


def parse_size(text: str, flag: str = "size", *, unlimited: bool = False) -> int:
    """Bytes: a number, perhaps with a fraction, then b, k, m, g, t or p in either case (powers of
    1024; also kb, KiB, and one space before). With `unlimited`, -1 too.

    >>> parse_size("1.5g")
    1610612736
    """
    if unlimited and text == "-1":
        return UNLIMITED
    number = text.rstrip("bBiIkKmMgGtTpP")
    unit = text[len(number) :].lower()
    whole, point, fraction = number.removesuffix(" " if unit else "").partition(".")
    well_formed = _is_number(whole + fraction) and (fraction or not point) and unit[:1] in UNITS
    if not well_formed or unit[1:] not in (("",) if unit[:1] == "b" else ("", "b", "ib")):
        hint = "a size is a number and b, k, m, g, t or p"
        raise Usage(flag, text or EMPTY, "not a size", hint=hint)
    size = LARGEST + 1
    if len(whole + fraction) < 40:  # int() itself refuses thousands of digits
        size = int(whole + fraction) * UNITS[unit[:1]] // 10 ** len(fraction)
    if size > LARGEST:
        raise Usage(flag, text, "too large")
    return size


def parse_memory(text: str, flag: str = "--memory") -> int:
    """Bytes of memory: a size of at least 6m; -1 for no limit, 0 for nothing asked."""
    size = parse_size(text, flag, unlimited=True)
    if 0 < size < LEAST_MEMORY:
        raise Usage(flag, text, "the least is 6m")
    return size


def parse_cpus(text: str, flag: str = "--cpus") -> tuple[int, int]:
    """Processors, such as 1.5, as (quota, period) in microseconds: so much time in each period.

    At least 0.01 and at most the processors there are; 0 is no limit, a quota of -1.

    >>> parse_cpus("0.5")
    (50000, 100000)
    """
    whole, point, fraction = text.partition(".")
    if not _is_number(whole + fraction) or (point and not fraction) or len(text) > 20:
        raise Usage(flag, text or EMPTY, "not a number of processors", hint="such as 2 or 0.5")
    scale = 10 ** len(fraction)
    quota = int(whole + fraction) * PERIOD // scale
    most = len(os.sched_getaffinity(0))
    if quota > most * PERIOD:
        raise Usage(flag, text, f"there are only {most} processors")
    if quota < PERIOD // 100 and int(whole + fraction):
        raise Usage(flag, text, "the least is 0.01")
    return quota or UNLIMITED, PERIOD


def parse_cpuset(text: str, flag: str = "--cpuset-cpus", kind: str = "cpu") -> str:
    """A list such as `0-2,4` of processors (`cpu`) or memory nodes (`node`) that are online."""
    wanted = _ranges(text)
    if not wanted:
        raise Usage(flag, text or EMPTY, "not a list of numbers and ranges", hint="such as 0-2,4")
    try:
        online = files.read(f"/sys/devices/system/{kind}/online").strip()
    except KernelError:
        online = "0"  # a machine whose memory is one node does not list it
    for first, last in wanted:
        if not _covered(first, last, _ranges(online)):
            number = f"{first}-{last}" if first < last else first
            raise Usage(flag, text, f"{kind} {number} is not online, only {online}")
    return text


def parse_shares(text: str, flag: str = "--cpu-shares") -> int:
    """A weight for the processors: 2 to 262144, and 1024 for who asks for nothing; 0 is unset."""
    return _number(text, flag, 2, 1 << 18)


def parse_blkio_weight(text: str, flag: str = "--blkio-weight") -> int:
    """A weight for the disks: 10 to 1000; 0 is unset."""
    return _number(text, flag, 10, 1000)


def parse_pids_limit(text: str, flag: str = "--pids-limit") -> int:
    """How many processes and threads at most; -1 and 0 are no limit, as with Docker: -1."""
    if text == "-1":
        return UNLIMITED
    return _number(text, flag, 1, 1 << 22) or UNLIMITED


def parse_device_rate(text: str, flag: str = "--device-read-bps") -> Throttle:
    """A disk and its rate: `/dev/sda:1mb` bytes a second, or for an -iops flag `/dev/sda:100`."""
    path, colon, rate = text.rpartition(":")
    if not colon or not path.startswith("/"):
        raise Usage(flag, text or EMPTY, "not DEVICE:RATE", hint="such as /dev/sda:1mb")
    number = _number(rate, flag, 1, (1 << 32) - 1) if "iops" in flag else parse_size(rate, flag)
    if not number:
        raise Usage(flag, text, "the rate must be more than 0")
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else "not a path"
        raise Usage(flag, path, why) from None
    if not stat.S_ISBLK(found.st_mode):
        raise Usage(flag, path, "not a block device")
    return Throttle(major=os.major(found.st_rdev), minor=os.minor(found.st_rdev), rate=number)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, flag: str, least: int, most: int) -> int:
    if not _is_number(text):
        raise Usage(flag, text or EMPTY, "not a whole number")
    number = int(text) if len(text) < 20 else most + 1
    if number and not least <= number <= most:
        raise Usage(flag, text, f"not between {least} and {most}")
    return number


def _ranges(text: str) -> list[tuple[int, int]]:
    """`0-2,4` as [(0, 2), (4, 4)]; nothing if it is not that."""
    found = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not _is_number(first) or not _is_number(last) or len(part) > 20:
            return []
        if int(first) > int(last):
            return []
        found.append((int(first), int(last)))
    return found


def _covered(first: int, last: int, ranges: list[tuple[int, int]]) -> bool:
    for low, high in ranges:
        if low <= first <= high:
            return last <= high or _covered(high + 1, last, ranges)
    return False
