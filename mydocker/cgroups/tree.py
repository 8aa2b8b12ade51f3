"""Groups as directories: made, listed and removed, beside other mydockers that do the same.

A cgroup is a directory: mkdir(2) makes it, its files set and tell, rmdir(2) removes it when no
process and no group is left in it (cgroups(7)). Containers share a parent (/mydocker). It is made
with the first of them and removed with the last, so it can vanish between two steps of somebody
else; and one that was there before, made by the machine's owner, is not ours to remove. So we mark
the ones that we make, with an extended attribute of the directory (xattr(7)).

Invariant: what `make` makes, `remove` removes; calls from many processes at once do not disturb
each other; nothing else is ever removed.
"""

from __future__ import annotations

import os
import time
from errno import EBUSY, ENODEV, ENOENT, EOPNOTSUPP

from mydocker.errors import KernelError
from mydocker.linux import files
from mydocker.linux.cleanup import Cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "trusted.mydocker"
PATIENCE = 2.0
"""Seconds to wait for the last process of a group to be gone."""


def make(top: str, path: str, prepare: Callable[[str], None]) -> None:
    """Make the group top+path, which must be new, and its parents, which may be there.

    `prepare(directory)` is called for the top and each parent, on the way down, before anything is
    made below it. When a step fails, what was made is gone again.
    """
    attempts = 100
    while True:
        with Cleanup() as undo:
            undo.push(remove_parents, top, path)
            try:
                _make(top, path.strip("/").split("/"), prepare)
            except KernelError as error:
                # A parent is gone that was there a moment ago: its last group was just removed.
                attempts -= 1
                if error.errno not in (ENOENT, ENODEV) or not attempts:
                    raise
                undo.keep()
                continue
            undo.keep()
            return


def _make(top: str, names: list[str], prepare: Callable[[str], None]) -> None:
    directory = top
    for name in names[:-1]:
        prepare(directory)
        directory = f"{directory}/{name}"
        if not os.path.isdir(directory):
            _make_parent(directory)
    prepare(directory)
    files.mkdir(f"{directory}/{names[-1]}", 0o755)


def _make_parent(directory: str) -> None:
    try:
        files.mkdir_marked(directory, 0o755, MARK)
    except KernelError:
        if not os.path.isdir(directory):  # another mydocker may have made it meanwhile
            raise


def remove(top: str, path: str, deadline: float = 0.0) -> None:
    """Remove the group top+path with the groups below it, then the parents that are ours and empty.

    A process that was killed is in its group until it has been reaped; until `deadline`
    (time.monotonic) this waits for that. Missing is as good as removed. Raises KernelError (EBUSY)
    when processes remain.
    """
    directory, pause = top + path, 0.001
    while os.path.isdir(directory):
        try:
            for group in [*below(directory), directory]:
                files.rmdir(group)
        except KernelError as error:
            if error.errno == ENOENT:
                continue
            if error.errno != EBUSY or time.monotonic() >= deadline:
                hint = _who(directory)
                raise KernelError("remove cgroup", directory, error.errno, hint=hint) from None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
    remove_parents(top, path)


def _who(directory: str) -> str:
    pids = " ".join(str(pid) for pid in processes(directory))
    return f"processes in it: {pids}" if pids else ""


def remove_parents(top: str, path: str) -> None:
    """Remove the parents of top+path that a mydocker made and that are empty, deepest first."""
    parent = os.path.dirname(path)
    while parent not in ("", "/"):
        directory = top + parent
        if os.path.isdir(directory):
            if not idle(directory):
                return
            try:
                files.rmdir(directory)
            except KernelError as error:
                if error.errno == EBUSY:  # somebody has just made a group there
                    return
                if error.errno != ENOENT:
                    raise
        parent = os.path.dirname(parent)


def idle(directory: str) -> bool:
    """Whether a mydocker made this group to be a parent, and nothing is in it."""
    try:
        os.getxattr(directory, MARK)
    except OSError:  # ENODATA: its maker is somebody else
        return False
    return not children(directory)


def children(directory: str) -> list[str]:
    """The groups directly inside a group; none when it does not exist."""
    try:
        if os.stat(directory).st_nlink == 2:  # the links to it: its name, `.`, each child's `..`
            return []
        return [e.path for e in os.scandir(directory) if e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def below(directory: str) -> list[str]:
    """All groups inside a group, the deepest first: a container may have made some of its own."""
    found = []
    for child in children(directory):
        found += [*below(child), child]
    return found


def processes(directory: str) -> list[int]:
    """The pids in a group and the groups below it; none when it does not exist.

    The kernel lists pids as our pid namespace knows them, in no order, perhaps twice; a process
    outside of the namespace is a 0, which is nobody we could name.
    """
    pids: set[int] = set()
    for group in [directory, *below(directory)]:
        try:
            pids.update(map(int, files.read(f"{group}/cgroup.procs").split()))
        except KernelError as error:
            if error.errno not in (ENOENT, ENODEV, EOPNOTSUPP):
                raise
    return sorted(pids - {0})


def wait_until(done: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Ask `done()` again and again, ever more slowly, until it says yes; False after `seconds`."""
    deadline, pause = time.monotonic() + seconds, 0.0005
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return True
