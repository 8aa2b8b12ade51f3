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
import signal
import sys

from mydocker.errors import CANNOT_EXECUTE, NOT_FOUND, Error, KernelError
from mydocker.linux import capabilities, files, pty, syscalls, trace
from mydocker.linux import process as linux_process
from mydocker.sandbox import user
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
        self.seal()
        command = become_user(process)
        channel.send("ready")
        channel.expect("exec")
        if self.reaper:
            stay_as_reaper(channel)
        execute(command, process)


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
    console = os.open("/dev/console", os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o620)
    syscalls.mount(files.by_fd(terminal), files.by_fd(console), "", syscalls.MS_BIND)
    os.close(console)
    pty.make_controlling(terminal)
    for target in (0, 1, 2):
        os.dup2(terminal, target)
    os.close(terminal)
    channel.send("console", fd=master)
    os.close(master)


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
    make_working_directory(process.cwd)
    command = find(process.args[0], environment.get("PATH", ""))
    kept = capabilities.limit_bounding(process.capabilities.bounding)
    syscalls.setgroups(identity.groups)
    syscalls.setresgid(identity.gid, identity.gid, identity.gid)
    if process.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    syscalls.setresuid(identity.uid, identity.uid, identity.uid)
    capabilities.drop_to(kept if identity.uid == 0 else 0)
    # The system-call filter (seccomp(2)) belongs here: after the last call that it would forbid.
    # A change of uid clears the death signal (prctl(2)), so it is asked for only now.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        syscalls.chdir(process.cwd)  # as the user: root may be able to go where the user may not
    except KernelError as error:
        raise KernelError("working directory", process.cwd, error.errno) from None
    return [command, *process.args[1:]]


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


def make_working_directory(path: str) -> None:
    """Make the working directory if the image lacks it, as Docker does."""
    if not path.startswith("/"):
        raise Error("working directory", path, "not an absolute path")
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except FileExistsError:
        raise Error("working directory", path, "not a directory", code=CANNOT_EXECUTE) from None
    except OSError as error:
        raise KernelError.of(error, "working directory", path) from None


def find(word: str, path: str) -> str:
    """The file to execute: `word` itself if it has a slash, else the first hit along PATH."""
    if "/" in word:
        return word
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{word}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Error("exec", word, "command not found in the container's PATH", code=NOT_FOUND)


def execute(command: list[str], process: Process) -> None:
    """execve(2), with nothing of mydocker left: descriptors closed, signals as a new process has.

    The descriptors are marked close-on-exec rather than closed, so that an error can still be
    reported through the channel (CVE-2024-21626 was a descriptor that stayed open).
    """
    syscalls.close_range(3, 0xFFFFFFFF, syscalls.CLOSE_RANGE_CLOEXEC)
    # What is ignored stays ignored across execve (signal(7)): Python ignores two, and nohup(1) or a
    # shell that puts us in the background others.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    environment = dict(item.partition("=")[::2] for item in process.env)
    program, words = command[0], [process.args[0], *command[1:]]
    try:
        trace.step("execve", (program, words, environment), os.execve)
    except OSError as error:
        why, code = os.strerror(error.errno or 0).lower(), CANNOT_EXECUTE
        if error.errno == 2 and os.path.exists(program):  # ENOENT is said of the file it names
            why = "its interpreter (#!, or the dynamic loader) is missing"
        elif error.errno in (2, 20):
            code = NOT_FOUND
        hint = "a script begins with #!, a binary is for this machine" if error.errno == 8 else ""
        raise Error("exec", program, why, hint=hint, code=code) from None
    except ValueError as error:
        raise Error("exec", program, str(error), code=CANNOT_EXECUTE) from None


def stay_as_reaper(channel: Channel) -> None:
    """`--init`: PID 1 stays small and does its two duties; the command runs as its child.

    The kernel gives PID 1 the orphans of its namespace to reap, and ignores signals that it has
    no handler for. Most programs expect neither. Returns in the child only.
    """
    forwarded = set(signal.Signals) - {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP}
    # What it knows of the host, the container must not read from /proc/1.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    linux_process.rename("mydocker-init")
    child = syscalls.fork()
    if child == 0:
        os.setpgid(0, 0)
        if os.isatty(0):
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        return
    channel.close()
    syscalls.close_range(0, 0xFFFFFFFF)
    for number in forwarded:
        signal.signal(number, lambda received, _frame: _forward(child, received))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(128 - code if code < 0 else code)


def _forward(child: int, number: int) -> None:
    try:
        os.kill(-child, number)
    except ProcessLookupError:
        os.kill(child, number)
