"""Type the shell blocks of a page at a real terminal, and compare what comes with what is written.

Each page has a small machine of its own, made of namespaces: mounts (shared, as systemd has
them), network, host name, pids. In it /root and /run are empty, and /var/lib/mydocker is a store
that holds the default image and nothing else; so what a page does is what a reader's own machine
does, and all of it is gone with the last process. Only cgroups are the host's: those that a page
makes by hand are called by-hand, mydocker's are below /mydocker, and both get another name while it
runs, put right in what is shown.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

from lab.apps import build
from lab.docs import blocks
from lab.docs.blocks import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "\x1e"  # our host prompt is the exit status between two of these
PROMPT = re.compile(r"(?:^|[\r\n])(?:\x1e(?P<status>\d+)\x1e|(?P<inside>/\S*) # )(?:\x1b\[6n)?$")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE = 30 * (10 if os.path.exists("/proc/exitcode") else 1)  # that file is User-Mode Linux's
GREETING = re.compile(r"BusyBox v\S+ \(|Enter 'help' for a list of built-in commands")
"""What busybox's shell says first: left out of the pages."""

ENTRY = re.compile(r"(?P<prompt>(?:/\S* )?# )(?P<command>.*)|(?P<key>\^[A-Z](?:\^[A-Z])*)")

VOLATILE = (
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[0-9a-f]{64}\b", "<id>"),
    (r"\b(?=[a-f]*\d)[0-9a-f]{12}\b", "<id>"),
    (r"\[40\d{8}\]", "[<namespace>]"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\b[A-Z][a-z]{2} +\d{1,2} +(?:\d\d:\d\d|\d{4})\b", "<date>"),
    (r"(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour)s?)", "<age>"),
    (r"\b\d+(?:\.\d+)? ?(?:ms|µs|us)\b", "<duration>"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (r"@if\d+", "@if<n>"),
    (r"MYDOCKER-[0-9a-f]{6}-[0-9a-f]{6}", "MYDOCKER-<key>"),
    (r"\[\d+\]([+-]?) +\d+$", r"[<job>]\1 <pid>"),
)
"""What differs from run to run, and is compared as its kind only."""

SETUP = """\
mount --make-rshared / &&
mkdir -p /var/lib/mydocker && mount --bind "$DIRECTORY/state" /var/lib/mydocker &&
mount --bind "$DIRECTORY/home" /root && mount -t tmpfs -o mode=755 tmpfs /run &&
hostname lab && ip link set lo up && cd /root &&
exec bash --noprofile --norc --noediting -i
"""


class Mismatch(AssertionError):
    """A block did not do what the page says."""


class Entry:
    """A line that is typed, at which prompt, and the output that the page shows for it."""

    def __init__(self, command: str, inside: bool, key: bool, shown: str) -> None:
        self.command = command
        self.inside = inside
        self.key = key
        self.shown = shown  # as it stands in the page, with its prompts
        self.expected: list[str] = []
        self.actual: list[str] | None = None


def entries(block: blocks.Block) -> list[Entry]:
    """The block as what is typed and what comes."""
    found: list[Entry] = []
    for line in block.lines:
        match = ENTRY.fullmatch(line)
        if match and match["key"]:
            found.append(Entry(match["key"], False, True, line))
        elif match:
            inside = match["prompt"] != "# "
            found.append(Entry(match["command"], inside, False, line))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1].command += f"\n{line[2:]}"
            found[-1].shown += f"\n{line}"
        elif found:
            found[-1].expected.append(line)
        else:
            raise Mismatch(f"{block}: output without a command")
    return found


class Machine:
    """The namespaces that one page runs in, and its terminals."""

    def __init__(self, directory: Path, stocked: Path) -> None:
        self.token = secrets.token_hex(4)
        self.directory = directory
        self.parent = f"mydocker-docs-{self.token}"
        (directory / "home").mkdir(parents=True)
        subprocess.run(["cp", "-al", str(stocked), str(directory / "state")], check=True)
        self.environment = {
            "PATH": f"{CHECKOUT}/build:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "DIRECTORY": str(directory),
            "MYDOCKER_CGROUP_PARENT": f"/{self.parent}",
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "PS1": f"{HOST}$?{HOST}",
            "PS2": "",
        }
        words = "--mount --uts --ipc --net --pid --fork --mount-proc --kill-child".split()
        self.first = self._spawn("unshare", [*words, "sh", "-c", SETUP])
        self.terminals = {"1": self.first}
        self.seen: dict[str, str] = {}  # an id as the page has it -> as it really is
        self.prompt_inside = {"1": False}
        self._settle("1")

    def _spawn(self, program: str, words: list[str]) -> pexpect.spawn[str]:
        return pexpect.spawn(
            program,
            words,
            env=self.environment,
            encoding="utf-8",
            codec_errors="replace",
            timeout=PATIENCE,
            dimensions=(24, 100),
        )

    def _settle(self, name: str) -> None:
        terminal = self.terminals[name]
        terminal.expect(PROMPT)
        terminal.sendline("stty -echo; PS2=")
        terminal.expect(PROMPT)
        terminal.expect(PROMPT) if PROMPT.search(terminal.buffer) else None

    def terminal(self, name: str) -> pexpect.spawn[str]:
        """The terminal of that name; the second is made when it is first typed at."""
        if name not in self.terminals:
            outer = self.first.pid
            inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
            words = ["-t", inner, "-m", "-u", "-i", "-n", "-p", "--wd=/root"]
            shell = ["bash", "--noprofile", "--norc", "--noediting", "-i"]
            self.terminals[name] = self._spawn("nsenter", [*words, *shell])
            self.prompt_inside[name] = False
            self._settle(name)
        return self.terminals[name]

    def real(self, command: str) -> str:
        """A command of the page with the names that the machine really has."""
        command = re.sub(r"(/sys/fs/cgroup(?:/[\w,*]+)?/)mydocker\b", rf"\1{self.parent}", command)
        return re.sub(r"\bby-hand\b", f"by-hand-{self.token}", command)

    def written(self, text: str) -> str:
        """Output as the page has it."""
        text = text.replace(self.parent, "mydocker").replace(f"by-hand-{self.token}", "by-hand")
        return text.replace(str(CHECKOUT), "/mydocker")

    def run(self, block: blocks.Block) -> list[Entry]:
        """Type a block line by line; raises Mismatch for the first that does not do as written."""
        name = block.attrs.get("terminal", "1")
        terminal, loose = self.terminal(name), "loose" in block.attrs
        script = entries(block)
        problems = []
        for number, entry in enumerate(script):
            last = number == len(script) - 1
            following = None if last else script[number + 1]
            if not entry.key and entry.inside != self.prompt_inside[name]:
                raise Mismatch(f"{block}: {entry.command!r} is typed at the wrong prompt")
            if entry.key:
                for key in entry.command.split("^")[1:]:
                    terminal.sendcontrol(key.lower())
            else:
                terminal.sendline(self.real(entry.command))
            status = None
            if (following and following.key) or (last and "stays" in block.attrs):
                self._wait_for(terminal, entry, loose)
            else:
                status = self._to_prompt(terminal, entry, name, block)
            wanted = int(block.attrs.get("status", "0")) if last else 0
            asked = following is not None and "$?" in following.command
            if status is not None and status != wanted and not asked and not entry.key:
                problems.append(f"{block}: {entry.command}: exit status {status}, not {wanted}")
            if not same(entry.expected, entry.actual or [], loose, self.seen):
                problems.append(f"{block}: {entry.command}:\n{difference(entry)}")
        if problems:
            error = Mismatch("\n".join(problems))
            error.entries = script  # type: ignore[attr-defined]  # for `update`
            raise error
        return script

    def _to_prompt(
        self, terminal: pexpect.spawn[str], entry: Entry, name: str, block: blocks.Block
    ) -> int | None:
        try:
            terminal.expect(PROMPT)
        except (pexpect.TIMEOUT, pexpect.EOF):
            raise Mismatch(
                f"{block}: {entry.command}: no prompt after it:\n{terminal.before}"
            ) from None
        assert terminal.match is not None
        match: re.Match[str] = terminal.match  # type: ignore[assignment]  # a regular expression's
        entry.actual = self._clean(str(terminal.before), entry)
        self.prompt_inside[name] = match["status"] is None
        return None if match["status"] is None else int(match["status"])

    def _wait_for(self, terminal: pexpect.spawn[str], entry: Entry, loose: bool) -> None:
        """Until the output is what the page shows, or the time is over: no prompt will come."""
        deadline, text = time.monotonic() + PATIENCE, ""
        while time.monotonic() < deadline:
            try:
                text += terminal.read_nonblocking(65536, timeout=0.2)
            except pexpect.TIMEOUT:
                entry.actual = self._clean(text, entry)
                if same(entry.expected, entry.actual, loose, dict(self.seen)):
                    break
                if "UPDATE" in os.environ and text:
                    break
            except pexpect.EOF:
                break
        entry.actual = self._clean(text, entry)

    def _clean(self, text: str, entry: Entry) -> list[str]:
        text = ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        lines = self.written(text).split("\n")
        while lines and not lines[0].strip():
            lines.pop(0)
        echoed = self.written(self.real(entry.command))
        if lines and (entry.inside or entry.key) and lines[0].strip() == echoed.strip():
            lines.pop(0)
        if lines and entry.key:
            lines[0] = lines[0].removeprefix(entry.command)
        lines = [line.replace("\t", "        ").rstrip() for line in lines]
        lines = [line for line in lines if not GREETING.match(line)]
        while lines and not lines[0]:
            lines.pop(0)
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def close(self) -> list[str]:
        """End everything; returns what was left behind, which should be nothing."""
        done = subprocess.run(
            ["nsenter", "-t", self._inner(), "-m", "-n", "-p", "-u", "-i", "sh", "-c", CLEAN_UP],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        left = [] if done.returncode == 0 else [done.stdout + done.stderr]
        for terminal in self.terminals.values():
            terminal.close(force=True)
        found = [*Path("/sys/fs/cgroup").glob(f"*{self.token}*")]
        found += Path("/sys/fs/cgroup").glob(f"*/*{self.token}*")
        for path in found:
            left.append(f"{path} is left")
            subprocess.run(["rmdir", str(path)], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
        return left

    def _inner(self) -> str:
        outer = self.first.pid
        return Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]


CLEAN_UP = """
ids=$(mydocker ps -aq)
[ -z "$ids" ] || mydocker rm -f $ids >/dev/null
mydocker system check
"""


def same(expected: list[str], actual: list[str], loose: bool, seen: dict[str, str]) -> bool:
    """Whether the output is what the page shows, up to what differs from run to run.

    An id that the page shows twice must be one id both times.
    """
    pattern = ""
    for line in expected:
        if line.strip() in ("…", "..."):
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, plain(line, loose).split("…"))) + "\n"
    text = "".join(f"{plain(line, loose)}\n" for line in actual)
    if not re.fullmatch(pattern, text):
        return False
    if any("…" in line for line in expected):
        return True
    ids = re.compile(r"(?<!-)\b(?:[0-9a-f]{64}|(?=[a-f]*\d)[0-9a-f]{12})\b|\[40\d{8}\]")
    for ours, theirs in zip(expected, actual, strict=True):
        for shown, real in zip(ids.findall(ours), ids.findall(theirs), strict=True):
            key, value = shown[:12], real[:12]
            if seen.setdefault(key, value) != value:
                return False
    return True


def plain(line: str, loose: bool) -> str:
    """A line of output less what differs from run to run, and less the width of its columns."""
    for pattern, word in VOLATILE:
        line = re.sub(pattern, word, line)
    if loose:
        line = re.sub(r"\d+(?:\.\d+)?", "<n>", line)
    return " ".join(line.split())


def difference(entry: Entry) -> str:
    lines = difflib.unified_diff(
        entry.expected, entry.actual or [], "the page", "the machine", lineterm=""
    )
    return "\n".join(lines)


def lane() -> str:
    """Which version of cgroups the machine has: what `on=` is compared with."""
    return "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"


def runs(block: blocks.Block) -> bool:
    """Whether a block is one to run on this machine."""
    shell = block.lang in blocks.SHELLS and "skip" not in block.attrs
    here = "needs" not in block.attrs or all(build.tar(name).exists() for name in build.APPS)
    return shell and here and block.attrs.get("on", lane()) == lane()


def play(
    page: blocks.Page, machine: Machine, done: Callable[[blocks.Block, list[Entry]], None]
) -> list[str]:
    """Run a page's blocks in order; returns the problems, a text each."""
    problems = []
    for block in filter(runs, page.blocks):
        try:
            done(block, machine.run(block))
        except Mismatch as error:
            problems.append(str(error))
            script = getattr(error, "entries", None)
            if script is None:  # nothing after it can be trusted
                break
            done(block, script)
    return problems


def update(page: blocks.Page, machine: Machine) -> str:
    """Run a page; returns its text with what really came, where it differs from what is written."""
    changed: dict[int, tuple[int, list[str]]] = {}

    def done(block: blocks.Block, script: list[Entry]) -> None:
        loose, new = "loose" in block.attrs, []
        for entry in script:
            new += entry.shown.split("\n")
            actual = entry.actual or []
            keep = same(entry.expected, actual, loose, {})
            new += entry.expected if keep else actual
        lines = [f"{block.indent}{line}".rstrip() for line in new]
        changed[block.line] = (block.end, lines)

    for problem in play(page, machine, done):
        print(problem)
    lines = page.lines
    for start in sorted(changed, reverse=True):
        end, new = changed[start]
        lines[start + 1 : end] = new
    return "\n".join(lines) + "\n"
