"""Names for containers that were given none: an adjective, and somebody the kernel owes something.

Docker's are of the same make; the words here are our own.
"""

from __future__ import annotations

import os

from mydocker.errors import Usage

LEFT = (
    "agile amber brave brisk calm candid clever cosy curious daring dapper eager earnest fair fond "
    "gentle glad golden happy honest jolly keen kind lively lucid merry mellow neat noble patient "
    "plucky proud quick quiet rapid ready serene shrewd sunny tidy tranquil upbeat vivid warm wise "
    "witty zesty"
).split()
RIGHT = (
    "allman aho bell bostic cerf cox dennis dijkstra engelbart floyd gosper hamilton hoare hopper "
    "johnson joy kay kernighan knuth lamport lampson leffler lesk liskov mashey mccarthy mcilroy "
    "mckusick morris naur nygaard ossanna perlman pike postel quarterman reynolds ritchie rivest "
    "rosen salus shannon stallman strachey tanenbaum thompson torvalds turing weinberger wirth"
).split()


def invent() -> str:
    """A random name such as quiet_ritchie; there are over two thousand, so try again when taken."""
    a, b = os.urandom(2)
    return f"{LEFT[a % len(LEFT)]}_{RIGHT[b % len(RIGHT)]}"


def check(name: str) -> str:
    """The name if it may be one: letters, digits, `_`, `.` and `-`, at least two, as in Docker.

    A name that looks like a whole id is refused, because it could hide a container.
    """
    letters = name.replace("_", "").replace(".", "").replace("-", "")
    ok = len(name) >= 2 and name.isascii() and letters.isalnum() and name[0].isalnum()
    if not ok:
        raise Usage("--name", name, "not a name", hint="letters, digits, _ . - and at least two")
    if len(name) > 128:
        raise Usage("--name", name[:20] + "…", "longer than 128 characters")
    if len(name) == 64 and all(c in "0123456789abcdef" for c in name):
        raise Usage("--name", name[:12] + "…", "looks like an id")
    return name
