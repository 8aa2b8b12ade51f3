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

from mydocker.errors import Error, KernelError
from mydocker.linux import files, link, process, syscalls, trace
from mydocker.sandbox.channel import Channel, die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import IdMapping, Linux, Namespace

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
    return adopt(syscalls.fork, lambda end: _helper(linux, end, admit, main, prepare))


def adopt(fork: Callable[[], int], work: Callable[[Channel], None]) -> tuple[int, Channel]:
    """Let a helper, made by `fork`, do `work(channel)`, which ends in `fork_off`; what that forked
    becomes our child. Its pid, and our end of the channel to it.

    When the helper ends, its child would go to the init of the host; as a subreaper we get it. The
    helper's end is waited for first: killed half-way, it has said nothing, and its child holds the
    channel open.
    """
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = Channel.pair()
    helper = fork()
    if helper == 0:
        ours.close()
        try:
            process.close_inherited()
            work(theirs)
        except BaseException as error:
            die(theirs, error)
        os._exit(0)
    theirs.close()
    try:
        _, status = os.waitpid(helper, 0)
        if os.WIFSIGNALED(status):
            raise Error("container", "", f"a process that starts it got signal {status & 0x7F}")
        return int(ours.expect("forked")["pid"]), ours
    except BaseException:
        ours.close()
        raise


def fork_off(role: str, main: Callable[[Channel], None], channel: Channel) -> None:
    """The helper's last act: fork who runs `main(channel)`, and say under which pid."""
    pid = syscalls.fork()
    if pid == 0:
        trace.act_as(role)
        try:
            main(channel)
        except BaseException as error:
            die(channel, error)
        os._exit(0)
    channel.send("forked", pid=pid)


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
        become_mapped(linux, prepare)
    make(linux.namespaces)
    fork_off("init", main, channel)  # the first child after unshare(CLONE_NEWPID): PID 1


def make(namespaces: list[Namespace]) -> None:
    """Leave the host's namespaces for those of the list: one with a path is joined, others are new.

    All new ones in a single unshare(2). The user namespace is not made here: see `become_mapped`.
    """
    flags = 0
    for namespace in namespaces:
        if namespace.path:
            join(namespace.type, namespace.path)
        elif namespace.type != "user":
            flags |= FLAGS[namespace.type]
    syscalls.unshare(flags)
    if flags & syscalls.CLONE_NEWNS:
        make_private()
    if flags & syscalls.CLONE_NEWNET:
        link.set_up("lo")  # a new network namespace has a loopback, and it is down


def make_private() -> None:
    """Cut every mount off from the host's: nothing that we mount may propagate there.

    A new mount namespace is a copy, and its mounts are still peers of the host's where those are
    shared, as systemd has them (mount_namespaces(7), SHARED SUBTREES). Without this call our /proc
    appears on the host, whose own then shows the container's processes, and pivot_root fails with
    EINVAL: the two questions that readers of the book ask most.
    """
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)


def become_mapped(linux: Linux, prepare: Callable[[int], None]) -> None:
    """Enter a new user namespace, after `prepare` has done what needs the host root's power."""
    userns = user_namespace(linux.uid_mappings, linux.gid_mappings)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    make_private()
    prepare(userns)
    syscalls.setns(userns, syscalls.CLONE_NEWUSER)
    os.close(userns)
    become_root()
    # Who changes ids is undumpable, and its files in /proc belong to the host's root, whom we
    # have just ceased to be; ours must be writable to us.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


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
    """Become the root of the new user namespace; until then we are nobody in it."""
    syscalls.setgroups([])
    syscalls.setresgid(0, 0, 0)
    syscalls.setresuid(0, 0, 0)
