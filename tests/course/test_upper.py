"""The import finder: a student's modules over the package's, and nothing where there are none."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CHECKOUT, LAUNCHER, Mydocker
from tests.integration.test_import_budget import imports

if TYPE_CHECKING:
    from pathlib import Path

STUB = """
from __future__ import annotations

from mydocker.errors import Error


def check(name: str) -> str:
    \"\"\"A name.\"\"\"
    raise NotImplementedError("step 9.1: check")


def invent() -> str:
    \"\"\"A name that is new.\"\"\"
    return "mine"
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A student's directory."""
    directory = tmp_path / "work"
    (directory / "cli").mkdir(parents=True)
    return directory


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The launcher with only this environment."""
    return subprocess.run(
        [str(LAUNCHER), *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


VERSION = "from mydocker.cli.flags import Command\n"
VERSION += 'COMMAND = Command(lambda v, w: print("mine"), "", "")\n'


def test_a_module_of_the_students_is_taken(work: Path) -> None:
    (work / "cli/version.py").write_text(VERSION)
    done = run("version", MYDOCKER_WORK=str(work))
    assert (done.stdout, done.stderr) == ("mine\n", "")


@pytest.mark.parametrize("way", ["--reference", "MYDOCKER_REFERENCE"])
def test_the_reference_can_be_asked_for(work: Path, way: str) -> None:
    (work / "cli/version.py").write_text(VERSION)
    flags = ["--root", "/nowhere", way] if way.startswith("-") else []
    environment = {} if flags else {way: "1"}
    done = run(*flags, "version", MYDOCKER_WORK=str(work), **environment)
    assert "mine" not in done.stdout
    assert done.returncode == 0


def test_the_option_is_mydockers_own_and_not_the_containers(work: Path) -> None:
    (work / "cli/version.py").write_text(VERSION)
    done = run("version", "--reference", MYDOCKER_WORK=str(work))
    assert "no such option" in done.stderr or "mine" in done.stdout


def test_what_is_not_written_comes_from_the_reference(work: Path) -> None:
    (work / "lifecycle").mkdir()
    (work / "lifecycle/names.py").write_text(STUB)
    script = (
        f"import sys; sys.path[:0] = [{str(CHECKOUT)!r}]\n"
        f"from mydocker import upper; upper.install({str(CHECKOUT)!r}, {str(work)!r}, [])\n"
        "from mydocker.lifecycle import names\n"
        "print(names.__file__, names.invent(), names.check('bird'))"
    )
    command = [str(CHECKOUT / ".venv/bin/python3"), "-I", "-S", "-c", script]
    environment = {"MYDOCKER_WORK": str(work)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{work}/lifecycle/names.py mine bird\n", done.stderr
    pure = environment | {"MYDOCKER_PURE": "1"}
    done = subprocess.run(command, env=pure, capture_output=True, text=True, check=False)
    assert "NotImplementedError: step 9.1: check" in done.stderr


def test_what_is_not_written_is_told_in_one_line(mydocker: Mydocker, work: Path) -> None:
    (work / "lifecycle").mkdir()
    (work / "lifecycle/names.py").write_text(STUB)
    environment = {"MYDOCKER_REFERENCE": "", "MYDOCKER_WORK": str(work), "MYDOCKER_PURE": "1"}
    done = mydocker.run("run", "--rm", "--name", "bird", "true", **environment)
    assert (done.returncode, done.stderr) == (
        125,
        "mydocker: step 9.1: check: is not written yet\n",
    )


def test_a_bug_is_told_with_its_place(mydocker: Mydocker, work: Path) -> None:
    (work / "lifecycle").mkdir()
    text = STUB.replace('raise NotImplementedError("step 9.1: check")', "return name / 0")
    (work / "lifecycle/names.py").write_text(text)
    environment = {"MYDOCKER_REFERENCE": "", "MYDOCKER_WORK": str(work)}
    done = mydocker.run("run", "--rm", "--name", "bird", "true", **environment)
    assert f"hint: this is a bug, in {work}/lifecycle/names.py:9\n" in done.stderr


def test_no_bytecode_is_left_or_believed(work: Path) -> None:
    path = work / "cli/version.py"
    path.write_text(VERSION)
    assert run("version", MYDOCKER_WORK=str(work)).stdout == "mine\n"
    status = path.stat()
    path.write_text(VERSION.replace("mine", "more"))  # as long, and as old
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run("version", MYDOCKER_WORK=str(work)).stdout == "more\n"
    assert [path.name for path in work.rglob("*")] == ["cli", "version.py"]


def test_by_hand_it_says_once_that_work_is_used(mydocker: Mydocker, tmp_path: Path) -> None:
    """In a checkout of its own, since this one's `work/` is its owner's."""
    home = tmp_path / "checkout"
    (home / "work/lifecycle").mkdir(parents=True)
    (home / "chapters").mkdir()
    subprocess.run(["cp", "-a", str(CHECKOUT / "mydocker"), str(home)], check=True)
    (home / "work/lifecycle/names.py").write_text(
        (home / "mydocker/lifecycle/names.py").read_text()
    )
    command = [str(CHECKOUT / ".venv/bin/python3"), "-I", "-S", str(home / "mydocker/__main__.py")]
    environment = mydocker.environment | {"MYDOCKER_REFERENCE": ""}
    done = subprocess.run(
        [*command, "run", "--rm", "echo", "works"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "works\n"
    assert done.stderr.count("mydocker: using work/") == 1
    assert len(done.stderr.splitlines()) == 1
    environment["MYDOCKER_REFERENCE"] = "1"
    again = subprocess.run(
        [*command, "run", "--rm", "true"], env=environment, capture_output=True, check=False
    )
    assert again.stderr == b""


def test_without_work_it_is_not_even_loaded(mydocker: Mydocker) -> None:
    own = {"MYDOCKER_REFERENCE": "", "MYDOCKER_WORK": "/nowhere"}
    environment = mydocker.environment | own
    loaded = imports([str(CHECKOUT / "mydocker/__main__.py"), "version"], environment)
    assert not [name for names in loaded for name in names if name in ("mydocker.upper", "ast")]
