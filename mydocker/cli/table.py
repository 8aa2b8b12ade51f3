"""Tables, times and sizes in Docker's words."""

from __future__ import annotations

from mydocker.cli import printable


def show(header: list[str], rows: list[list[str]]) -> None:
    """Print rows under a header, in columns as wide as they need, three spaces apart.

    Like Docker's, no column but the last is narrower than ten.
    """
    lines = [[printable(cell) for cell in row] for row in [header, *rows]]
    columns = max(map(len, lines))
    lines = [[*line, *[""] * (columns - len(line))] for line in lines]
    widths = [max(7, *(len(line[i]) for line in lines)) for i in range(columns)]
    for line in lines:
        print("   ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)).rstrip())


def command(words: list[str], whole: bool) -> str:
    """The command in quotes, cut to 20 characters unless it is wanted whole."""
    text = " ".join(words)
    return f'"{text}"' if whole or len(text) <= 20 else f'"{text[:19]}…"'


def ago(time: str) -> str:
    """How long ago an RFC 3339 time was, roughly: `3 minutes`, `About an hour`."""
    import calendar
    import time as clock

    try:
        date, hour = time[:10].split("-"), time[11:19].split(":")
        then = calendar.timegm((*map(int, date), *map(int, hour), 0, 0, 0))
    except (ValueError, TypeError, IndexError):
        return "an unknown time"
    return duration(max(0, int(clock.time() - then)))


def duration(seconds: int) -> str:
    """Docker's rough words for a span of time."""
    minutes, hours = seconds // 60, seconds // 3600
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'s' * (seconds > 1)}"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    return f"{days // 30} months" if days < 730 else f"{days // 365} years"


def size(count: int) -> str:
    """Bytes with three digits and a decimal unit, as Docker writes sizes: 4.27MB."""
    value, unit = float(count), "B"
    for following in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, following
    return f"{value:.3g}{unit}" if value < 999.5 else f"{value:.0f}{unit}"
