"""The funnel: every action that mydocker asks of the kernel passes through `step`.

One place to look, so that three things come for free:

* `--explain` prints each action as it happens (explain.py turns arguments into words);
* fault injection stops at the n-th action, with an error or with SIGKILL, so that a test can sweep
  over all of them and look at what is left behind;
* a reader finds what mydocker does to the kernel by looking for callers of this module.

When nobody watches, `step` costs one comparison.
"""

from __future__ import annotations

import os

from mydocker.errors import Error, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    T = TypeVar("T")

    class Watcher(Protocol):
        """Told of each action: before it (may raise, may kill), and after it with its result."""

        def before(self, name: str, args: tuple[Any, ...]) -> None: ...
        def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None: ...


_watchers: list[Watcher] = []

role = "mydocker"
"""Who is acting, each in a process of its own: `mydocker` (the command; `start` until it runs from
a protected executable), `between` and `monitor` (detach.py), `helper` and `userns` (namespaces.py),
`init` (the container's first process) and, below `--init`, the `command`."""


def step(name: str, args: tuple[Any, ...], do: Callable[..., T]) -> T:
    """Do one kernel action: `do(*args)`, seen by whoever watches under the name `name`."""
    if not _watchers:
        return do(*args)
    import time

    for watcher in _watchers:
        watcher.before(name, args)
    start = time.perf_counter()
    try:
        result: Any = do(*args)
    except Exception as error:
        for watcher in _watchers:
            watcher.after(name, args, error, time.perf_counter() - start)
        raise
    for watcher in _watchers:
        watcher.after(name, args, result, time.perf_counter() - start)
    return result  # type: ignore[no-any-return]  # do's own result, through Any for the watchers


def act(name: str, do: Callable[..., Any], *args: Any) -> Any:
    """`step` for one of Python's own wrappers: its OSError becomes a KernelError.

    The error names the call and the first argument, which is the object that is acted on.
    """
    try:
        return step(name, args, do)
    except OSError as error:
        raise KernelError.of(error, name, str(args[0]) if args else "") from None


def watch(watcher: Watcher) -> None:
    """Add a watcher; it is inherited by the processes that this one forks."""
    _watchers.append(watcher)


def act_as(name: str) -> None:
    """Say who acts from here on; called by each process right after it was forked."""
    global role
    role = name


class Fault:
    """Stop at the n-th action of one role: `MYDOCKER_FAULT=init:12:kill` or `mydocker:3:EIO`."""

    def __init__(self, text: str) -> None:
        import errno

        try:
            self.role, number, self.how = text.split(":")
            self.number = int(number)
            self.errno = 0 if self.how == "kill" else getattr(errno, self.how)
        except (ValueError, AttributeError):
            raise Error(
                "fault injection", text, "not ROLE:NUMBER:ERRNO or ROLE:NUMBER:kill"
            ) from None

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        if role != self.role:
            return
        self.number -= 1
        if self.number != 0:
            return
        if self.errno:
            raise KernelError(name, str(args[0]) if args else "", self.errno)
        os.kill(os.getpid(), 9)
        os._exit(137)  # the first process of a pid namespace does not feel its own SIGKILL

    def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None:
        pass
