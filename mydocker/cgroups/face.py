"""The one face of a control group: what a container's life needs of it, on v1 and v2 alike.

A control group is a set of processes that the kernel counts and limits together: so much memory,
so large a share of the processors, so many processes (cgroups(7); the book's 3.2). The two versions
do the same with other files; v1.py and v2.py hold what differs, this file what does not.

Invariant: a process is in its group before it runs the user's first instruction, and whatever it
starts is born into the same group, so nothing escapes the count.
"""

from __future__ import annotations

import os
import time
from errno import EACCES, EBUSY, ENODEV, ENOENT

from mydocker.cgroups import tree
from mydocker.cgroups.convert import UNLIMITED
from mydocker.errors import Error, KernelError, NotFound
from mydocker.linux import files, process, syscalls
from mydocker.linux.cleanup import Cleanup
from mydocker.spec import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mydocker.cgroups.hierarchies import Hierarchy
    from mydocker.spec import Resources

    Limit = tuple[str, str]
    """A limit's file, such as memory.max, and the text to write into it."""

SIGKILL = 9  # the module `signal` imports `enum`, which is dear

IN_USE = "the processes in it hold more memory than that"
HINTS = {
    ("memory", EBUSY): IN_USE,
    ("cpuset", EACCES): "the parent group has not got these processors or nodes",
    ("blkio", ENODEV): "only a whole disk can be limited, not a partition",
    ("io", ENODEV): "only a whole disk can be limited, not a partition",
}
"""What an errno means when a controller's file refuses a value."""


class Statistics(Struct):
    """What the kernel counted. Bytes, nanoseconds, processes; a limit is -1 where there is none.

    memory_usage leaves out the file pages that the kernel would drop first, as `docker stats` does.
    """

    memory_usage: int = 0
    memory_limit: int = -1
    cpu_nanoseconds: int = 0
    pids: int = 0
    pids_limit: int = -1
    block_read: int = 0
    block_write: int = 0


class Cgroup:
    """One container's group: a directory in each hierarchy, under the same path in all of them."""

    LIMITS: tuple[str, ...] = ()
    """The files that may hold a limit."""

    def __init__(self, path: str, hierarchies: list[Hierarchy]) -> None:
        self.path = path
        self.hierarchies = hierarchies

    # What v1 and v2 do each in their way

    def create(self, resources: Resources) -> None:
        """Make the group and write its limits; if any of it fails, nothing is left.

        Raises Usage for limits that contradict each other, Error for one that this machine cannot
        give, KernelError with EEXIST when there is such a group already.
        """
        raise NotImplementedError

    def update(self, resources: Resources) -> None:
        """Change limits while processes run under them; if one is refused, all stay as they are."""
        raise NotImplementedError

    def fork(self) -> int:
        """fork(2), with the child on its way into the group: its first act must be `add(0)`.

        That is the fast way in, on v1 and on v2, each for a reason of its own.
        """
        return syscalls.fork()

    def add(self, pid: int) -> None:
        """Move a process here, with all its threads. 0 is the caller itself, which has only one."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop all processes where they are; returns when they have stopped."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Let them go on."""
        raise NotImplementedError

    def frozen(self) -> bool:
        """Whether they are stopped, or about to be; False when the group is gone."""
        raise NotImplementedError

    def oom_kills(self) -> int:
        """How many processes the kernel killed for want of memory; 0 when the group is gone."""
        raise NotImplementedError

    def statistics(self) -> Statistics:
        """What the group uses now; zeros for what no controller counts, or once it is gone."""
        raise NotImplementedError

    # What is the same

    def directories(self) -> list[str]:
        """The group's directory in each hierarchy."""
        return [hierarchy.top + self.path for hierarchy in self.hierarchies]

    def processes(self) -> list[int]:
        """The pids in the group and in groups that the container made below it, sorted."""
        return tree.processes(self.directories()[0])

    def kill(self) -> None:
        """Send SIGKILL to all of them. Where one could fork while we send, they are frozen first.

        They are dead soon after, not at once: `remove` waits for that. A group that is gone, or
        that another removes meanwhile, is no error.
        """
        frozen = True
        try:
            self.freeze()
        except Error:  # no freezer here, or a process that cannot be stopped now: round by round
            frozen = False
        sent = {os.getpid()}
        while new := set(self.processes()) - sent:
            for pid in new:
                process.kill(pid, SIGKILL)
            sent |= new
        if frozen:  # v1 delivers a signal to a frozen process only when it is thawed
            try:
                self.thaw()
            except NotFound:
                pass

    def remove(self) -> None:
        """Remove the group and, when they are empty, the parents made for it; missing is fine.

        Waits two seconds at most for killed processes to be gone. Groups that the container made
        inside are removed too; a parent that others use, or that was there before mydocker, stays.
        Raises KernelError (EBUSY) when a process stays.
        """
        deadline = time.monotonic() + tree.PATIENCE
        with Cleanup() as steps:
            for hierarchy in self.hierarchies:
                steps.push(tree.remove, hierarchy.top, self.path, deadline)

    # Limit files

    def file(self, name: str) -> str:
        """The path of a file by its name; the controller is the part before the first dot."""
        controller = name.partition(".")[0]
        for hierarchy in self.hierarchies:
            if controller in (*hierarchy.controllers, "cgroup"):
                return f"{hierarchy.top}{self.path}/{name}"
        names = " ".join(sorted(name for h in self.hierarchies for name in h.controllers))
        hint = f"cgroup v{self.hierarchies[0].version} has these controllers here: {names}"
        raise Error("limit", name, f"there is no {controller} controller", hint=hint)

    def has(self, name: str) -> bool:
        """Whether there is such a file: kernels are built with and without many of them."""
        try:
            return os.path.exists(self.file(name))
        except Error:
            return False

    def read(self, name: str) -> str:
        """The content of one of the group's files; empty when there is no such file."""
        try:
            return files.read(self.file(name)).strip()
        except KernelError as error:
            if error.errno in (ENOENT, ENODEV):
                return ""
            raise
        except Error:  # no such controller
            return ""

    def number(self, name: str, missing: int = UNLIMITED) -> int:
        """A file's number; `max`, and the largest count of pages there is (v1), mean no limit."""
        text = self.read(name)
        number = int(text) if text.isdigit() else missing
        return UNLIMITED if number >= 1 << 62 else number

    def fields(self, name: str) -> dict[str, int]:
        """A file of lines `name number`, as a dict."""
        lines = [line.split() for line in self.read(name).splitlines()]
        return {words[0]: int(words[1]) for words in lines}

    def write(self, name: str, text: str) -> None:
        """Set one limit; an error names the file, the value, and what the errno means there.

        NotFound if the group is gone.
        """
        path = self.file(name)
        group = os.path.dirname(path)
        if not os.path.exists(path) and os.path.isdir(group):
            raise Error("limit", f"{name}={text}", "this kernel has no such limit")
        try:
            files.write(path, text)
        except KernelError as error:
            if not os.path.isdir(group):
                raise NotFound("limit", f"{name}={text}", "there is no such group") from None
            hint = HINTS.get((name.partition(".")[0], error.errno), "")
            raise KernelError("limit", f"{name}={text}", error.errno, hint=hint) from None

    def change(self, limits: Iterable[Limit]) -> None:
        """Set limits of a group that is in use; when one is refused, put the others back."""
        with Cleanup() as undo:
            for name, text in limits:
                before = self.read(name)
                self.write(name, text)
                if before and "\n" not in before:  # one value, and no table of devices
                    undo.push(self.write, name, before)
            undo.keep()

    def limit_files(self) -> list[str]:
        """The paths of the files that hold the group's limits, for a reader to look into."""
        return [self.file(name) for name in self.LIMITS if self.has(name)]
