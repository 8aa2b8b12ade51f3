"""Two commands at once, each with each: both do what they say, or say in one line why not."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.rootfs.store import Store
from tests.conftest import Mydocker, settle, stock

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = {
    "import": ("import", "TAR", "app"),
    "load": ("load", "-i", "ARCHIVE"),
    "rmi": ("rmi", "-f", "app"),
    "tag": ("tag", "app", "other:1"),
    "commit": ("commit", "bird", "app"),
    "run": ("run", "--rm", "--image", "busybox", "true"),
    "prune": ("image", "prune", "-a", "-f"),
}
MAY_FAIL = {
    "rmi": "image: app: there is no such image",
    "tag": "image: app: no such image",
}
"""What another command may have taken away; all the others always succeed."""
GONE = "there is no such image"  # between the look and the lock


class Nest:
    """A mydocker with a container to commit, and files to import and load."""

    def __init__(self, mydocker: Mydocker, directory: Path) -> None:
        self.mydocker = mydocker
        self.store = Store(str(mydocker.root))
        paths = {"TAR": f"{directory}/app.tar", "ARCHIVE": f"{directory}/archive.tar"}
        with tarfile.open(paths["TAR"], "w") as archive:
            for number in range(20):
                member = tarfile.TarInfo(f"file{number}")
                member.size = 5
                archive.addfile(member, io.BytesIO(b"hello"))
        mydocker.ok("import", paths["TAR"], "app")
        mydocker.ok("import", "-c", "ENV A=b", paths["TAR"], "more")
        mydocker.ok("save", "-o", paths["ARCHIVE"], "app", "more")
        mydocker.ok("run", "--name", "bird", "sh", "-c", "echo hello > /new")
        self.commands = {
            name: tuple(paths.get(word, word) for word in words) for name, words in COMMANDS.items()
        }
        self.verified = set[str]()

    def together(self, first: str, second: str) -> None:
        """Run both at once, and look at what is there then."""
        self.mydocker.ok("load", "-i", self.commands["load"][-1])
        running = [self.mydocker.start(*self.commands[name]) for name in (first, second)]
        for name, process in zip((first, second), running, strict=True):
            _, said = process.communicate(timeout=60)
            if process.returncode:
                self.judge(name, process, said)
        assert self.store.check() == []
        for image in self.store.images():
            assert not image.broken, image.broken
            if image.id not in self.verified:
                self.store.verify(image)
                self.verified.add(image.id)
        assert self.store.get("busybox").names == ["busybox:latest"]

    def judge(self, name: str, process: subprocess.Popen[str], said: str) -> None:
        """A command that failed must say what somebody else took away."""
        assert name in MAY_FAIL, f"{name}: {said}"
        line = said.splitlines()[0]
        assert MAY_FAIL[name] in line or GONE in line, f"{name}: {said}"
        assert process.returncode == 125


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Iterator[Nest]:
    """One for all pairs."""
    directory = tmp_path_factory.mktemp("nest")
    instance = Mydocker(directory)
    stock(instance, stocked_root)
    yield Nest(instance, directory)
    settle(instance)


@pytest.mark.parametrize(
    "rounds", [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("first", COMMANDS)
def test_two_commands_at_once(first: str, rounds: int, nest: Nest) -> None:
    names = list(COMMANDS)
    for second in names[names.index(first) :]:
        for _ in range(rounds):
            nest.together(first, second)
