"""The funnel, and the words that --explain has for what passes it."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import pytest

from mydocker.errors import Error, KernelError
from mydocker.linux import decode, explain, syscalls, trace


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        self.told.append(("before", name, args))

    def after(self, name: str, args: tuple[Any, ...], result: Any, seconds: float) -> None:
        self.told.append(("after", name, repr(result)))


@pytest.fixture(autouse=True)
def _nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_watchers", [])
    monkeypatch.setattr(trace, "role", "mydocker")


def test_a_step_is_done_and_its_result_returned() -> None:
    assert trace.step("add", (1, 2), lambda a, b: a + b) == 3


def test_a_watcher_is_told_before_and_after_and_of_errors() -> None:
    recorder = Recorder()
    trace.watch(recorder)
    assert trace.step("add", (1, 2), lambda a, b: a + b) == 3
    with pytest.raises(OSError, match="no"):
        trace.step("fail", (), lambda: (_ for _ in ()).throw(OSError("no")))
    assert recorder.told == [
        ("before", "add", (1, 2)),
        ("after", "add", "3"),
        ("before", "fail", ()),
        ("after", "fail", "OSError('no')"),
    ]


def test_a_fault_stops_the_nth_action_of_its_role_before_it_is_done() -> None:
    trace.watch(trace.Fault("init:2:EIO"))
    done: list[int] = []
    trace.step("one", (0,), done.append)
    trace.act_as("init")
    trace.step("two", (1,), done.append)
    with pytest.raises(KernelError) as caught:
        trace.step("three", (2,), done.append)
    trace.step("four", (3,), done.append)
    assert done == [0, 1, 3]
    assert (caught.value.what, caught.value.obj, caught.value.errno) == ("three", "2", errno.EIO)


@pytest.mark.parametrize("text", ["", "init", "init:x:EIO", "init:1:ENOTHING", "a:b:c:d"])
def test_a_fault_that_is_none_is_named(text: str) -> None:
    with pytest.raises(Error, match="fault injection"):
        trace.Fault(text)


IDENTITY = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        (
            "mount",
            ("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, ""),
            'mount("", "/", "", MS_REC|MS_PRIVATE)',
        ),
        (
            "mount",
            ("overlay", f"/c/{IDENTITY}/rootfs", "overlay", 1 << 40, "lowerdir=/a"),
            'mount("overlay", "/c/0123456789ab…/rootfs", "overlay", 0x10000000000, "lowerdir=/a")',
        ),
        ("umount2", (".", 2 | 8), 'umount2(".", MNT_DETACH|UMOUNT_NOFOLLOW)'),
        (
            "unshare",
            (0x6C020080,),
            "unshare(CLONE_NEWTIME|CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWIPC"
            "|CLONE_NEWPID|CLONE_NEWNET)",
        ),
        ("setns", (99, 0x40000000), "setns(99, CLONE_NEWNET)"),
        ("mkdir", ("/x", 0o755), 'mkdir("/x", 0755)'),
        ("mkdir", ("/x", 0o700, "trusted.mydocker"), 'mkdir("/x", 0700, marked trusted.mydocker)'),
        ("mkdir", ("x", 0o755, 99), 'mkdirat(99, "x", 0755)'),
        (
            "mknodat",
            ("null", stat.S_IFCHR | 0o666, os.makedev(1, 3), 99),
            'mknodat(99, "null", S_IFCHR|0666, 1:3)',
        ),
        ("prctl", (syscalls.PR_SET_DUMPABLE, 1, 0), "prctl(PR_SET_DUMPABLE, 1)"),
        ("prctl", (syscalls.PR_SET_PDEATHSIG, 9, 0), "prctl(PR_SET_PDEATHSIG, SIGKILL)"),
        ("prctl", (syscalls.PR_CAPBSET_DROP, 21, 0), "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)"),
        ("prctl", (syscalls.PR_CAPBSET_DROP, 63, 0), "prctl(PR_CAPBSET_DROP, 63)"),
        (
            "prctl",
            (syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL, 0),
            "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)",
        ),
        ("prctl", (syscalls.PR_SET_NAME, "x"), 'prctl(PR_SET_NAME, "x")'),
        ("capset", (0, 0, 0), "capset(effective none, permitted the same, inheritable none)"),
        (
            "capset",
            (1, 3, 0),
            "capset(effective CHOWN, permitted CHOWN|DAC_OVERRIDE, inheritable none)",
        ),
        (
            "capset",
            ((1 << 41) - 1, (1 << 41) - 2, 0),
            "capset(effective all, permitted all but CHOWN, inheritable none)",
        ),
        ("close_range", (3, 2**32 - 1, 4), "close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)"),
        ("setresuid", (7, 7, 7), "setresuid(7, 7, 7)"),
        ("setgroups", ([0, 10],), "setgroups([0, 10])"),
        ("setrlimit", ("RLIMIT_CORE", (0, -1)), "setrlimit(RLIMIT_CORE, 0, RLIM_INFINITY)"),
        ("kill", (7, 15), "kill(7, SIGTERM)"),
        ("pidfd_send_signal", (7, 99), "pidfd_send_signal(7, 99)"),
        (
            "open_tree",
            (syscalls.AT_FDCWD, "/x", 0x8001),
            'open_tree(AT_FDCWD, "/x", OPEN_TREE_CLONE|AT_RECURSIVE)',
        ),
        ("mount_setattr", (99, 1, 0, 0), "mount_setattr(99, MOUNT_ATTR_RDONLY)"),
        ("mount_setattr", (99, 0x100000, 98, 0), "mount_setattr(99, MOUNT_ATTR_IDMAP, 98)"),
        ("move_mount", (99, -100, "/x"), 'move_mount(99, AT_FDCWD, "/x")'),
        ("fsopen", ("overlay",), 'fsopen("overlay")'),
        (
            "fsconfig",
            (99, 1, "lowerdir", "/a"),
            'fsconfig(99, FSCONFIG_SET_STRING, "lowerdir", "/a")',
        ),
        ("fsconfig", (99, 6, None, None), "fsconfig(99, FSCONFIG_CMD_CREATE)"),
        ("fsmount", (99,), "fsmount(99)"),
        ("clone3", (0x200000000, "/g"), 'clone3(CLONE_INTO_CGROUP, "/g")'),
        (
            "execve",
            ("/bin/sh", ["sh", 'a"b'], {"A": "1"}),
            'execve("/bin/sh", ["sh", "a\\"b"], 1 variables)',
        ),
        ("write_whole", ("/x", "abc", 0o600, True), 'write_whole("/x", 3 characters)'),
        ("write", ("/x/cpu.max", "max 100000"), 'write("/x/cpu.max", "max 100000")'),
        ("sethostname", ("a\x1b\n\\é",), 'sethostname("a\\x1b\\n\\\\é")'),
        ("fork", (), "fork()"),
    ],
)
def test_an_action_in_words(name: str, args: tuple[Any, ...], text: str) -> None:
    assert decode.call(name, args) == text


def test_a_descriptor_is_followed_by_what_it_refers_to() -> None:
    fd = os.open("/proc", os.O_PATH)
    try:
        assert decode.descriptor(fd) == f"{fd}</proc>"
        assert decode.path(f"/proc/self/fd/{fd}") == f'"/proc/self/fd/{fd}"</proc>'
        assert decode.call("fchdir", (fd,)) == f"fchdir({fd}</proc>)"
    finally:
        os.close(fd)
    assert decode.descriptor(fd) == str(fd)
    assert decode.path("/proc/self/fd/../x") == '"/proc/self/fd/../x"'


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (IDENTITY, "0123456789ab…"),
        (f"/a/{IDENTITY}.new/b", "/a/0123456789ab….new/b"),
        (f"sha256:{IDENTITY},{IDENTITY}", "sha256:0123456789ab…,0123456789ab…"),
        (IDENTITY[:-1], IDENTITY[:-1]),
        (f"{IDENTITY}0", f"{IDENTITY}0"),
        ("", ""),
    ],
)
def test_an_id_is_cut_where_it_is_one(text: str, short: str) -> None:
    assert decode.shorten(text) == short


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "0"),
        (True, "0"),
        (7, "7"),
        ((8, 9), "8, 9"),
        (OSError(errno.EPERM, "x"), "-1 EPERM (operation not permitted)"),
        (KernelError("mount", "/x", errno.EINVAL), "-1 EINVAL (invalid argument)"),
        (ValueError("odd"), "failed: odd"),
    ],
)
def test_what_came_back_in_words(result: Any, text: str) -> None:
    assert decode.outcome(result) == text


@pytest.mark.parametrize(
    ("name", "args", "section"),
    [
        ("unshare", (0,), "3.1 namespaces"),
        ("mkdir", ("/sys/fs/cgroup/cpu/mydocker/x", 0o755), "3.2 cgroups"),
        ("write", ("/sys/fs/cgroup/x/tasks", "0"), "3.2 cgroups"),
        ("write", ("/proc/7/uid_map", "0 1 2"), "3.1 namespaces"),
        ("write", ("/proc/self/oom_score_adj", "1"), "3.1 the process"),
        ("mount", ("overlay", "/r", "overlay", 0, ""), "4.2 overlay"),
        ("mount", ("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE, ""), "4.1 propagation"),
        ("mount", ("/data", "/proc/self/fd/9", "", syscalls.MS_BIND, ""), "4.3 volumes"),
        ("mount", ("/proc/self/fd/8", "/proc/self/fd/9", "", syscalls.MS_BIND, ""), "4.1 mounts"),
        ("mount", ("proc", "/proc/self/fd/9", "proc", 0, ""), "4.1 mounts"),
        ("open_tree", (-100, "/proc/self/exe", 1), "3.1 the executable"),
        ("open_tree", (-100, "/data", 1), "3.1 id mapping"),
        ("ioctl", ("TIOCSCTTY", 9), "3.1 terminal"),
        ("ioctl", ("SIOCSIFFLAGS", 9, "lo", "IFF_UP"), "3.1 namespaces"),
        ("symlink", (IDENTITY, "/state/names/bird"), "5.2 the record"),
        ("rename", ("/state/images/a.tmp", "/state/images/a"), "4.4 images"),
        ("unknown", (), ""),
    ],
)
def test_an_action_belongs_to_a_section(name: str, args: tuple[Any, ...], section: str) -> None:
    assert explain.section(name, args) == section


def test_the_lines_have_columns_and_a_fork_is_told_once() -> None:
    reading, writing = os.pipe()
    text = explain.Text(writing)
    os.close(writing)
    trace.watch(text)
    trace.step("chdir", ("/",), lambda path: None)
    trace.step("fork", (), lambda: 7)
    trace.step("fork", (), lambda: 0)
    os.close(text._fd)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    assert [line[:8].rstrip() for line in lines] == ["mydocker", "mydocker"]
    assert [line[9:31].rstrip() for line in lines] == ["3.1 the process", "3.1 processes"]
    assert [line[44:] for line in lines] == ['chdir("/") = 0', "fork() = 7"]


def test_every_call_with_a_section_of_its_own_can_be_put_in_words() -> None:
    known = {*decode.DECODERS, *explain.SECTIONS}
    plain = {"chdir", "fork", "pivot_root", "setgroups", "setresgid", "setresuid", "sethostname"}
    plain |= {"setsid", "open_pty", "prctl"}
    spoken = {name for name in explain.SECTIONS if name.startswith("RTM_")}  # in ip(8)'s words
    assert {*explain.SECTIONS} - {*decode.DECODERS} <= plain | spoken
    assert {"mount", "execve", "capset"} <= known
