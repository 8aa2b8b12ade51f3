"""Stop mydocker at every single thing that it asks of the kernel, and look at what is left.

`MYDOCKER_FAULT=ROLE:N:kill` kills the process of that role right before its n-th kernel action, as
an out-of-memory killer or a power switch might; with an errno instead of `kill`, the kernel seems
to refuse the action. How many actions there are is counted first, from `--explain`.

By default a sample of the points is tried, spread evenly; `pytest -m soak` tries each of them in
every way.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker import cgroups
from mydocker.lifecycle.containers import Containers
from mydocker.rootfs.store import Store
from tests.conftest import Mydocker, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

WAYS = ("kill", "EIO", "ENOSPC")
ROLES = (
    *("mydocker", "between", "monitor", "helper", "userns", "init", "command"),
    *("keeper", "joiner", "exec"),
)
Words = tuple[str, ...]
SAMPLE = 4  # points of each role of each scenario


class Scenario:
    """A command to be stopped: what must be there before it, and what succeeds after it."""

    words: Words = ()
    keeps = False
    """Whether a container belongs to all points: then there is always something on the host."""

    def __init__(self, mydocker: Mydocker, tmp_path: Path) -> None:
        self.mydocker = mydocker
        self.tmp_path = tmp_path

    def once(self) -> None:
        """What all points share."""

    def before(self) -> None:
        """What the command needs."""

    def settle(self) -> None:
        """Wait for what goes on after the command has ended, as a detached container does."""

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        """The next command of the same kind, which must succeed."""
        self.mydocker.ok(*self.words)

    def legitimate(self) -> None:
        """Remove what is not left over but simply there: containers, also those that failed."""
        identities = self.mydocker.ok("ps", "-aq").split()
        if identities:
            self.mydocker.ok("rm", "-f", *identities)


class RunRm(Scenario):
    words: Words = ("run", "--rm", "--name", "bird", "true")


class RunDetached(Scenario):
    words: Words = ("run", "-d", "true")

    def settle(self) -> None:
        wait_until(lambda: not processes(self.mydocker))


class RunWithEverything(Scenario):
    words: Words = (
        *("run", "--rm", "-t", "--init", "--userns", "auto", "--read-only", "-u", "7:8"),
        *("-v", "VOLUME:/v", "--tmpfs", "/t", "-m", "100m", "--cpus", "0.5", "--pids-limit", "20"),
        *("--ulimit", "nofile=100", "--sysctl", "net.ipv4.ip_forward=1", "true"),
    )

    def once(self) -> None:
        volume = self.tmp_path / "volume"
        volume.mkdir()
        (volume / "data").write_text("the host's")
        self.words = tuple(word.replace("VOLUME", str(volume)) for word in self.words)

    def legitimate(self) -> None:
        super().legitimate()
        assert (self.tmp_path / "volume/data").read_text() == "the host's"


class Remove(Scenario):
    words: Words = ("rm", "bird")

    def before(self) -> None:
        self.mydocker.ok("run", "--name", "bird", "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "no such container" in done.stderr, done.stderr
        assert self.mydocker.ok("ps", "-aq") == ""


class RemoveRunning(Remove):
    words: Words = ("rm", "-f", "bird")

    def before(self) -> None:
        self.mydocker.ok("run", "-d", "--name", "bird", "top")


class Create(Scenario):
    words: Words = ("create", "--name", "bird", "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        """It is there, whole, or it is not."""
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "is taken by" in done.stderr, done.stderr
        assert self.mydocker.run("start", "-a", "bird").returncode == 0


class OfOne(Scenario):
    """A command on a container, which must be there afterwards and do what the next one asks."""

    state, command = "running", "top"

    def before(self) -> None:
        self.mydocker.ok("create", "--name", "bird", self.command)
        if self.state != "created":
            self.mydocker.ok("start", "bird")
        if self.state == "paused":
            self.mydocker.ok("pause", "bird")
        if self.state == "exited":
            self.mydocker.ok("wait", "bird")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or " is " in done.stderr, done.stderr


class Start(OfOne):
    words: Words = ("start", "bird")
    state, command = "exited", "true"


class Stop(OfOne):
    words: Words = ("stop", "bird")


class StopPaused(Stop):
    state = "paused"


class Restart(OfOne):
    words: Words = ("restart", "bird")


class Pause(OfOne):
    words: Words = ("pause", "bird")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        """One that stands still under a record that says otherwise can be paused, or told to go."""
        super().again(first)
        self.mydocker.ok("unpause", "bird")


class Unpause(OfOne):
    words: Words = ("unpause", "bird")
    state = "paused"


class Update(OfOne):
    words: Words = ("update", "-m", "100m", "--pids-limit", "20", "bird")


class Rename(OfOne):
    words: Words = ("rename", "bird", "fish")
    state = "created"

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "container: bird: no such" in done.stderr, done.stderr
        assert self.mydocker.ok("ps", "-a", "--format", "{{.Names}}") == "fish\n"


class Import(Scenario):
    words: Words = ("import", "-c", 'CMD ["sh"]', "TAR", "small")

    def once(self) -> None:
        path = self.tmp_path / "small.tar"
        with tarfile.open(path, "w") as archive:
            for name in ("one", "two"):
                member = tarfile.TarInfo(name)
                member.size = 3
                archive.addfile(member, io.BytesIO(b"abc"))
        self.words = tuple(word.replace("TAR", str(path)) for word in self.words)

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("rmi", "-f", "small")


class RemoveImage(Import):
    words: Words = ("rmi", "small")

    def before(self) -> None:
        self.mydocker.ok("import", str(self.tmp_path / "small.tar"), "small")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "no such image" in done.stderr, done.stderr


class Load(Import):
    """Two images with a layer in common, from an archive; one of the layers is here already."""

    words: Words = ("load", "-i", "TAR")

    def once(self) -> None:
        super().once()
        rootfs = str(self.tmp_path / "small.tar")
        for name in ("small", "other"):
            self.mydocker.ok("import", "-c", f"ENV N={name}", rootfs, name)
        archive = str(self.tmp_path / "saved.tar")
        self.mydocker.ok("save", "-o", archive, "small", "other", "busybox")
        self.words = ("load", "-i", archive)
        self.legitimate()

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        said = self.mydocker.ok(*self.words)
        assert "Loaded image: small:latest" in said
        assert "Loaded image: other:latest" in said

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("rmi", "-f", "other")


class LoadStream(Load):
    """The same, compressed and from a pipe: so there is a copy of it on the disk for a while."""

    def once(self) -> None:
        super().once()
        archive = self.words[-1]
        packed = Path(archive).with_suffix(".gz")
        packed.write_bytes(gzip.compress(Path(archive).read_bytes(), 1))
        self.words = ("load", "-i", str(packed))


class Save(Scenario):
    words: Words = ("save", "-o", "TAR", "busybox")

    def once(self) -> None:
        self.saved = self.tmp_path / "out" / "saved.tar"
        self.saved.parent.mkdir()
        self.mydocker.ok("save", "-o", str(self.saved), "busybox")
        self.whole = self.saved.read_bytes()
        self.words = ("save", "-o", str(self.saved), "busybox")

    def before(self) -> None:
        self.saved.write_text("the old one")

    def legitimate(self) -> None:
        # Whole or as it was; and a crash leaves nothing beside it but perhaps the whole new one.
        assert self.saved.read_bytes() in (b"the old one", self.whole)
        for path in self.saved.parent.iterdir():
            if path != self.saved:
                assert path.read_bytes() == self.whole
                path.unlink()


class SaveLayout(Scenario):
    words: Words = ("save", "--format", "oci-dir", "-o", "LAYOUT", "busybox")

    def once(self) -> None:
        self.layout = self.tmp_path / "layout"
        self.words = tuple(word.replace("LAYOUT", str(self.layout)) for word in self.words)

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        super().again(first)
        assert self.mydocker.ok("load", "-i", str(self.layout)) == "Loaded image: busybox:latest\n"

    def legitimate(self) -> None:
        if (self.layout / "index.json").exists():  # then all of it is there
            self.mydocker.ok("load", "-i", str(self.layout))
        shutil.rmtree(self.layout, ignore_errors=True)


class PruneImages(Import):
    words: Words = ("image", "prune", "-f")

    def before(self) -> None:
        self.mydocker.ok("import", str(self.tmp_path / "small.tar"))

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.ok("image", "prune", "-f")


class Tag(Scenario):
    words: Words = ("tag", "busybox", "small")

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("rmi", "small")
        assert "busybox" in self.mydocker.ok("images")


class Repair(Scenario):
    words: Words = ("system", "check", "--repair")

    def before(self) -> None:
        # A dead container that was to be removed, half of another, and half a layer.
        self.mydocker.run("run", "--rm", "true", MYDOCKER_FAULT="init:30:kill")
        self.mydocker.run("run", "--rm", "true", MYDOCKER_FAULT="mydocker:40:kill")
        self.mydocker.run("run", "--rm", "true", MYDOCKER_FAULT="mydocker:5:kill")
        half = self.mydocker.root / "images/tmp/half"
        half.mkdir(parents=True)


class Commit(Scenario):
    words: Words = ("commit", "bird", "small")
    keeps = True

    def once(self) -> None:
        self.mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "rm /etc/group; exec top")
        wait_until(lambda: next(Path(self.mydocker.root).glob("containers/*/upper/etc/group"), 0))
        (self.container,) = Containers(str(self.mydocker.root))

    def legitimate(self) -> None:
        # The container belongs to all points of the scenario: it must live, and not stand still.
        group = cgroups.group(self.mydocker.cgroup_parent, self.container.id)
        assert self.container.alive()
        assert not group.frozen()
        self.mydocker.run("rmi", "-f", "small")


class Exec(Scenario):
    words: Words = ("exec", "-t", "-u", "daemon", "bird", "true")
    keeps = True

    def once(self) -> None:
        self.mydocker.ok("run", "-d", "--name", "bird", "--userns", "auto", "top")
        (self.container,) = Containers(str(self.mydocker.root))

    def legitimate(self) -> None:
        # Of the container only its own process is left, and of mydocker only its monitor.
        group = cgroups.group(self.mydocker.cgroup_parent, self.container.id)
        assert self.container.alive()
        wait_until(lambda: group.processes() == [self.container.pid])
        ours = [self.container.monitor_pid]
        wait_until(lambda: processes(self.mydocker) == ours)


class ExecDetached(Exec):
    words: Words = ("exec", "-d", "bird", "true")


class RunWithVolumes(Scenario):
    """A volume that is made and filled, and one without a name that goes at the end."""

    words: Words = ("run", "--rm", "-v", "data:/etc", "-v", "/v", "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        super().again(first)
        files = sorted(os.listdir(self.mydocker.root / "volumes/data/_data"))
        assert files == ["group", "passwd"]
        assert not list(self.mydocker.root.glob("volumes/data/fill*"))

    def legitimate(self) -> None:
        super().legitimate()
        data = self.mydocker.root / "volumes/data/_data"
        if data.exists():
            assert sorted(os.listdir(data)) in ([], ["group", "passwd"])
        # A crash may leave a volume that nobody uses, as `rm` without -v does.
        assert self.mydocker.run("volume", "prune", "-a", "-f").returncode == 0
        assert self.mydocker.ok("volume", "ls", "-q") == ""
        assert os.listdir(self.mydocker.root / "volumes") in ([], [".lock"])


class VolumeCreate(RunWithVolumes):
    words: Words = ("volume", "create", "--label", "a=b", "data")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        self.mydocker.ok(*self.words)

    def legitimate(self) -> None:
        if (self.mydocker.root / "volumes").exists():
            super().legitimate()


class VolumeRemove(VolumeCreate):
    words: Words = ("volume", "rm", "data")

    def before(self) -> None:
        data = self.mydocker.root / "volumes/data/_data"
        self.mydocker.ok("volume", "create", "data")
        for name in ("group", "passwd"):
            (data / name).write_text("x")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        done = self.mydocker.run(*self.words)
        assert done.returncode == 0 or "no such volume" in done.stderr, done.stderr


class RemoveWithVolumes(Remove):
    words: Words = ("rm", "-v", "bird")

    def before(self) -> None:
        self.mydocker.ok("run", "--name", "bird", "-v", "/v", "-v", "data:/d", "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        super().again(first)
        assert self.mydocker.ok("volume", "ls", "-q") == "data\n"

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("volume", "prune", "-a", "-f")


class CopyInto(Scenario):
    words: Words = ("cp", "SOURCE", "bird:/v/new")
    running = False

    def once(self) -> None:
        source = self.tmp_path / "source"
        (source / "sub").mkdir(parents=True)
        (source / "sub/file").write_text("content")
        self.words = tuple(word.replace("SOURCE", str(source)) for word in self.words)

    def before(self) -> None:
        end = (
            ("-d", "--name", "bird", "-v", "/v") if self.running else ("--name", "bird", "-v", "/v")
        )
        self.mydocker.ok("run", *end, "top" if self.running else "true")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        self.mydocker.run(*self.words)
        (data,) = self.mydocker.root.glob("volumes/*/_data")
        assert (data / "new/sub/file").read_text() == "content"

    def legitimate(self) -> None:
        super().legitimate()
        self.mydocker.run("volume", "prune", "-a", "-f")


class CopyIntoRunning(CopyInto):
    running = True


class CopyOut(CopyInto):
    words: Words = ("cp", "bird:/etc/passwd", "TARGET")

    def once(self) -> None:
        self.target = self.tmp_path / "target"
        self.words = tuple(word.replace("TARGET", str(self.target)) for word in self.words)

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        self.mydocker.ok(*self.words)
        assert self.target.read_text().startswith("root:")
        self.target.unlink()


class Export(CopyOut):
    words: Words = ("export", "-o", "TARGET", "bird")

    def again(self, first: subprocess.CompletedProcess[str]) -> None:
        self.mydocker.ok(*self.words)
        with tarfile.open(self.target) as archive:
            assert "etc/passwd" in archive.getnames()
        self.target.unlink()


SCENARIOS = {
    kind.__name__: kind
    for kind in (
        RunRm,
        RunDetached,
        RunWithEverything,
        Remove,
        RemoveRunning,
        Create,
        Start,
        Stop,
        StopPaused,
        Restart,
        Pause,
        Unpause,
        Update,
        Rename,
        Import,
        RemoveImage,
        Load,
        LoadStream,
        Save,
        SaveLayout,
        PruneImages,
        Tag,
        Repair,
        Commit,
        RunWithVolumes,
        VolumeCreate,
        VolumeRemove,
        RemoveWithVolumes,
        CopyInto,
        CopyIntoRunning,
        CopyOut,
        Export,
        Exec,
        ExecDetached,
    )
}

LIKE_OTHERS = ("CopyOut", "RemoveWithVolumes", "VolumeCreate")
"""Scenarios whose points are nearly all also another's: only `pytest -m soak` tries them."""


def count(scenario: Scenario) -> Counter[str]:
    """How many kernel actions each role takes in a run of the command that nothing disturbs."""
    scenario.before()
    told = scenario.mydocker.run("--explain", *scenario.words)
    assert told.returncode == 0, told.stderr
    scenario.legitimate()
    return Counter(re.findall(rf"^({'|'.join(ROLES)}) ", told.stderr, re.MULTILINE))


def remains(mydocker: Mydocker) -> list[str]:
    """What is left on the host, by our own eyes and not by `system check`."""
    parent = mydocker.cgroup_parent.strip("/")
    found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{parent}")]
    for name in ("containers/*", "names/*", "images/tmp/*", "images/*.tmp", "damaged"):
        found += map(str, mydocker.root.glob(name))
    return found + [f"process {pid}" for pid in processes(mydocker)]


def processes(mydocker: Mydocker) -> list[int]:
    """The processes of this mydocker: its environment names a cgroup parent that no other has."""
    token = mydocker.cgroup_parent.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if token in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def sweep(scenario: Scenario, points: list[str]) -> list[str]:
    """Try each point twice: once the next command has to do, once `system check --repair`."""
    mydocker, failures = scenario.mydocker, []
    store, verified = Store(str(mydocker.root)), set[str]()
    mounts = Path("/proc/self/mountinfo").read_text()
    for point in points:
        for cure in ("the next command", "system check --repair"):
            try:
                scenario.before()
                first = mydocker.run(*scenario.words, MYDOCKER_FAULT=point)
                assert "bug" not in first.stderr, first.stderr
                assert len(first.stderr.splitlines()) <= 2, first.stderr
                scenario.settle()
                if cure == "the next command":
                    scenario.again(first)
                else:
                    repaired = mydocker.run("system", "check", "--repair")
                    assert (repaired.returncode, repaired.stderr) == (0, "")
                    assert mydocker.run("system", "check").returncode == 0
                for image in store.images():
                    assert not image.broken, image.broken
                    if image.id not in verified:
                        store.verify(image)
                        verified.add(image.id)
                scenario.legitimate()
                wait_until(lambda: not remains(mydocker) or scenario.keeps)
                assert Path("/proc/self/mountinfo").read_text() == mounts
            except AssertionError as error:
                text = " ".join(str(error).split())
                failures.append(f"{point}, {cure}: {text[:600]}; {remains(mydocker)[:3]}")
                mydocker.run("system", "check", "--repair")
                scenario.legitimate()
    return failures


def points_of(counted: Counter[str], each: int, ways: tuple[str, ...]) -> list[str]:
    """Every point, or of each role about `each`, evenly spread, in one way after another."""
    points = []
    for role, total in counted.items():
        for turn, number in enumerate(range(1, total + 1, max(1, total // each if each else 1))):
            some = ways if not each else (ways[turn % len(ways)],)
            points += [f"{role}:{number}:{way}" for way in some]
    return points


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in LIKE_OTHERS])
def test_a_stopped_command_leaves_nothing_that_is_not_put_right(
    name: str, mydocker: Mydocker, tmp_path: Path
) -> None:
    scenario = SCENARIOS[name](mydocker, tmp_path)
    scenario.once()
    failures = sweep(scenario, points_of(count(scenario), SAMPLE, WAYS))
    assert not failures, "\n".join(failures)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_step_of_a_command_can_be_stopped(
    name: str, way: str, mydocker: Mydocker, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    scenario = SCENARIOS[name](mydocker, tmp_path)
    scenario.once()
    points = points_of(count(scenario), 0, (way,))
    record_property("points", len(points))
    print(f"{name}: {len(points)} points")
    failures = sweep(scenario, points)
    assert not failures, "\n".join(failures)
