"""Namespaces: what a process sees of the system, made its own (namespaces(7); the book's 3.1).

unshare(2) gives the calling process new namespaces, with one exception that everybody meets: a
new pid namespace is not for the caller but for the children it makes from then on, and the first
of them is PID 1 in it. So there are two forks::

    monitor ── fork ─ helper: joins the cgroup, unshare(…) ── fork ─ PID 1 of the container
       └──────────────────────── the helper ends, PID 1 becomes ours (subreaper) ─────┘

Invariant: when `spawn` returns, the new process is in all its namespaces and in its cgroup, waits
for a word from us, and has not run a single instruction of the image.
"""

from __future__ import annotations

import os

from mydocker.errors import KernelError
from mydocker.linux import files, link, syscalls, trace
from mydocker.sandbox.channel import Channel, die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import IdMapping, Linux

FLAGS = {
    "user": syscalls.CLONE_NEWUSER,
    "mount": syscalls.CLONE_NEWNS,
    "uts": syscalls.CLONE_NEWUTS,
    "ipc": syscalls.CLONE_NEWIPC,
    "network": syscalls.CLONE_NEWNET,
    "pid": syscalls.CLONE_NEWPID,
    "cgroup": syscalls.CLONE_NEWCGROUP,
}
"""OCI's word for each namespace, and its flag for unshare(2) and setns(2)."""


def spawn(
    linux: Linux,
    fork: Callable[[], int],
    admit: Callable[[int], None],
    main: Callable[[Channel], None],
    prepare: Callable[[int], None] = lambda userns: None,
) -> tuple[int, Channel]:
    """Start `main(channel)` as the first process in the namespaces that `linux` lists.

    `fork()` makes the new process, and in it `admit(0)` is called before its namespaces are made:
    between them they put it in its cgroup (on v2 clone3(2) can bear it there). Before, because the
    cgroup namespace takes as its root the cgroup that the process is in at that moment
    (cgroup_namespaces(7)). With an id mapping, `prepare(userns)` is called inside, in a mount
    namespace of the new process's own, while it still has the host root's power.
    Returns the pid as this process sees it, and our end of the channel.
    """
    # When the helper ends, its child would go to the init of the host; as a subreaper we get it.
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = Channel.pair()
    helper = fork()
    if helper == 0:
        ours.close()
        try:
            _helper(linux, theirs, admit, main, prepare)
        except BaseException as error:
            die(theirs, error)
        os._exit(0)
    theirs.close()
    try:
        pid = int(ours.expect("forked")["pid"])
    except BaseException:
        ours.close()
        raise
    finally:
        os.waitpid(helper, 0)
    return pid, ours


def _helper(
    linux: Linux,
    channel: Channel,
    admit: Callable[[int], None],
    main: Callable[[Channel], None],
    prepare: Callable[[int], None],
) -> None:
    trace.act_as("helper")
    admit(0)
    if linux.uid_mappings:
        userns = user_namespace(linux.uid_mappings, linux.gid_mappings)
        syscalls.unshare(syscalls.CLONE_NEWNS)
        prepare(userns)
        syscalls.setns(userns, syscalls.CLONE_NEWUSER)
        os.close(userns)
        become_root()
    flags = 0
    for namespace in linux.namespaces:
        if namespace.path:
            join(namespace.type, namespace.path)
        elif namespace.type != "user":
            flags |= FLAGS[namespace.type]
    syscalls.unshare(flags)
    if flags & syscalls.CLONE_NEWNET:
        link.set_up("lo")
    pid = syscalls.fork()  # the first child after unshare(CLONE_NEWPID): PID 1
    if pid == 0:
        trace.act_as("init")
        try:
            main(channel)
        except BaseException as error:
            die(channel, error)
        os._exit(0)
    channel.send("forked", pid=pid)


def join(kind: str, path: str) -> None:
    """setns(2) into the namespace that the file `path` stands for, such as /proc/PID/ns/net."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error, "setns", path) from None
    try:
        syscalls.setns(fd, FLAGS[kind])
    finally:
        os.close(fd)


def user_namespace(uids: list[IdMapping], gids: list[IdMapping]) -> int:
    """A descriptor of a new user namespace with these mappings (user_namespaces(7)).

    The maps are files of a process inside it, written from outside: so a child makes the
    namespace, waits until we have written, and ends. What we hold keeps the namespace alive.
    """
    ours, theirs = Channel.pair()
    child = syscalls.fork()
    if child == 0:
        trace.act_as("userns")
        ours.close()
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            theirs.send("unshared")
            theirs.receive()
        except BaseException as error:
            die(theirs, error)
        os._exit(0)
    theirs.close()
    try:
        ours.expect("unshared")
        for name, mappings in (("uid_map", uids), ("gid_map", gids)):
            lines = [f"{m.container_id} {m.host_id} {m.size}" for m in mappings]
            files.write(f"/proc/{child}/{name}", "\n".join(lines))
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        ours.close()
        os.waitpid(child, 0)


def become_root() -> None:
    """Become the root of the new user namespace; until then we are nobody in it.

    A change of ids makes a process undumpable, and its files in /proc then belong to the host's
    root; ours must be writable to us.
    """
    syscalls.setgroups([])
    syscalls.setresgid(0, 0, 0)
    syscalls.setresuid(0, 0, 0)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
