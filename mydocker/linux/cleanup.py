"""Undo in the opposite order what was done: the part of contextlib.ExitStack that we need.

What is acquired is registered with its undoing at once, so an error half-way unwinds what exists
and nothing else. A step that fails does not stop the others: they all run, and the first failure
is reported in the end. (contextlib itself is not imported: see docs/adr/0004-import-budget.md.)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self


class Cleanup:
    """A stack of undo steps; as a context manager it unwinds on an error *and* at the normal end.

    `keep()` forgets the steps: what was built stays.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def push(self, undo: Callable[..., Any], *args: Any) -> None:
        """Register `undo(*args)`, to be run before everything that was registered earlier."""
        self._steps.append((undo, args))

    def keep(self) -> None:
        """Forget all steps."""
        self._steps.clear()

    def unwind(self) -> None:
        """Run every step, last first; then raise the first exception that one of them raised."""
        first: Exception | None = None
        while self._steps:
            undo, args = self._steps.pop()
            try:
                undo(*args)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            self.unwind()
        except Exception as failed:
            if error is None:
                raise
            error.add_note(f"and while cleaning up: {failed}")
