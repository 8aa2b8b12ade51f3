"""The question before something is removed."""

from __future__ import annotations

import sys


def sure(warning: str) -> bool:
    """Whether the user says yes; who does not answer (a pipe that is empty) has said no."""
    print(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()
    return answer.strip().lower() in ("y", "yes")
