"""The overlay: many layers, the image's own root, and upper directories that can be read (4.2)."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from mydocker.linux import files, syscalls
from mydocker.rootfs.store import NewLayer, Store
from tests.conftest import LAUNCHER, Mydocker, wait_until
from tests.integration.private_mounts import privately, tmpfs


def layer(*names: str, content: bytes = b"x") -> io.BytesIO:
    """The tar of a layer with these files; `.wh.x` deletes x."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def test_an_image_of_120_layers_runs(mydocker: Mydocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "syncfs", lambda fd, path: None)  # or we wait for the disk
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    store = Store(str(mydocker.root))
    config = store.get("busybox").config
    with ExitStack() as stack:
        new = [stack.enter_context(NewLayer(store)) for _ in range(119)]
        for number, one in enumerate(new):
            names = [f"many/{number}", *([f"many/.wh.{number - 1}"] if number % 2 else [])]
            tar = layer(*names, content=b"%d" % number)
            config.rootfs.diff_ids.append(one.unpack(lambda tar=tar: tar.read(1 << 16)))  # type: ignore[misc]  # mypy cannot infer it
        image = store.publish(json.dumps(config.to_json()).encode(), new, ["many:latest"])
    assert len(image.layers) == 120
    script = "ls /many | wc -l; cat /many/117; echo new > /many/117; rm /many/1; cat /many/117"
    assert mydocker.ok("run", "--name", "bird", "many", "sh", "-c", script) == "60\n117new\n"
    assert mydocker.ok("diff", "bird") == "C /many\nD /many/1\nC /many/117\n"
    mydocker.ok("commit", "bird", "more")
    assert mydocker.ok("run", "--rm", "more", "cat", "/many/117") == "new\n"
    assert mydocker.ok("run", "--rm", "-v", "data:/many", "more", "ls", "/many").count("\n") == 59
    mydocker.ok("cp", "bird:/many/117", str(mydocker.root.parent / "got"))
    assert (mydocker.root.parent / "got").read_text() == "new\n"


def test_the_root_has_the_mode_and_owner_of_the_images(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "chmod 1771 /; chown 7:8 /")
    mydocker.ok("commit", "bird", "odd")
    stat = ("stat", "-c", "%a %u:%g", "/")
    assert mydocker.ok("run", "--rm", "odd", *stat) == "1771 7:8\n"
    assert mydocker.ok("run", "--rm", "--userns", "auto", "odd", *stat) == "1771 7:8\n"
    assert mydocker.ok("run", "--rm", "busybox", *stat) == "755 0:0\n"
    mydocker.ok("run", "--name", "fish", "odd", "touch", "/x")
    assert mydocker.ok("diff", "fish") == "A /x\n"


def test_a_read_only_root_cannot_be_written_but_its_volumes_can(mydocker: Mydocker) -> None:
    script = "echo x > /v/x && cat /v/x; ! touch /x 2>/dev/null && ! rm /etc/passwd 2>/dev/null"
    flags = ("--rm", "--read-only", "-v", "/v")
    assert mydocker.ok("run", *flags, "sh", "-c", script) == "x\n"


def test_a_renamed_directory_is_stored_whole(mydocker: Mydocker) -> None:
    """`redirect_dir` would store a note of the old name, which no layer could say."""
    mydocker.ok("run", "--name", "bird", "sh", "-c", "mv /usr /moved; chmod 700 /bin/busybox")
    (upper,) = mydocker.root.glob("containers/*/upper")
    assert (upper / "moved/bin/stress").stat().st_size > 0
    assert (upper / "bin/busybox").stat().st_blocks > 0
    marks = {
        mark for path in upper.rglob("*") for mark in os.listxattr(path, follow_symlinks=False)
    }
    assert not marks & {"trusted.overlay.redirect", "trusted.overlay.metacopy"}


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_the_mount_is_asked_for_without_what_we_could_not_read(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-qq", "-s", "9999", "-o", str(trace), "-e", "trace=mount"]
    subprocess.run(
        [*words, str(LAUNCHER), "run", "--rm", "true"], env=mydocker.environment, check=True
    )
    (line,) = [line for line in trace.read_text().splitlines() if "lowerdir=" in line]
    for name in ("redirect_dir", "metacopy", "index"):
        known = Path(f"/sys/module/overlay/parameters/{name}").exists()
        assert (f",{name}=off" in line) == known


@pytest.mark.parametrize("where", ["layers", "diff"])
def test_a_missing_layer_is_named(where: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    (directory,) = mydocker.root.glob("images/layers/*")
    gone = directory if where == "layers" else directory / "diff"
    shutil.move(gone, mydocker.root.parent / "aside")
    line = mydocker.fails(125, "run", "--rm", "busybox", "true")
    assert f"layer {directory}/diff is missing" in line
    assert f"layer: {directory}/diff: is missing" in mydocker.run("cp", "bird:/etc", "-").stderr
    shutil.move(mydocker.root.parent / "aside", gone)
    mydocker.ok("run", "--rm", "busybox", "true")


def test_an_altered_layer_is_named(mydocker: Mydocker) -> None:
    (layer,) = mydocker.root.glob("images/layers/*")
    etc = layer / "diff/etc"
    before = etc.stat()
    shutil.copy2(etc / "passwd", etc / "new")  # other tests have the file under other names
    (etc / "new").rename(etc / "passwd")
    os.utime(etc, ns=(before.st_atime_ns, before.st_mtime_ns))
    mydocker.ok("system", "check", "--verify")
    found = (etc / "passwd").stat()
    with (etc / "passwd").open("r+") as file:
        file.write("ROOT")
    os.utime(etc / "passwd", ns=(found.st_atime_ns, found.st_mtime_ns))
    done = mydocker.run("system", "check", "--verify")
    assert done.returncode == 1
    assert done.stdout == f"image: layer: {layer}: the content of a file was altered\n"


def deep(path: Path, depth: int) -> None:
    """Directories in each other, each with a file, deeper than a path can say."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_a_tree_of_5000_directories_in_each_other_is_removed(mydocker: Mydocker) -> None:
    def work() -> None:  # in memory: a disk takes its time for each
        for name in ("containers", "volumes"):
            os.makedirs(mydocker.root / name, exist_ok=True)
            tmpfs(str(mydocker.root / name), "64m")
        mydocker.ok("run", "--name", "bird", "-v", "data:/d", "true")
        (upper,) = mydocker.root.glob("containers/*/upper")
        deep(upper, 5000)
        deep(mydocker.root / "volumes/data/_data", 5000)
        assert "nested too deep" in mydocker.fails(125, "commit", "bird", "deep")
        mydocker.ok("rm", "bird")
        mydocker.ok("volume", "rm", "data")
        assert not upper.exists()

    privately(work)


def test_removing_a_tree_does_not_follow_links_or_cross_mounts(tmp_path: Path) -> None:
    def work() -> None:
        victim, tree = tmp_path / "victim", tmp_path / "tree"
        (victim / "deep").mkdir(parents=True)
        (victim / "deep/data").write_text("kept")
        (tree / "a/mount").mkdir(parents=True)
        (tree / "a/link").symlink_to(victim)
        tmpfs(str(tree / "a/mount"), "1m")
        (tree / "a/mount/data").write_text("kept")
        with pytest.raises(Exception, match="still mounted"):
            files.remove_tree(str(tree))
        assert (tree / "a/mount/data").read_text() == "kept"
        syscalls.umount2(f"{tree}/a/mount")
        files.remove_tree(str(tree))
        assert (victim / "deep/data").read_text() == "kept"
        assert not tree.exists()

    privately(work)


def test_names_are_resolved_although_directories_are_renamed(mydocker: Mydocker) -> None:
    """openat2(2) gives EAGAIN when a rename falls between the steps over a `..`."""
    script = "mkdir -p /a/b/c; cd /; while :; do mv a x; mv x a; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/a/b")))
    root = os.open(mydocker.root, os.O_PATH)
    try:
        for _ in range(300):
            path = "images/../" * 300 + "images"
            os.close(files.open_in_root(root, path))
    finally:
        os.close(root)
    mydocker.ok("rm", "-f", "bird")
