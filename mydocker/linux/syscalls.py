"""System calls, each under its own name, for those that Python's `os` does not have everywhere.

A wrapper adds three things to the call and nothing else: Python types, the trace (trace.py), and
an error that names the call, the object and the reason. Constants have their names from the
kernel's headers. `os.unshare` and `os.setns` came with Python 3.12 only, hence ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import os

from mydocker.errors import KernelError
from mydocker.linux.trace import act, step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AT_FDCWD = -100  # <linux/fcntl.h>

# <linux/mount.h>
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
OPEN_TREE_CLONE = 1
AT_RECURSIVE = 0x8000
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_IDMAP = 0x00100000
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

# <linux/sched.h>
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

# <linux/fcntl.h>, <linux/openat2.h>
AT_EMPTY_PATH = 0x1000
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

RENAME_NOREPLACE = 1  # <linux/fs.h>

CLOSE_RANGE_CLOEXEC = 4

KEYCTL_JOIN_SESSION_KEYRING = 1

# Numbers of calls that glibc may have no wrapper for. Those from 424 on are the same everywhere;
# the older ones are looked up by architecture (<asm/unistd.h>).
_X86_64 = {
    "rt_sigaction": 13,
    "capget": 125,
    "capset": 126,
    "pivot_root": 155,
    "keyctl": 250,
    "renameat2": 316,
}
_GENERIC = {
    "pivot_root": 41,
    "capget": 90,
    "capset": 91,
    "rt_sigaction": 134,
    "keyctl": 219,
    "renameat2": 276,
}
_NEW = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_NUMBERS = (_X86_64 if os.uname().machine == "x86_64" else _GENERIC) | _NEW

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(name: str, obj: str, result: int) -> int:
    if result < 0:
        raise KernelError(name, obj, ctypes.get_errno())
    return result


def _syscall(name: str, obj: str, *args: Any) -> int:
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return _checked(name, obj, _libc.syscall(ctypes.c_long(_NUMBERS[name]), *words))


def _words(*values: int) -> Any:
    """A struct of 64-bit words. (Not a ctypes.Structure: Python 3.14 imports much for one.)"""
    return (ctypes.c_uint64 * len(values))(*values)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


# Mounts


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2): attach a filesystem, bind a tree, or change a mount, as `flags` say."""
    step("mount", (source, target, fstype, flags, data), _mount)


def _mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(fstype) or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    _checked("mount", target, result)


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2): detach the mount at `target`; MNT_DETACH lets go of a busy one lazily."""
    step("umount2", (target, flags), _umount2)


def _umount2(target: str, flags: int) -> None:
    _checked("umount2", target, _libc.umount2(os.fsencode(target), flags))


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2): `new_root` becomes `/`; the old root is then mounted at `put_old`."""
    step("pivot_root", (new_root, put_old), _pivot_root)


def _pivot_root(new_root: str, put_old: str) -> None:
    _syscall("pivot_root", new_root, _bytes(new_root), _bytes(put_old))


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2): a descriptor of a mount; with OPEN_TREE_CLONE, of a new detached copy of it."""
    return step("open_tree", (dirfd, path, flags), _open_tree)


def _open_tree(dirfd: int, path: str, flags: int) -> int:
    return _syscall("open_tree", path, dirfd, _bytes(path), flags | os.O_CLOEXEC)


def move_mount(from_fd: int, to_fd: int = AT_FDCWD, to_path: str = "") -> None:
    """move_mount(2): attach the detached mount `from_fd` at `to_path` below `to_fd`."""
    step("move_mount", (from_fd, to_fd, to_path), _move_mount)


def _move_mount(from_fd: int, to_fd: int, to_path: str) -> None:
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    _syscall("move_mount", to_path, from_fd, b"", to_fd, _bytes(to_path), flags)


def fsopen(fstype: str) -> int:
    """fsopen(2): a descriptor of a filesystem that is being configured."""
    return step("fsopen", (fstype,), lambda name: _syscall("fsopen", name, _bytes(name), 1))


def fsconfig(fd: int, command: int, key: str | None = None, value: str | None = None) -> None:
    """fsconfig(2): set one option of the filesystem `fd`, or create it (FSCONFIG_CMD_CREATE)."""
    step("fsconfig", (fd, command, key, value), _fsconfig)


def _fsconfig(fd: int, command: int, key: str | None, value: str | None) -> None:
    _syscall("fsconfig", f"{key}={value}", fd, command, _bytes(key), _bytes(value), 0)


def fsmount(fd: int) -> int:
    """fsmount(2): a detached mount of the filesystem that `fd` configured."""
    return step("fsmount", (fd,), lambda number: _syscall("fsmount", "", number, 1, 0))


def mount_setattr(fd: int, attr_set: int, userns_fd: int = 0, flags: int = 0) -> None:
    """mount_setattr(2): set MOUNT_ATTR_ flags of the mount `fd`; flags may be AT_RECURSIVE."""
    step("mount_setattr", (fd, attr_set, userns_fd, flags), _mount_setattr)


def _mount_setattr(fd: int, attr_set: int, userns_fd: int, flags: int) -> None:
    attr = _words(attr_set, 0, 0, userns_fd)  # struct mount_attr: set, clear, propagation, userns
    size = ctypes.sizeof(attr)
    _syscall("mount_setattr", "", fd, b"", flags | AT_EMPTY_PATH, ctypes.byref(attr), size)


# Namespaces and names


def unshare(flags: int) -> None:
    """unshare(2): leave the namespaces named by CLONE_NEW* flags for new ones.

    A new pid namespace holds only the children made afterwards (pid_namespaces(7)): fork next.
    """
    step("unshare", (flags,), lambda bits: _checked("unshare", "", _libc.unshare(bits)))


def setns(fd: int, nstype: int = 0) -> None:
    """setns(2): join the namespace (or, by a pidfd, the namespaces) that `fd` refers to."""
    step("setns", (fd, nstype), lambda ns, kind: _checked("setns", "", _libc.setns(ns, kind)))


def rejoin(fd: int) -> None:
    """setns(2) past the funnel, for a way back that must not fail because somebody watches."""
    _checked("setns", "", _libc.setns(fd, 0))


def sethostname(name: str) -> None:
    """sethostname(2): the name of this machine, in this uts namespace."""
    step("sethostname", (name,), _sethostname)


def _sethostname(name: str) -> None:
    data = os.fsencode(name)
    _checked("sethostname", name, _libc.sethostname(data, ctypes.c_size_t(len(data))))


# Processes, and who they are. Python has these calls; here they pass the funnel like the others.


def fork() -> int:
    """fork(2): a second process that goes on from here; 0 in it, its pid in the first."""
    return int(act("fork", os.fork))


def setsid() -> None:
    """setsid(2): lead a new session, which has no controlling terminal yet."""
    act("setsid", os.setsid)


def setgroups(groups: list[int]) -> None:
    """setgroups(2): exactly these supplementary groups."""
    act("setgroups", os.setgroups, groups)


def setresgid(rgid: int, egid: int, sgid: int) -> None:
    """setresgid(2): the real, effective and saved group."""
    act("setresgid", os.setresgid, rgid, egid, sgid)


def setresuid(ruid: int, euid: int, suid: int) -> None:
    """setresuid(2): the real, effective and saved user."""
    act("setresuid", os.setresuid, ruid, euid, suid)


def fchown(fd: int, uid: int, gid: int) -> None:
    """fchown(2): another owner and group of an open file; -1 leaves what is there."""
    act("fchown", os.fchown, fd, uid, gid)


def chdir(path: str) -> None:
    """chdir(2): the directory that relative paths begin at."""
    act("chdir", os.chdir, path)


def fchdir(fd: int) -> None:
    """fchdir(2): the same, by a descriptor of it."""
    act("fchdir", os.fchdir, fd)


CLONE_INTO_CGROUP = 0x200000000


def fork_into(directory: str) -> int:
    """clone3(2) as fork(2), with the child born in the cgroup (v2) of that directory.

    Moving a process later makes the whole machine hold its forks and exits, and wait for that; a
    birth does not. Where clone3 or the flag is missing (before Linux 5.7, or by seccomp) this is a
    plain fork, and the child is where its parent is.
    """
    return step("clone3", (CLONE_INTO_CGROUP, directory), _fork_into)


def _fork_into(flags: int, directory: str) -> int:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error, "clone3", directory) from None
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    args = _words(flags, 0, 0, 0, 17, 0, 0, 0, 0, 0, fd)
    python = ctypes.PyDLL(None, use_errno=True)  # unlike CDLL, it keeps the interpreter's lock
    python.syscall.restype = ctypes.c_long
    words = (ctypes.c_long(435), ctypes.byref(args), ctypes.c_size_t(ctypes.sizeof(args)))
    ctypes.pythonapi.PyOS_BeforeFork()  # what os.fork() does around the call
    pid: int = python.syscall(*words)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    os.close(fd)
    if pid >= 0:
        return pid
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG):
        return os.fork()
    raise KernelError("clone3", directory, number)


# The process itself


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """prctl(2): one of many small settings of this process; what only reads is not traced."""
    if option == PR_CAPBSET_READ:
        return _prctl(option, arg2, arg3)
    return step("prctl", (option, arg2, arg3), _prctl)


def _prctl(option: int, arg2: int, arg3: int) -> int:
    words = [ctypes.c_ulong(arg) for arg in (arg2, arg3, 0, 0)]
    return _checked("prctl", str(option), _libc.prctl(option, *words))


def set_name(name: str) -> None:
    """Set the name that ps(1) shows for this process (PR_SET_NAME, 15 bytes)."""
    step("prctl", (PR_SET_NAME, name), lambda option, text: _libc.prctl(option, os.fsencode(text)))


_CAPABILITY_VERSION_3 = 0x20080522


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2): this process's capability sets, each a mask with bit n for capability n."""
    step("capset", (effective, permitted, inheritable), _capset)


def _capset(*masks: int) -> None:
    low = [mask & 0xFFFFFFFF for mask in masks]
    high = [mask >> 32 for mask in masks]
    data = (ctypes.c_uint32 * 6)(*low, *high)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)  # 0: this process
    _syscall("capset", "", ctypes.byref(header), data)


def capget() -> tuple[int, int, int]:
    """capget(2): (effective, permitted, inheritable) of this process, as masks."""
    data = (ctypes.c_uint32 * 6)()
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)  # 0: this process
    _syscall("capget", "", ctypes.byref(header), data)
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def keyctl_join_session_keyring(name: str) -> None:
    """keyctl(2): leave the host's session keyring for a new one of that name."""
    step("keyctl", (KEYCTL_JOIN_SESSION_KEYRING, name), _keyctl)


def _keyctl(command: int, name: str) -> None:
    _syscall("keyctl", name, command, _bytes(name))


def reset_signals() -> None:
    """rt_sigaction(2): every signal does again what it does in a new process.

    Also 32 and 33, which glibc keeps for itself and its sigaction(3) refuses: make(1) hands them on
    to its children ignored.
    """
    default = _words(0, 0, 0, 0)  # struct sigaction, the kernel's: SIG_DFL, flags, restorer, mask
    for number in range(1, 65):
        if number not in (9, 19):  # SIGKILL and SIGSTOP are never anything else
            _syscall("rt_sigaction", str(number), number, default, None, 8)


# Descriptors


def close_range(first: int, last: int, flags: int = 0) -> None:
    """close_range(2): close descriptors first to last, or mark them close-on-exec."""
    step("close_range", (first, last, flags), _close_range)


def _close_range(first: int, last: int, flags: int) -> None:
    _syscall("close_range", "", first, last, flags)


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): open with rules on how the path is resolved, such as RESOLVE_IN_ROOT."""
    how = _words(flags | os.O_CLOEXEC, mode, resolve)  # struct open_how
    size = ctypes.sizeof(how)
    return _syscall("openat2", path, dirfd, _bytes(path), ctypes.byref(how), size)


def renameat2(source: str, target: str, flags: int) -> None:
    """renameat2(2): rename(2) with rules, such as RENAME_NOREPLACE."""
    step("renameat2", (source, target, flags), _renameat2)


def _renameat2(source: str, target: str, flags: int) -> None:
    paths = (AT_FDCWD, _bytes(source), AT_FDCWD, _bytes(target))
    _syscall("renameat2", target, *paths, flags)


def syncfs(fd: int, path: str) -> None:
    """syncfs(2): wait until all that was written to the filesystem of `fd` (`path`) is on disk."""
    step("syncfs", (path,), lambda _: _checked("syncfs", path, _libc.syncfs(fd)))
