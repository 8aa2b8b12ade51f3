"""Join a container that runs: the way in for `mydocker exec` (setns(2); the book's 5.4).

unshare(2) makes namespaces, setns(2) enters those of others. Given a pidfd (pidfd_open(2)) it
enters all of a process's namespaces in one call, so they are of one container, or none is entered.
Only the pid namespace waits for the next fork, as it does with unshare; so there are two forks
again::

    keeper ── fork ─ joiner: the cgroup, setns(pidfd, …) ── fork ─ the command, in the pid namespace
       └────────────────────── the joiner ends, the command becomes the keeper's (subreaper) ────┘

The book does this in C, in a constructor that cgo runs before Go's runtime begins: for setns(2)
refuses the mount and the user namespace to a process of several threads, which a Go program is from
its start. A Python program has one thread until it asks for more, and fork(2) is an ordinary fork;
so here it is plain code, in reading order.

Unlike the first process of a container, this one comes into a world that is somebody's already. Its
processes may look at us, signal us and change every file, until execve(2) makes us one of them. So:

* whoever joins is not dumpable: without CAP_SYS_PTRACE on the host nobody in there can trace it or
  look into its /proc/PID, which leads to our executable, memory and descriptors (CVE-2016-9962,
  CVE-2019-5736; prctl(2), PR_SET_DUMPABLE);
* what is read or written of the host's is so before; nothing of ours depends on a file in there, a
  /proc that the container may have made up included (CVE-2019-16884, CVE-2025-52881);
* nothing is imported after (init.py, `forbid_imports`).

Invariant: when `enter` returns, the new process is in the container's cgroup and in all its
namespaces, waits for a word from us, and has not run an instruction of the container's.
"""

from __future__ import annotations

import os

from mydocker.errors import KernelError
from mydocker.linux import files, pty, syscalls, trace
from mydocker.sandbox import command
from mydocker.sandbox.init import become_user, forbid_imports, join_keyring, take_terminal
from mydocker.sandbox.namespaces import FLAGS, adopt, become_root, fork_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.sandbox.channel import Channel
    from mydocker.spec import Linux, Process


def enter(
    pid: int,
    pidfd: int,
    linux: Linux,
    fork: Callable[[], int],
    admit: Callable[[int], None],
    main: Callable[[Channel], None],
) -> tuple[int, Channel]:
    """Start `main(channel)` beside the process that `pidfd` holds, in the namespaces of `linux`.

    `fork` and then `admit(0)` in the child put it into the container's cgroup, which must happen
    while the host's cgroup directories can still be seen. Returns the pid as this process sees it,
    and our end of the channel. KernelError with ESRCH: the process of the pidfd has ended.
    """

    def join(channel: Channel) -> None:
        trace.act_as("joiner")
        admit(0)
        share_oom_score(pid)
        forbid_imports()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.setns(pidfd, namespaces_of(linux))
        os.close(pidfd)
        if linux.uid_mappings:
            become_root()
        fork_off("exec", main, channel)

    return adopt(fork, join)


def namespaces_of(linux: Linux) -> int:
    """The CLONE_NEW* flags of the namespaces that a container has for itself.

    The others are the host's, and ours: entering one's own user namespace would be an error.
    """
    return sum(FLAGS[kind] for kind in {namespace.type for namespace in linux.namespaces})


def share_oom_score(pid: int) -> None:
    """Be killed as readily, when memory is short, as the container's first process.

    The score is inherited, and who calls mydocker may be a service that is never to be killed
    (proc_pid_oom_score_adj(5)). Without CAP_SYS_RESOURCE it cannot be lowered, and stays higher.
    """
    wanted, path = files.read(f"/proc/{pid}/oom_score_adj"), "/proc/self/oom_score_adj"
    if files.read(path) != wanted:
        try:
            files.write(path, wanted.strip())
        except KernelError as error:
            if error.errno != 13:  # EACCES
                raise


class Joined:
    """What the new process does, in order, until it is the user's command: compare init.Init."""

    def __init__(self, process: Process, stdio: tuple[int, int, int] | None) -> None:
        self.process = process
        self.stdio = stdio

    def __call__(self, channel: Channel) -> None:
        """Become the user's command. Returns only by an exception, which the keeper is told."""
        channel.expect("go")  # the joiner has ended: the death signal will be of our new parent
        os.umask(0o022)
        syscalls.setsid()
        if self.process.terminal:
            take_terminal(channel, *pty.open_pair("/dev/pts/ptmx"))
        elif self.stdio:
            for target, source in enumerate(self.stdio):
                os.dup2(source, target)
        join_keyring()
        words = become_user(self.process)
        channel.send("ready")
        channel.expect("exec")  # the terminal has its size
        command.execute(words, self.process)
