"""Whether a container does its work, by a command that is run in it now and then (`--health-cmd`).

A process that lives may still hang. So its monitor runs the check inside the container, as `exec`
would, and draws the conclusion: `starting` until there is one, `healthy` after a check with exit
code 0, `unhealthy` after so many failures in a row. Failures in the start period do not count, and
while the container is paused nobody asks.

Invariant: the check never holds up the container's output: it is a process beside the monitor,
whose answer shows on a descriptor (check.py).
"""

from __future__ import annotations

import select
import time

from mydocker.errors import Error, Usage
from mydocker.lifecycle import events, moments
from mydocker.lifecycle.check import Check
from mydocker.lifecycle.container import Answer, Container, Healthcheck, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.lifecycle.monitor import Monitor
    from mydocker.lifecycle.options import Options

KEPT = 5
"""How many answers the record holds."""
SHELL = ["/bin/sh", "-c"]


def wanted(asked: Options, image: dict[str, Any]) -> Healthcheck:
    """The check of the flags and, for what they do not say, of the image (`Healthcheck`)."""
    given = {
        "interval": duration(asked.health_interval, "--health-interval"),
        "timeout": duration(asked.health_timeout, "--health-timeout"),
        "start_period": duration(asked.health_start_period, "--health-start-period"),
        "retries": asked.health_retries,
    }
    if asked.no_healthcheck:
        if asked.health_cmd is not None or any(value is not None for value in given.values()):
            raise Usage("--no-healthcheck", "", "does not go with the other --health flags")
        return Healthcheck()
    check = of_image(image)
    if asked.health_cmd:
        check.test = ["CMD-SHELL", asked.health_cmd]
    for name, value in given.items():
        if value is not None:
            setattr(check, name, value)
    return check


def of_image(image: dict[str, Any]) -> Healthcheck:
    """The check in an image's configuration; what is zero or missing has its default."""
    test, check = image.get("Test"), Healthcheck()
    if isinstance(test, list) and test[:1] in (["CMD"], ["CMD-SHELL"]) and len(test) > 1:
        check.test = [str(word) for word in test]
    keys = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period"}
    for key, name in (keys | {"Retries": "retries"}).items():
        value = image.get(key)
        if isinstance(value, int) and value > 0:
            setattr(check, name, int(value))
    return check


def duration(text: str | None, flag: str) -> int | None:
    """`1m30s` in nanoseconds; at least a millisecond, as with Docker."""
    if text is None:
        return None
    found = moments.span(text)
    if found is None:
        raise Usage(flag, text or "''", "not a time", hint="such as 30s or 1m30s")
    if found < 10**6 and "start-period" not in flag:
        raise Usage(flag, text, "less than a millisecond")
    return found


def words(test: list[str]) -> list[str]:
    """What to execute for it."""
    return [*SHELL, *test[1:]] if test[0] == "CMD-SHELL" else test[1:]


def judge(container: Container, code: int, in_start_period: bool) -> None:
    """Draw the conclusion from one more answer."""
    if code == 0:
        container.health, container.health_streak = "healthy", 0
    elif not (in_start_period and container.health == "starting"):
        container.health_streak += 1
        if container.health_streak >= max(1, container.healthcheck.retries):
            container.health = "unhealthy"


class HealthWatch:
    """Asks for the health of one life of a container, as a chore beside its output (stdio.py)."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._config = monitor.container.healthcheck
        self._began = time.monotonic()
        self._next = self._began + self._config.interval / 1e9
        self._check: Check | None = None
        self._asked = ""

    def polled(self) -> dict[int, int]:
        """The descriptor of the answer that we wait for."""
        return {self._check.fileno(): select.POLLIN} if self._check else {}

    def timeout(self) -> float | None:
        """Seconds until the next question."""
        return None if self._check else self._next - time.monotonic()

    def tend(self, polled: dict[int, int]) -> None:
        """Take the answer that has come, or ask when it is time."""
        if self._check and self._check.fileno() in polled:
            code, output = self._check.result()
            self._check = None
            self._next = time.monotonic() + self._config.interval / 1e9
            self._answer(code, output)
        elif not self._check and time.monotonic() >= self._next:
            self._ask()

    def _ask(self) -> None:
        self._next = time.monotonic() + self._config.interval / 1e9
        monitor = self._monitor
        try:
            running = monitor.containers.load(monitor.container.id).status == "running"
        except Error:  # the record is gone or damaged: that is for others to say
            return
        if running:
            self._asked = now()
            seconds = self._config.timeout / 1e9
            self._check = Check(monitor.container, words(self._config.test), seconds)

    def _answer(self, code: int, output: str) -> None:
        monitor = self._monitor
        early = time.monotonic() - self._began < self._config.start_period / 1e9
        try:
            with monitor.change() as container:
                before = container.health
                answer = Answer(start=self._asked, end=now(), exit_code=code, output=output)
                container.health_log = [*container.health_log, answer][-KEPT:]
                judge(container, code, early)
        except Error:  # no room on the disk: it may be there for the next answer
            return
        if container.health != before:
            action = f"health_status: {container.health}"
            events.container(monitor.containers.root, action, container)

    def close(self) -> None:
        """Ask no more."""
        if self._check:
            self._check.cancel()
            self._check = None
