"""diff: exactly what a container changed, in Docker's words (4.4)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mydocker.rootfs.diff import diff
from tests.conftest import LAUNCHER, Mydocker, wait_until
from tests.integration.private_mounts import overlay, privately


def changed(mydocker: Mydocker, script: str, *flags: str, running: bool = False) -> list[str]:
    """What `diff` tells of a container that ran the script."""
    if running:
        words = (*flags, "sh", "-c", f"{script}; echo > /tmp/ready; exec top")
        mydocker.ok("run", "-d", "--name", "bird", *words)
        wait_until(lambda: list(mydocker.root.glob("containers/*/upper/tmp/ready")))
        lines = mydocker.ok("diff", "bird").splitlines()
        return [line for line in lines if line not in ("C /tmp", "A /tmp/ready")]
    mydocker.ok("run", "--name", "bird", *flags, "sh", "-c", script)
    return mydocker.ok("diff", "bird").splitlines()


SCRIPTS = {
    "nothing": ("true", []),
    "added": ("mkdir -p /n/m; echo > /n/m/f", ["A /n", "A /n/m", "A /n/m/f"]),
    "changed": ("echo x >> /etc/passwd", ["C /etc", "C /etc/passwd"]),
    "deleted": ("rm /etc/group", ["C /etc", "D /etc/group"]),
    "mode": ("chmod 700 /home", ["C /home"]),
    "owner": ("chown 7:8 /etc/passwd", ["C /etc", "C /etc/passwd"]),
    "only opened": (": >> /etc/passwd", []),
    "only touched": ("touch /home", []),
    "a whole directory": ("rm -r /usr", ["D /usr"]),
    "a directory anew": (
        "rm -r /etc; mkdir /etc; echo new > /etc/new; echo > /etc/passwd",
        ["C /etc", "D /etc/group", "A /etc/new", "C /etc/passwd"],
    ),
    "a file for a directory": ("rm -r /usr; echo > /usr", ["C /usr"]),
    "a directory for a file": (
        "rm /etc/passwd; mkdir /etc/passwd; echo > /etc/passwd/x",
        ["C /etc", "C /etc/passwd", "A /etc/passwd/x"],
    ),
    "renamed": (
        "mv /usr/bin /bins; mkdir /one; mv /one /two",
        ["A /bins", "A /bins/env", "A /bins/stress", "A /two", "C /usr", "D /usr/bin"],
    ),
    "made and removed": ("echo > /x; rm /x; mkdir /y; rmdir /y", []),
    "special files": (
        "cd /home; mkfifo p; mknod d b 7 0; ln -s x l",
        ["C /home", "A /home/d", "A /home/l", "A /home/p"],
    ),
    "order": (
        "cd /home; mkdir b a.c a; echo > a/x; echo > b/x",
        ["C /home", "A /home/a", "A /home/a/x", "A /home/a.c", "A /home/b", "A /home/b/x"],
    ),
}


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_told(name: str, running: bool, mydocker: Mydocker) -> None:
    script, told = SCRIPTS[name]
    assert changed(mydocker, script, running=running) == told


def test_what_is_mounted_is_left_out(mydocker: Mydocker, tmp_path: Path) -> None:
    flags = ("-v", "/data", "-v", "data:/home", "-v", f"{tmp_path}:/mnt/host", "--tmpfs", "/t")
    script = "for d in /data /home /mnt/host /t /dev/shm; do echo > $d/x; done; echo > /own"
    assert changed(mydocker, script, *flags) == ["A /own"]
    mydocker.ok("rm", "-v", "bird")


def test_names_cannot_reach_the_terminal_raw(mydocker: Mydocker) -> None:
    assert changed(mydocker, "echo > $(printf '/a\\033[2J')") == ["A /a\\x1b[2J"]


def test_a_container_that_never_ran_has_changed_nothing(mydocker: Mydocker) -> None:
    mydocker.run("run", "--name", "bird", "no-such-command")
    assert mydocker.ok("diff", "bird") == ""
    assert "no such container" in mydocker.fails(125, "diff", "fish")


def test_layers_below_count_as_one(tmp_path: Path) -> None:
    """What a layer deletes or hides is not there for those above it."""

    def work() -> None:
        paths = [str(tmp_path / name) for name in ("low", "high", "upper", "work", "merged")]
        low, high, upper, working, merged = paths
        for path in paths:
            os.mkdir(path)
        base = Path(merged)
        for name in ("deleted", "kept", "hidden/one", "hidden/two", "dir/a"):
            (Path(low) / name).parent.mkdir(exist_ok=True)
            (Path(low) / name).write_text("low")
        os.mkdir(tmp_path / "w1")
        overlay(merged, [low], high, str(tmp_path / "w1"))
        (base / "deleted").unlink()
        subprocess.run(["rm", "-r", str(base / "hidden")], check=True)
        (base / "hidden").mkdir()
        (base / "hidden/new").write_text("high")
        (base / "dir/b").write_text("high")
        subprocess.run(["umount", merged], check=True)
        overlay(merged, [low, high], upper, working)
        (base / "deleted").write_text("again")
        (base / "hidden/one").write_text("again")
        (base / "kept").unlink()
        subprocess.run(["rm", "-r", str(base / "dir")], check=True)
        (base / "dir").mkdir()
        subprocess.run(["umount", merged], check=True)
        assert diff([low, high], upper) == [
            ("A", b"/deleted"),
            ("C", b"/dir"),
            ("D", b"/dir/a"),
            ("D", b"/dir/b"),
            ("C", b"/hidden"),
            ("A", b"/hidden/one"),
            ("D", b"/kept"),
        ]

    privately(work)


def test_only_the_upper_layer_is_read(mydocker: Mydocker, tmp_path: Path) -> None:
    """Of the image, single names are asked for: no directory of it is opened, and no file."""
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo x >> /etc/passwd; rm /etc/group")
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=open,openat,openat2"]
    done = subprocess.run(
        [*words, str(LAUNCHER), "diff", "bird"],
        env=mydocker.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "C /etc\nD /etc/group\nC /etc/passwd\n"
    opened = [line for line in trace.read_text().splitlines() if "/layers/" in line]
    assert opened == []
