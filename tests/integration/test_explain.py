"""`--explain` tells what happens: compared with what strace(1) sees of the same run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.cli import COMMANDS
from mydocker.linux.decode import shorten
from tests.conftest import CHECKOUT, IMAGE, Mydocker

if TYPE_CHECKING:
    pass

NAMES = {"fork": "clone"}
"""The calls of the C library that have another name in the kernel."""

CALLS = (
    "mount umount2 pivot_root unshare setns sethostname mount_setattr open_tree move_mount fsopen "
    "fsconfig fsmount capset execve execveat clone clone3 prctl keyctl setsid setgroups setresgid "
    "setresuid fchown chdir fchdir close_range mknodat symlink symlinkat mkdir mkdirat "
    "pidfd_send_signal"
).split()
"""The calls to compare. What one action of ours does with several calls (a file that is written
whole, a tree that is removed) is not among them."""


FLAG = r"\b(?:MS|MNT|UMOUNT|CLONE|PR|CAP|MOUNT_ATTR|KEYCTL)_\w+"


class Call:
    """One system call, from a line of either: its name, its words, and how it ended.

    Flags are a set; NULL and the empty string are the same; of an answer only an error counts, and
    the pid of a fork.
    """

    def __init__(self, line: str) -> None:
        name, _, rest = line.partition("(")
        self.name = NAMES.get(name, name)
        self.args, returned, self.result = rest.rpartition(") = ")
        if not returned:  # execve, which is told before
            self.args, self.result = rest, ""
        self.error = self.result.split()[1] if self.result.startswith("-1") else ""

    def words(self) -> object:
        """What is compared of its arguments: all of a mount, the names of the others."""
        text = re.sub(r"<[^<>]*>|/\*.*?\*/", "", shorten(self.args))
        strings = [word for word in re.findall(r'"((?:[^"\\]|\\.)*)"', text) if word]
        flags = set(
            re.findall(r"\b(?:MS|MNT|UMOUNT|CLONE_NEW|PR|CAP|MOUNT_ATTR|KEYCTL)_?\w+", text)
        )
        if self.name in ("clone", "clone3", "prctl", "execveat"):
            strings, flags = [], {word for word in flags if word.startswith(("PR_", "CAP_"))}
        elif self.name == "execve":
            strings = strings[:1]
        elif self.name == "capset":  # strace names what is there, we what is missing
            flags = set()
        return [string[:100] for string in strings], sorted(flags)

    def __repr__(self) -> str:
        return f"{self.name} {self.words()} {self.error}"


def told(stderr: str) -> dict[str, list[Call]]:
    """The calls in the words of `--explain`, by who made them."""
    found: dict[str, list[Call]] = {}
    for line in stderr.splitlines():
        role = line[:8].strip()
        found.setdefault(role if role != "start" else "mydocker", []).append(Call(line[44:]))
    return {role: [call for call in calls if call.name in CALLS] for role, calls in found.items()}


def seen(directory: Path, pid: int) -> list[list[Call]]:
    """The calls that strace saw, by process: the one of that pid, then those that it forked."""
    calls = []
    children = []
    for line in (directory / f"trace.{pid}").read_text().splitlines():
        if not re.match(r"\w+\(", line):  # a signal, or the end
            continue
        call = Call(re.sub(r"\) += ", ") = ", line))
        if call.name == "prctl" and "PR_CAPBSET_READ" in call.args:  # what only reads is not told
            continue
        calls.append(call)
        if call.name in ("clone", "clone3"):
            inside = re.fullmatch(r"\d+ /\* (\d+) in strace's PID NS \*/", call.result)
            children.append(int(inside[1] if inside else call.result))
        if call.name == "execve" and len(calls) > 1:  # what follows is the user's program
            break
    return [calls, *(process for child in children for process in seen(directory, child))]


RUNS: dict[tuple[str, ...], list[str]] = {
    (): ["mydocker", "helper", "init"],
    ("-t",): ["mydocker", "helper", "init"],
    ("--init",): ["mydocker", "helper", "init", "command"],
    ("--userns", "auto"): ["mydocker", "helper", "userns", "init"],
    ("-d",): ["mydocker", "between", "monitor", "helper", "init"],
    (
        *("-v", "VOLUME:/a/b:ro", "--tmpfs", "/t:mode=700", "--read-only", "-u", "daemon"),
        *("-w", "/made", "--cap-drop", "ALL", "--network", "host", "-h", "bird"),
        *(
            "--security-opt",
            "no-new-privileges",
            "--ulimit",
            "core=0",
            "--sysctl",
            "kernel.sem=1 2 3 4",
        ),
    ): ["mydocker", "helper", "init"],
}
"""Ways to run, and who acts in them, in the order in which the processes are made."""


@pytest.mark.parametrize("flags", RUNS, ids=" ".join)
def test_what_is_told_is_what_strace_sees_in_each_process(
    mydocker: Mydocker, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    words = [word.replace("VOLUME", f"{tmp_path}/volume") for word in flags]
    by_role = compare(mydocker, tmp_path, ["run", "--explain", *words, "true"], RUNS[flags])
    assert list(by_role) == RUNS[flags]


EXECS: dict[tuple[str, ...], list[str]] = {
    (): ["mydocker", "keeper", "joiner", "exec"],
    ("-t", "-u", "daemon", "-w", "/tmp"): ["mydocker", "keeper", "joiner", "exec"],
    ("-d",): ["mydocker", "between", "monitor", "joiner", "exec"],
}


@pytest.mark.parametrize("userns", ["host", "auto"])
@pytest.mark.parametrize("flags", EXECS, ids=" ".join)
def test_what_exec_tells_is_what_strace_sees(
    mydocker: Mydocker, tmp_path: Path, flags: tuple[str, ...], userns: str
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--userns", userns, "top")
    compare(mydocker, tmp_path, ["exec", "--explain", *flags, "bird", "true"], EXECS[flags])


def compare(
    mydocker: Mydocker, directory: Path, words: list[str], roles: list[str]
) -> dict[str, list[Call]]:
    """Run a command that explains itself under strace: both must tell the same of each process.

    What was told, in the order in which the processes had something to tell.
    """
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    python = [f"{CHECKOUT}/.venv/bin/python3", "-I", "-S", f"{CHECKOUT}/mydocker/__main__.py"]
    strace = ["strace", "-ff", "--decode-pids=pidns", "-s", "8192", "-o", f"{directory}/trace"]
    strace += ["-e", f"trace={','.join(CALLS)}"]
    process = subprocess.Popen(
        [*strace, *python, *words],
        env=mydocker.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    (first,) = (
        int(path.suffix[1:])
        for path in directory.glob("trace.*")
        if path.read_text().startswith(f'execve("{python[0]}"')
    )
    by_process, by_role = seen(directory, first), told(stderr)
    del by_process[0][0]  # strace's own execve of Python
    assert sorted(by_role) == sorted(roles)
    for role, calls in zip(roles, by_process, strict=True):
        assert [repr(call) for call in by_role[role]] == [repr(call) for call in calls], role
    return by_role


# What it looks like


def test_each_line_says_who_where_how_long_and_what(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "--explain", "true")
    line = re.compile(
        r"[a-z]{4,8} +(\d\.\d [a-z0-9_' ]+?)? +(\d+\.\d\d ms)?  [a-z0-9_]+\(.*\)( = .+)?"
    )
    assert [text for text in done.stderr.splitlines() if not line.fullmatch(text)] == []
    assert all(text[44:].partition("(")[0].isidentifier() for text in done.stderr.splitlines())


def test_the_story_is_in_order(mydocker: Mydocker) -> None:
    told = mydocker.run("run", "--rm", "--explain", "-h", "bird", "true").stderr
    calls = [
        "unshare(CLONE_NEWNS|",
        'mount("", "/", "", MS_REC|MS_PRIVATE)',
        '"overlay", 0, "lowerdir=',
        '"/proc/self/fd/12"<…/rootfs/proc>, "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC)',
        'mknodat(12<…/rootfs/dev>, "null", S_IFCHR|0666, 1:3)',
        'pivot_root(".", ".")',
        'umount2(".", MNT_DETACH)',
        'sethostname("bird")',
        "</proc/sys>",
        "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)",
        "setresuid(0, 0, 0)",
        "capset(effective CHOWN|",
        "prctl(PR_SET_PDEATHSIG, SIGKILL)",
        "close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)",
        'execve("/bin/true", ["true"], 3 variables)',
        "remove_tree(",
    ]
    told = re.sub(r"\b\d\d<…", "12<…", re.sub(r"/fd/\d+", "/fd/12", told))
    places = [told.find(call) for call in calls]
    assert -1 not in places, calls[places.index(-1)]
    assert places == sorted(places)


def test_a_refusal_is_told_with_its_errno(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "--explain", "busybox", "/etc/passwd")
    told = [line[44:] for line in done.stderr.splitlines() if "execve(" in line]
    call = 'execve("/etc/passwd", ["/etc/passwd"], 3 variables)'
    assert told == [call, f"{call} = -1 EACCES (permission denied)"]
    assert done.stderr.splitlines()[-1] == "mydocker: exec: /etc/passwd: permission denied"


def test_no_control_character_of_a_word_reaches_the_terminal(mydocker: Mydocker) -> None:
    done = mydocker.run(
        "run", "--rm", "--explain", "-h", "é", "echo", "\x1b[31m\n\x07", '"q"', "\udcff"
    )
    assert r'["echo", "\x1b[31m\n\x07", "\"q\"", "\xdcff"]' in done.stderr
    assert "\x1b" not in done.stderr


def test_the_container_gets_no_descriptor_of_it(mydocker: Mydocker) -> None:
    done = mydocker.run("run", "--rm", "--explain", "--init", "sh", "-c", "ls /proc/$$/fd; true")
    assert done.stdout.split() == ["0", "1", "2"]


def test_at_a_terminal_lines_begin_at_the_left(mydocker: Mydocker) -> None:
    child = mydocker.terminal("run", "--rm", "--explain", "-ti", "true")
    text = child.read()
    child.wait()
    assert text.count("\n") == text.count("\r\n") > 50


# Every command


EACH: dict[str, tuple[str, ...]] = {
    "import": (str(IMAGE), "small"),
    "tag": ("small", "other"),
    "run": ("--name", "bird", "busybox", "echo", "out"),
    "logs": ("bird",),
    "inspect": ("bird",),
    "commit": ("bird", "changed"),
    "exec": ("fish", "true"),
    "top": ("fish",),
    "ps": ("-a",),
    "images": (),
    "rmi": ("small", "other"),
    "rm": ("bird",),
    "system": ("check",),
    "version": (),
}
SILENT = {"images", "inspect", "logs", "ps", "system", "top", "version"}
"""Those that only look."""


def test_every_command_can_be_explained_and_says_nothing_unasked(mydocker: Mydocker) -> None:
    assert EACH.keys() <= COMMANDS.keys()
    mydocker.ok("run", "-d", "--name", "fish", "top")
    for name, words in EACH.items():
        done = mydocker.run(name, "--explain", *words)
        assert done.returncode == 0, (name, done.stderr)
        assert bool(done.stderr) != (name in SILENT), (name, done.stderr)
        assert "mydocker: " not in done.stderr
    assert mydocker.ok("system", "check")
    assert "--explain" in mydocker.ok("run", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_option(shared: Mydocker, name: str) -> None:
    assert "--explain" in shared.ok(name, "--help")


def test_before_the_command_it_means_the_same(mydocker: Mydocker) -> None:
    assert "unshare(" in mydocker.run("--explain", "run", "--rm", "true").stderr
    assert mydocker.ok("run", "--rm", "echo", "--explain") == "--explain\n"
