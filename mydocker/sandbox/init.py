"""The first process of a container: from a forked copy of mydocker to the user's command.

What the kernel calls PID 1 begins as a child of mydocker with all of root's power, and ends as the
user's program with what Docker leaves it. The order in between is runc's, and every step has its
reason: the root first, because everything else is looked up in it; capabilities late, because the
steps before need them; execve(2) last (the book's 3.1 and 3.3).

Python has a trap of its own here. An `import` after the root switch would look for the module in
the *container's* file system and run what it finds there, as root of the host (CVE-2019-14271 was
that, in Docker). So all that is needed is imported before, and then importing is made impossible.
"""

from __future__ import annotations

import os
import resource
import stat
import sys

from mydocker.errors import Error, KernelError
from mydocker.linux import capabilities, files, pty, signals, syscalls, trace
from mydocker.sandbox import command, user
from mydocker.sandbox.channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mydocker.spec import Process, Rlimit, Spec


class Init:
    """What PID 1 does, in order. `enter` makes the root and switches to it, `seal` closes it."""

    def __init__(
        self,
        spec: Spec,
        enter: Callable[[], None],
        seal: Callable[[], None],
        stdio: tuple[int, int, int] | None,
        reaper: bool = False,
    ) -> None:
        self.spec = spec
        self.enter = enter
        self.seal = seal
        self.stdio = stdio
        self.reaper = reaper

    def __call__(self, channel: Channel) -> None:
        """Become the user's command. Returns only by an exception, which the parent is told."""
        process = self.spec.process
        channel.expect("go")
        forbid_imports()
        os.umask(0o022)  # not the caller's: it would show in the container's directories
        syscalls.setsid()
        self.enter()
        if process.terminal:
            open_console(channel)
        elif self.stdio:
            for target, source in enumerate(self.stdio):
                os.dup2(source, target)
        if self.spec.hostname:
            syscalls.sethostname(self.spec.hostname)
        join_keyring()
        for name, value in self.spec.linux.sysctl.items():
            set_sysctl(name, value)
        command.make_working_directory(process.cwd)  # before the root may become read-only
        self.seal()
        words = become_user(process)
        channel.send("ready")
        channel.expect("exec")
        if self.reaper:
            command.stay_as_reaper(channel)
        command.execute(words, process)


def forbid_imports() -> None:
    """From here on, an import is an error: the files it would read are somebody else's."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


def open_console(channel: Channel) -> None:
    """Make a pty inside the container, keep the terminal side, send the other side to the parent.

    It comes from the container's own devpts, so that /dev/pts/0 exists in there; the terminal is
    also bound to /dev/console. By descriptor, since a name could be swapped (CVE-2025-52565).
    """
    master, terminal = pty.open_pair("/dev/pts/ptmx")
    console = console_file()
    syscalls.mount(files.by_fd(terminal), files.by_fd(console), "", syscalls.MS_BIND)
    os.close(console)
    take_terminal(channel, master, terminal)


def take_terminal(channel: Channel, master: int, terminal: int) -> None:
    """Make it this session's controlling terminal and the standard streams; send the master."""
    pty.make_controlling(terminal)
    for target in (0, 1, 2):
        os.dup2(terminal, target)
    os.close(terminal)
    channel.send("console", fd=master)
    os.close(master)


def console_file() -> int:
    """/dev/console to mount on: a new file, or what the user's own /dev has there, unopened."""
    try:
        new = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open("/dev/console", new, 0o620))
    except FileExistsError:
        pass
    except OSError as error:
        raise KernelError.of(error, "console", "/dev/console") from None
    fd = os.open("/dev/console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        raise Error("console", "/dev/console", "is a symbolic link")
    return fd


def set_sysctl(name: str, value: str) -> None:
    """Write a setting of the container's own namespaces (sysctl(8), proc_sys(5))."""
    try:
        files.write(f"/proc/sys/{name.replace('.', '/')}", value)
    except KernelError as error:
        raise KernelError("--sysctl", f"{name}={value}", error.errno) from None


def join_keyring() -> None:
    """Leave the session keyring of the host's login: no namespace covers it (keyrings(7))."""
    try:
        syscalls.keyctl_join_session_keyring("mydocker")
    except KernelError as error:
        if error.errno not in (1, 38):  # EPERM, ENOSYS: a kernel or a policy without keyrings
            raise


def become_user(process: Process) -> list[str]:
    """Take the identity, the limits and the capabilities of the process; return what to execute.

    Changing the uid would drop all capabilities, so they are kept across it (PR_SET_KEEPCAPS) and
    cut down to the wanted ones afterwards: a user other than root keeps none of them, as execve
    would have it (capabilities(7)).
    """
    identity = user.resolve(process.user.username)
    environment = {name: value for name, _, value in (item.partition("=") for item in process.env)}
    if "HOME" not in environment:
        process.env.append(f"HOME={identity.home}")
    for limit in process.rlimits:
        set_rlimit(limit)
    if process.oom_score_adj is not None:
        files.write("/proc/self/oom_score_adj", str(process.oom_score_adj))
    program = command.find(process.args[0], environment.get("PATH", ""))
    kept = capabilities.limit_bounding(process.capabilities.bounding)
    if process.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    take_identity(identity)
    capabilities.drop_to(kept if identity.uid == 0 else 0)
    # The system-call filter (seccomp(2)) belongs here: after the last call that it would forbid.
    # A change of uid clears the death signal (prctl(2)), so it is asked for only now.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signals.SIGKILL)
    command.change_directory(process.cwd)
    return [program, *process.args[1:]]


def take_identity(identity: user.Identity) -> None:
    """Become that user, in the order that keeps the right to each next step: groups first."""
    uid, gid = identity.uid, identity.gid
    try:
        own_streams(uid)
        syscalls.setgroups(identity.groups)
        syscalls.setresgid(gid, gid, gid)
        syscalls.setresuid(uid, uid, uid)
    except KernelError as error:
        if error.errno != 22:  # EINVAL: no such id in this user namespace
            raise
        raise Error("user", f"{uid}:{gid}", "is not in the container's id mapping") from None


def own_streams(uid: int) -> None:
    """Give the user the standard streams, or opening them by name (/dev/stdout) would be refused.

    They are the container's own pipes or its pty; only /dev/null belongs to everybody.
    """
    for fd in (0, 1, 2):
        status = os.fstat(fd)
        if status.st_uid != uid and status.st_rdev != os.makedev(1, 3):
            syscalls.fchown(fd, uid, -1)


def set_rlimit(limit: Rlimit) -> None:
    """setrlimit(2); raising a hard limit needs CAP_SYS_RESOURCE on the host."""
    try:
        values = (limit.soft, limit.hard)
        trace.step("setrlimit", (limit.type, values), _setrlimit)
    except (OSError, ValueError) as error:
        name = limit.type.removeprefix("RLIMIT_").lower()
        raise Error("ulimit", f"{name}={limit.soft}:{limit.hard}", str(error)) from None


def _setrlimit(name: str, values: tuple[int, int]) -> None:
    resource.setrlimit(getattr(resource, name), values)
