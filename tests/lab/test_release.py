"""What CI decides, and what is published."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from lab.box import publish
from tests.conftest import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


class Project:
    """A repository with CI's script, and a `make` that tells what it was asked for."""

    def __init__(self, directory: Path, disk: str) -> None:
        self.path = directory / "a clone"
        self.programs = directory / "bin"
        (self.path / ".ci").mkdir(parents=True)
        self.programs.mkdir()
        shutil.copy(CHECKOUT / ".ci/run", self.path / ".ci")
        for name, script in {
            "make": "echo make $*",
            "df": f"printf 'Avail\\n{disk}G\\n{disk}G\\n'",
            "awk": "echo 16",
        }.items():
            (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.programs / name).chmod(0o755)
        self.git("init", "-q", "-b", "main")
        self.commit("README", "mydocker/a.py", "lab/vm/a.py")

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *who, *words], cwd=self.path, check=True)

    def commit(self, *names: str) -> None:
        """Change some files."""
        for name in names:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path.read_text() if path.exists() else ''}.")
        self.git("add", "-A")
        self.git("commit", "-qm", "change")

    def ci(self, **environment: str) -> list[str]:
        """What it did."""
        done = subprocess.run(
            [".ci/run"],
            cwd=self.path,
            env={"PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


ALL = ["make test", "make test-vm", "make test-vagrant"]
SAME = [
    "make test",
    "ci: neither the lab nor the runtime has changed: the lab machine is not tested",
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, disk="40")


@pytest.mark.parametrize("name", ["lab/vm/a.py", "mydocker/a.py", "Vagrantfile", "chapters/x"])
def test_a_change_of_the_lab_or_the_runtime_is_tested_in_the_machine(
    project: Project, name: str
) -> None:
    project.commit(name)
    assert project.ci() == ALL
    assert project.ci(CI_MACHINE="no") == ["make test"]


def test_another_change_is_not(project: Project) -> None:
    project.commit("docs/x.md", "README")
    assert project.ci() == SAME
    assert project.ci(CI_MACHINE="yes") == ALL


def test_all_commits_since_the_branch_left_main_count(project: Project) -> None:
    project.git("update-ref", "refs/remotes/origin/main", "HEAD")
    project.commit("lab/vm/a.py")
    project.commit("README")
    assert project.ci() == ALL
    assert project.ci(CI_BASE="HEAD~1") == SAME


def test_without_a_history_it_is_tested(project: Project) -> None:
    assert project.ci() == ALL  # there is one commit only, as in a shallow clone


def test_without_room_it_says_that_it_was_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path, disk="3")
    project.commit("lab/vm/a.py")
    why = "ci: the lab machine is NOT tested: 3 GB of disk are free, not 10"
    assert project.ci() == ["make test", why]


def test_what_is_published_stands_in_the_table_with_its_checksum(tmp_path: Path) -> None:
    box = tmp_path / "mydocker-lab.libvirt.amd64.box"
    box.write_bytes(b"a box")
    text = publish.filled(publish.TABLE.read_text(), tmp_path, "https://example.org/v1")
    ours = tomllib.loads(text)["ours"]
    assert ours["libvirt"]["amd64"] == {
        "url": "https://example.org/v1/mydocker-lab.libvirt.amd64.box",
        "sha256": hashlib.sha256(b"a box").hexdigest(),
    }
    assert ours["libvirt"]["arm64"] == {"url": "", "sha256": ""}
    again = publish.filled(text, tmp_path, "https://example.org/v2")
    assert tomllib.loads(again)["ours"]["libvirt"]["amd64"]["url"].startswith(
        "https://example.org/v2/"
    )
