"""Moments as people write them: `10m` (ago), `2026-01-02T03:04:05`, seconds since 1970.

`logs` and `events` take them for --since and --until, prune for the filter `until`.
"""

from __future__ import annotations

import re
import time

from mydocker.errors import Usage

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?"
)


def parse(text: str | None, flag: str) -> str:
    """The moment as the records write it, so that texts compare as times do; "" for none.

    A date without a zone is local time, as with Docker. Usage if it is none of the three.
    """
    return "" if text is None else write(nanoseconds(text, flag))


def nanoseconds(text: str, flag: str) -> int:
    """The moment as nanoseconds since 1970."""
    try:
        for read in (_span, _seconds, _date):
            found = read(text)
            if found is not None:
                write(found)
                return found
    except (ValueError, OverflowError, OSError):  # the 31st of February, the year 99999999
        pass
    hint = "such as 10m, 2026-01-02T03:04:05Z or 1767322800"
    raise Usage(flag, text or "''", "not a time", hint=hint)


def write(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC, as in the records."""
    seconds, part = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{part:09d}Z"


def span(text: str) -> int | None:
    """`1h30m` in nanoseconds; None if it is not such a text."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return int(seconds * 10**9)


def _span(text: str) -> int | None:
    """`1h30m`: so long before now, in nanoseconds since 1970."""
    found = span(text)
    return None if found is None else time.time_ns() - found


def _seconds(text: str) -> int | None:
    """`1767322800.5`."""
    whole, _, part = text.partition(".")
    if not (whole + part).isascii() or not (whole + (part or "0")).isdigit() or len(part) > 9:
        return None
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def _date(text: str) -> int | None:
    import calendar

    match = _DATE.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, part, zone = match.groups()
    numbers = [int(number or 0) for number in (year, month, day, hour, minute, second)]
    time.strptime("-".join(map(str, numbers)), "%Y-%m-%d-%H-%M-%S")  # ValueError if there is none
    if zone is None:
        seconds = int(time.mktime((*numbers, 0, 0, -1)))  # type: ignore[arg-type]  # nine, as it takes
    else:
        seconds = calendar.timegm((*numbers, 0, 0, 0))
        if zone != "Z":
            offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
            seconds -= offset if zone[0] == "+" else -offset
    return seconds * 10**9 + int((part or "").ljust(9, "0"))
