"""Whether a container that has ended starts again, and when (`--restart`).

The rules are Docker's: `no`, `on-failure[:N]`, `always`, `unless-stopped`. Between two lives there
is a pause that doubles each time, so that a program that fails at once does not keep the machine
busy; one that ran for a while has earned a short pause again.

Invariant: a container that was stopped by hand stays stopped, whatever its policy.
"""

from __future__ import annotations

from mydocker.errors import Usage

POLICIES = ("no", "on-failure", "always", "unless-stopped")
SHORTEST, LONGEST = 0.1, 60.0
"""Seconds of pause before the first new life, and at most."""
WHILE = 10.0
"""Seconds after which a life counts as a success, and the pauses begin anew."""


def parse(text: str, flag: str = "--restart") -> tuple[str, int]:
    """`on-failure:3` as ("on-failure", 3): the policy, and how often at most; 0 is no bound."""
    policy, colon, number = text.partition(":")
    if policy not in POLICIES:
        raise Usage(flag, text or "''", "no such policy", hint=", ".join(POLICIES))
    if not colon:
        return policy, 0
    if policy != "on-failure":
        raise Usage(flag, text, f"a number goes with on-failure, not with {policy}")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise Usage(flag, text, "not a whole number of times")
    return policy, int(number)


def wanted(policy: str, most: int, done: int, code: int) -> bool:
    """Whether a container that ended with `code`, after `done` restarts, is to start again."""
    if policy == "on-failure":
        return code != 0 and (not most or done < most)
    return policy in ("always", "unless-stopped")


class Backoff:
    """The pause before each new life, in seconds."""

    def __init__(self) -> None:
        self._next = SHORTEST

    def after(self, uptime: float) -> float:
        """The pause after a life of `uptime` seconds."""
        if uptime >= WHILE:
            self._next = SHORTEST
        pause, self._next = self._next, min(2 * self._next, LONGEST)
        return pause
