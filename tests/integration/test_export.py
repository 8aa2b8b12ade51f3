"""export: a container's files as a tar, from which `import` makes the same tree again (4.4)."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from mydocker.rootfs import layer
from mydocker.rootfs.store import Store
from mydocker.rootfs.tar import Member
from tests.conftest import LAUNCHER, Mydocker, wait_until
from tests.integration.private_mounts import privately, tmpfs

MAKE = """
mkdir -p /k/sub; cd /k; echo x > a; ln a b; ln -s a c; mkfifo d; mknod e b 7 9; mknod f c 1 3
chmod 4711 a; chown 7:8 d sub; chmod 1777 sub; touch -d @1000000000 a sub
truncate -s 5M hole; rm /etc/group; chmod 751 /; echo > /ready
"""


def export(mydocker: Mydocker, path: Path) -> tarfile.TarFile:
    """The tar of bird, written to the path."""
    mydocker.ok("export", "-o", str(path), "bird")
    return tarfile.open(path)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_import_of_it_gives_the_same_tree(
    running: bool, mydocker: Mydocker, tmp_path: Path
) -> None:
    words = ("--name", "bird", "sh", "-c", MAKE + ("exec top" if running else ""))
    mydocker.ok("run", *(["-d"] if running else []), *words)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/ready")))
    (upper,) = mydocker.root.glob("containers/*/upper")
    os.setxattr(upper / "k/a", "user.note", b"kept")
    os.setxattr(upper / "k/a", "security.capability", bytes.fromhex("01000002" + "00" * 16))
    export(mydocker, tmp_path / "tar").close()
    mydocker.ok("import", str(tmp_path / "tar"), "again")
    store = Store(str(mydocker.root))
    (base,), (again,) = store.get("busybox").layers, store.get("again").layers

    def members(top: str) -> dict[bytes, Member]:
        return {member.name: member for member, _, _ in layer.tree(top)}

    ours, image, theirs = members(str(upper)), members(base), members(again)
    assert theirs.keys() == (image.keys() | ours.keys()) - {b"etc/group"}
    for name, member in theirs.items():
        expected = ours.get(name) or image[name]
        fields = set(Member.__slots__) - {"xattrs", "mtime" if name in (b"./", b"etc/") else ""}
        for field in fields - {""}:
            assert getattr(member, field) == getattr(expected, field), (name, field)
        marks = {k: v for k, v in expected.xattrs.items() if not k.startswith(b"trusted.overlay")}
        assert member.xattrs == marks, name
    assert theirs[b"./"].mode == 0o751
    assert (Path(again) / "k/hole").stat().st_blocks * 512 < 1 << 20


def test_volumes_and_proc_stay_out(mydocker: Mydocker, tmp_path: Path) -> None:
    script = "echo > /data/in-volume; echo > /etc/covering; exec top"
    flags = ("-v", "/data", "--mount", "type=volume,dst=/etc,volume-nocopy")
    mydocker.ok("run", "-d", "--name", "bird", *flags, "sh", "-c", script)
    wait_until(lambda: list(mydocker.root.glob("volumes/*/_data/covering")))
    with export(mydocker, tmp_path / "running") as tar:
        running = tar.getnames()
    assert {"./data", "./etc/passwd", "./proc", "./dev"} <= {f"./{n}" for n in running}
    assert not [n for n in running if n.startswith(("proc/", "dev/", "sys/", "data/"))]
    assert "etc/covering" not in running
    mydocker.ok("rm", "-f", "-v", "bird")


def test_the_tar_comes_on_stdout_and_runs_again(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo told > /note")
    words = [str(LAUNCHER), "export", "bird"]
    with subprocess.Popen(words, env=mydocker.environment, stdout=subprocess.PIPE) as exporting:
        importing = subprocess.run(
            [str(LAUNCHER), "import", "-", "again"],
            env=mydocker.environment,
            stdin=exporting.stdout,
            capture_output=True,
            check=True,
        )
    assert exporting.returncode == 0, importing.stderr
    assert mydocker.ok("run", "--rm", "again", "cat", "/note") == "told\n"


def test_no_tar_is_written_to_a_terminal(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    with mydocker.terminal("export", "bird") as terminal:
        terminal.expect("a tar is nothing for a terminal")
        terminal.wait()
    assert "no such container" in mydocker.fails(125, "export", "fish")


def test_with_a_user_namespace_the_owners_are_the_containers(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    script = "echo > /x; chown 5:6 /x; echo > /ready; exec top"
    mydocker.ok("run", "-d", "--userns", "auto", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/ready")))
    with export(mydocker, tmp_path / "tar") as tar:
        assert (tar.getmember("x").uid, tar.getmember("x").gid) == (5, 6)
        assert tar.getmember("etc/passwd").uid == 0


def test_a_full_disk_leaves_no_half_tar(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    (tmp_path / "small").mkdir()

    def work() -> None:
        tmpfs(str(tmp_path / "small"), "1m")
        target = str(tmp_path / "small/tar")
        assert "no space left" in mydocker.fails(125, "export", "-o", target, "bird")
        assert os.listdir(tmp_path / "small") == []

    privately(work)


def test_a_file_that_is_removed_meanwhile_is_left_out(mydocker: Mydocker, tmp_path: Path) -> None:
    script = "mkdir /c; while :; do for n in 1 2 3 4 5 6; do echo x > /c/$n; rm /c/$n; done; done"
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/c")))
    for number in range(5):
        with export(mydocker, tmp_path / f"tar{number}") as tar:
            assert "etc/passwd" in tar.getnames()
    mydocker.ok("rm", "-f", "bird")
