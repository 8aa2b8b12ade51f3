"""The lab's machine, seen from the host, without starting one: faults and bad input.

That it starts, and what runs in it, is `make test-vm` and `make test-vagrant`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.vm import qemu
from lab.vm.qemu import Machine
from lab.vm.trouble import Trouble
from tests.conftest import CHECKOUT

CONSOLE = ("Makefile", "lab", "chapters")


class Clone:
    """A clone that is not set up, on a path with a blank, with programs of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "a clone"
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.path.mkdir()
        for name in CONSOLE:
            source = CHECKOUT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.path / name)
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "LANG": "C.UTF-8",
        }

    def has_vagrant(self, provider: str) -> None:
        """A machine of Vagrant's: known from .vagrant, reached by ssh."""
        identity = self.path / f".vagrant/machines/default/{provider}/id"
        identity.parent.mkdir(parents=True)
        identity.write_text("0815")
        self.program("vagrant", "echo 'Host default'; echo '  HostName 192.0.2.1'")
        self.program("ssh", SSH)

    def program(self, name: str, script: str) -> None:
        """Put a program before the host's own of that name."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.path,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def fails(self, *words: str, **environment: str) -> str:
        """Run what must fail with one line and perhaps a hint; these lines."""
        done = self.types(*words, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        first, *rest = done.stderr.splitlines()
        assert first.startswith("lab: "), done.stderr
        assert all(line.startswith("hint: ") for line in rest), done.stderr
        return done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


# `make chN` where there is no lab


def test_without_a_lab_and_a_machine_it_says_how_to_get_one(clone: Clone) -> None:
    said = clone.fails("lab/mydocker-lab", "ch5")
    assert "lab: this checkout is not set up for this host, and no lab machine is running" in said
    assert "sudo make setup" in said
    assert "vagrant up, or make vm" in said


def test_on_another_system_there_is_only_the_machine(clone: Clone) -> None:
    clone.program("uname", "echo Darwin")
    clone.program("python3", "echo Darwin has: $* >&2; exit 7")
    done = clone.types("lab/mydocker-lab", "hint", "3.1")
    assert (done.returncode, done.stderr) == (7, "Darwin has: -m lab.vm course hint 3.1\n")


def test_here_can_be_demanded(clone: Clone) -> None:
    done = clone.types("lab/mydocker-lab", "ch5", LAB_WHERE="here")
    assert done.returncode == 1
    assert done.stderr == "no .venv yet: sudo make setup\n"


SSH = """\
while [ $# -gt 1 ]; do
    case $1 in -F | -o | -O) shift 2 ;; -*) shift ;; *) shift && break ;; esac
done
case $* in
true | 'test -d'*) exit 0 ;;
*) echo "$*" >>"$HOME/asked"; echo output; echo trouble >&2; exit 42 ;;
esac
"""


def test_output_and_exit_code_come_through_the_tree_goes_first(clone: Clone) -> None:
    """Vagrant's machine: known from .vagrant, reached by ssh. make's words go along."""
    clone.has_vagrant("libvirt")
    clone.program("rsync", 'echo "$@" >>"$HOME/synced"')
    done = clone.types("make", "--no-print-directory", "ch5", "STEP=5.1", "V=1")
    assert done.stdout == "output\n"
    assert done.stderr.startswith("trouble\nmake: *** "), done.stderr
    assert "Error 42" in done.stderr
    asked = (clone.path.parent / "asked").read_text()
    assert "cd /vagrant && exec sudo env STEP=5.1" in asked
    assert "lab/mydocker-lab ch5 -v" in asked
    there, back = (clone.path.parent / "synced").read_text().splitlines()
    assert there.endswith(f"--exclude=.import_linter_cache {clone.path}/ default:/vagrant/")
    assert "--delete" in there
    assert back.endswith(f"--update default:/vagrant/work/ {clone.path}/work/")
    assert "--delete" not in back


def test_windows_line_endings_are_told_before_bash_stumbles(clone: Clone) -> None:
    clone.has_vagrant("virtualbox")
    script = clone.path / "lab/provision.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    assert "Windows line endings" in clone.fails("lab/mydocker-lab", "ch5")


def test_git_keeps_unix_line_endings_whatever_the_system() -> None:
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a clone of git's")
    names = ["lab/provision.sh", "Makefile", "lab/mydocker-lab", "lab/uml/fstab"]
    command = ["git", "-c", "safe.directory=*", "check-attr", "eol", *names]
    told = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [f"{name}: eol: lf" for name in names]


# The machine itself


def test_without_a_box_there_is_no_machine(clone: Clone) -> None:
    for program in ("qemu-system-x86_64", "qemu-system-aarch64", "qemu-img"):
        clone.program(program, "exit 0")
    said = clone.fails("lab/vm/lab-vm", "up")
    assert said == "lab: there is no box yet\nhint: sudo make box (on Debian or Ubuntu)\n"
    assert not (clone.path / "build").exists()


def test_without_qemu_it_names_the_package(clone: Clone) -> None:
    (clone.programs / "python3").symlink_to(os.path.realpath(sys.executable))
    (clone.programs / "dirname").symlink_to(str(shutil.which("dirname")))
    said = clone.fails("lab/vm/lab-vm", "up", PATH=str(clone.programs))
    assert "is not installed" in said
    assert "apt-get install qemu-system-x86" in said


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("LAB_MEMORY", "much", "LAB_MEMORY=much: not a number"),
        ("LAB_MEMORY", "-5", "LAB_MEMORY=-5: not a number"),
        ("LAB_CPUS", "0", "LAB_CPUS=0: not a number"),
    ],
)
def test_a_wrong_size_is_refused(clone: Clone, name: str, value: str, why: str) -> None:
    assert why in clone.fails("lab/vm/lab-vm", "up", **{name: value})


def test_an_unknown_accelerator_is_refused(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_ACCEL", "magic")
    with pytest.raises(Trouble, match="LAB_ACCEL=magic: not known"):
        Machine(box.parent / "vm", box).up()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box with nothing on it, and programs that stand for QEMU's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "qemu-img": """case $1 in info) echo '{"format": "qcow2", "virtual-size": 9}' ;; esac""",
        "qemu-system-x86_64": "echo qemu: $* >&2; exit 1",
        "qemu-system-aarch64": "exit 1",
        "ssh-keygen": 'while [ "$1" != -f ]; do shift; done; echo k >"$2"; echo k >"$2.pub"',
    }.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ echo 1; exit; }}\n{script}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("LAB_ACCEL", "tcg")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "disk.qcow2"
    path.touch()
    return path


def test_too_little_memory_is_said_before_anything_starts(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_MEMORY", "99999999")
    with pytest.raises(Trouble, match="MB of memory are free, the machine wants 99999999") as told:
        Machine(box.parent / "vm", box).up()
    assert "LAB_MEMORY=1024" in told.value.hint


def test_too_little_disk_is_said_before_anything_starts(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.vm.qemu.FREE_GB", 1 << 40)
    with pytest.raises(Trouble, match="GB free, a machine needs"):
        Machine(box.parent / "vm", box).up()


def test_a_qemu_that_does_not_start_says_why(box: Path) -> None:
    with pytest.raises(Trouble, match="QEMU did not start: qemu: -name mydocker-lab"):
        Machine(box.parent / "vm", box).up()


@pytest.mark.parametrize(("script", "works"), [("exit 0", True), ("exec sleep 60", False)])
def test_virtualization_is_believed_when_a_kernel_ran_with_it(
    box: Path, script: str, works: bool
) -> None:
    """A kernel without a root panics and QEMU ends; where guests hang it does not."""
    (box.parent / "bin" / qemu.QEMU).write_text(f"#!/bin/sh\n{script}\n")
    assert qemu.boots(box, seconds=20 if works else 1) is works


@pytest.mark.parametrize("state", ["", "{", '{"box": "x", "ready": false}'])
def test_a_half_made_machine_is_made_anew(box: Path, state: str) -> None:
    """What broke off before the set-up was through is no machine."""
    directory = box.parent / "vm"
    directory.mkdir()
    (directory / "state.json").write_text(state)
    (directory / "disk.qcow2").write_text("half")
    with pytest.raises(Trouble, match="QEMU did not start"):
        Machine(directory, box).up()
    assert not (directory / "disk.qcow2").exists()  # our qemu-img makes none
    assert json.loads((directory / "state.json").read_text())["ready"] is False
