"""Completion, asked of the shells themselves: bash, zsh and fish."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from mydocker.cli import COMMANDS
from tests.conftest import LAUNCHER, Mydocker, settle, stock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Mydocker]:
    """Containers bird and fish, and `mydocker` on PATH; the tests only look at them."""
    directory = tmp_path_factory.mktemp("zoo")
    instance = Mydocker(directory)
    stock(instance, stocked_root)
    for name in ("bird", "fish"):
        instance.ok("run", "--name", name, "true")
    instance.ok("volume", "create", "nest")
    (directory / "bin").mkdir()
    (directory / "bin/mydocker").symlink_to(LAUNCHER)
    (directory / "files").mkdir()
    for name in ("first.txt", "second.txt"):
        (directory / "files" / name).touch()
    instance.environment["PATH"] = f"{directory}/bin:{instance.environment['PATH']}"
    instance.environment["HOME"] = str(directory)
    for shell in ("bash", "zsh", "fish"):
        (directory / shell).write_text(instance.ok("completion", shell))
    yield instance
    settle(instance)


def said(zoo: Mydocker, *command: str) -> str:
    """What a shell prints, in the directory with the two files."""
    done = subprocess.run(
        command,
        cwd=zoo.root.parent / "files",
        env=zoo.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def bash(zoo: Mydocker) -> Ask:
    """Call the function as bash does it on a tab."""

    def ask(line: str) -> list[str]:
        script = f"""
            compopt() {{ :; }} # only to be had inside a completion
            source {zoo.root.parent}/bash
            COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
            _mydocker
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        return said(zoo, "bash", "-c", script).split()

    return ask


def fish(zoo: Mydocker) -> Ask:
    """fish tells completions by itself; each comes with its description."""

    def ask(line: str) -> list[str]:
        script = f"source {zoo.root.parent}/fish; complete -C {line!r}"
        found = [text.split("\t")[0] for text in said(zoo, "fish", "-N", "-c", script).splitlines()]
        return [text.partition("=")[2] or text for text in found]

    return ask


def zsh(zoo: Mydocker) -> Ask:
    """Press the tab key in a zsh, which lists what there is, or writes it if that is one."""

    def ask(line: str) -> list[str]:
        child = pexpect.spawn(
            "zsh",
            ["-f", "-i"],
            env=zoo.environment | {"TERM": "dumb", "PS1": "", "PROMPT": "> "},
            cwd=str(zoo.root.parent / "files"),
            encoding="utf-8",
            timeout=30,
            dimensions=(400, 200),
        )
        child.sendline(
            f"PROMPT='> '; unsetopt zle_bracketed_paste prompt_sp; autoload -U compinit; "
            f"compinit -u -D; source {zoo.root.parent}/zsh; LISTMAX=9999; "
            "zstyle ':completion:*' list-separator '--'; echo rea''dy"
        )
        child.expect_exact("ready")
        child.expect_exact("> ")
        child.send(f"{line}\t")
        child.send("\x18=")  # what the cursor is at: comes after the completion is done
        child.expect(r"point \d+ of \d+")
        found = child.before or ""
        child.close(force=True)
        return found.replace("\x07", "").replace("\r", "\n").split()

    return ask


SHELLS = [
    pytest.param(make, id=make.__name__, marks=pytest.mark.skipif(
        shutil.which(make.__name__) is None, reason=f"{make.__name__} is not installed"))
    for make in (bash, fish)
]  # fmt: skip

LINES = [
    ("mydocker ", {"run", "ps", "logs", "completion"}, {"bird", "first.txt"}),
    ("mydocker in", {"inspect"}, {"run"}),
    ("mydocker rm ", {"bird", "fish"}, {"busybox:latest", "first.txt"}),
    ("mydocker rm bird f", {"fish"}, {"bird"}),
    ("mydocker rm -f b", {"bird"}, {"fish"}),
    ("mydocker logs --ta", {"--tail"}, {"--since"}),
    ("mydocker logs --tail 3 fi", {"fish"}, {"bird"}),
    ("mydocker logs bird ", set(), {"bird", "fish", "first.txt"}),
    ("mydocker rmi ", {"busybox:latest"}, {"bird"}),
    ("mydocker run -ti bus", {"busybox:latest"}, set()),
    ("mydocker run --name x -m 1g bus", {"busybox:latest"}, set()),
    ("mydocker run --env-file fi", {"first.txt"}, {"second.txt"}),
    ("mydocker inspect ", {"bird", "busybox:latest"}, {"first.txt"}),
    ("mydocker inspect --type ", {"container", "image"}, {"bird"}),
    ("mydocker completion ", {"bash", "zsh", "fish"}, {"bird"}),
    ("mydocker container l", {"ls", "logs"}, {"rm"}),
    ("mydocker container rm b", {"bird"}, {"fish"}),
    ("mydocker system ", {"df", "info", "check", "prune"}, {"bird"}),
    ("mydocker system prune --fo", {"--force"}, {"--filter"}),
    ("mydocker volume rm ", {"nest"}, {"bird", "create"}),
    ("mydocker network ", {"create", "connect", "ls"}, {"bird"}),
    ("mydocker run --net ho", {"host"}, {"none"}),
    ("mydocker network connect none bi", {"bird"}, {"fish", "none"}),
    ("mydocker cp fi", {"fish"}, {"bird"}),
    ("mydocker cp fish:/x sec", {"second.txt"}, {"first.txt"}),
    ("mydocker --root /nope rm ", set(), {"bird", "fish"}),
    ("mydocker --debug rm b", {"bird"}, set()),
]


@pytest.mark.parametrize("make", SHELLS)
@pytest.mark.parametrize(("line", "offered", "not_offered"), LINES)
def test_a_shell_offers_what_fits(
    make: Callable[[Mydocker], Ask],
    line: str,
    offered: set[str],
    not_offered: set[str],
    zoo: Mydocker,
) -> None:
    found = set(make(zoo)(line))
    assert offered <= found
    assert not found & not_offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("mydocker ", {"run", "ps", "logs"}, {"bird"}),
        ("mydocker rm ", {"bird", "fish"}, {"busybox:latest"}),
        ("mydocker logs --t", {"--tail", "--timestamps"}, {"--since"}),
        ("mydocker system ", {"df", "prune"}, {"bird"}),
        ("mydocker container rm -f ", {"bird", "fish"}, set()),
        ("mydocker run --env-file ", {"first.txt", "second.txt"}, {"bird"}),
        ("mydocker --root /nope rm ", set(), {"bird", "fish"}),
    ],
)
def test_zsh_offers_what_fits(
    line: str, offered: set[str], not_offered: set[str], zoo: Mydocker
) -> None:
    found = set(zsh(zoo)(line))
    assert offered <= found
    assert not found & not_offered


def test_bash_completes_at_the_tab_key(zoo: Mydocker) -> None:
    """Also a name with a colon, at which bash itself would part the word, and a file name."""
    child = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        env=zoo.environment | {"TERM": "dumb", "INPUTRC": "/dev/null"},
        cwd=str(zoo.root.parent / "files"),
        encoding="utf-8",
        timeout=30,
        dimensions=(50, 200),
    )
    child.sendline(
        f"PS1='> '; bind 'set enable-bracketed-paste off'; "
        f"source {zoo.root.parent}/bash; echo rea''dy"
    )
    child.expect_exact("ready")
    for typed, completed in (
        ("mydocker container rm bi\t", "rm bird "),
        ("mydocker rmi busybox:la\t", "busybox:latest "),
        ("mydocker run --env-file=fir\t", "--env-file=first.txt "),
        ("mydocker inspect --type=im\t", "--type=image "),
        ("mydocker logs --ti\t", "--timestamps "),
    ):
        child.expect_exact("> ")
        child.send(typed)
        child.expect_exact(completed)
        child.send("\x15\n")  # Ctrl-U takes the line away
    child.sendeof()
    child.close(force=True)


def test_the_scripts_know_every_command_and_flag(zoo: Mydocker) -> None:
    from mydocker.cli.completion import entries

    for shell in ("bash", "zsh", "fish"):
        script = (zoo.root.parent / shell).read_text()
        assert all(name in script for name in COMMANDS)
        assert "@" not in script.replace("$@", "").replace("@]", "").replace("(@)", "")
        spelled = {s.lstrip("-") for entry in entries() for s in entry.spellings()}
        assert all(spelling in script for spelling in spelled)


def test_a_shell_that_there_is_none_for_is_named(zoo: Mydocker) -> None:
    assert "powershell: no such shell" in zoo.fails(125, "completion", "powershell")
    assert "too few arguments" in zoo.fails(125, "completion")
