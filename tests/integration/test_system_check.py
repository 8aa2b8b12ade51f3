"""`system check` finds each kind of leftover, and `--repair` removes it and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker import cgroups
from mydocker.spec import Resources
from tests.conftest import LAUNCHER, Mydocker, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = 2**22 + 1
"""A pid that no process has: it is above the kernel's largest."""


@pytest.fixture(autouse=True)
def bystanders(mydocker: Mydocker) -> Iterator[None]:
    """A container that runs and one that has ended: whatever is repaired, they stay as they are."""
    mydocker.ok("run", "-d", "--name", "living", "sh", "-c", "echo mine > /mine; exec top")
    mydocker.ok("run", "--name", "ended", "sh", "-c", "echo mine > /mine")
    wait_until(lambda: len(list(mydocker.root.glob("containers/*/upper/mine"))) == 2)
    assert mydocker.ok("system", "check") == "clean: nothing of mydocker's is left over\n"
    yield
    assert mydocker.ok("system", "check") == "clean: nothing of mydocker's is left over\n"
    assert len(list(mydocker.root.glob("containers/*/upper/mine"))) == 2
    assert len(mydocker.ok("ps", "-q").split()) == 1
    assert len(mydocker.ok("ps", "-aq").split()) == 2
    assert mydocker.ok("run", "--rm", "echo", "works") == "works\n"


def rewrite(mydocker: Mydocker, name: str, **fields: object) -> None:
    """Change a record, as if history had been another."""
    path = mydocker.root / "containers" / os.readlink(mydocker.root / "names" / name)
    text = json.loads((path / "container.json").read_text()) | fields
    (path / "container.json").write_text(json.dumps(text))


def repaired(mydocker: Mydocker, expected: str) -> None:
    """`system check` lists this one thing, `--repair` removes it, and then there is nothing."""
    found = mydocker.run("system", "check")
    assert found.returncode == 1
    assert len(found.stdout.splitlines()) == 1, found.stdout
    assert expected in found.stdout
    again = mydocker.run("system", "check", "--repair")
    assert (again.returncode, again.stdout, again.stderr) == (0, found.stdout, "")


# Control groups


def test_a_group_without_a_container(mydocker: Mydocker) -> None:
    group = cgroups.group(mydocker.cgroup_parent, "forgotten")
    group.create(Resources())
    repaired(mydocker, f"cgroup: {mydocker.cgroup_parent}/forgotten\n")
    assert not any(map(os.path.isdir, group.directories()))


def test_a_group_with_processes_that_nobody_watches(mydocker: Mydocker) -> None:
    group = cgroups.group(mydocker.cgroup_parent, "forgotten")
    group.create(Resources())
    child = subprocess.Popen(["sleep", "99"])
    group.add(child.pid)
    repaired(mydocker, f"forgotten, with the processes {child.pid}\n")
    assert child.wait() == -signal.SIGKILL


def test_the_group_of_a_container_that_has_ended(mydocker: Mydocker) -> None:
    group = cgroups.group(mydocker.cgroup_parent, str(mydocker.inspect("ended")["id"]))
    group.create(Resources())
    repaired(mydocker, f"cgroup: {group.path}\n")


def test_a_group_elsewhere_is_not_mydockers(mydocker: Mydocker) -> None:
    group = cgroups.group(f"{mydocker.cgroup_parent}-other", "container")
    group.create(Resources())
    try:
        assert mydocker.run("system", "check", "--repair").stdout.startswith("clean")
        assert all(map(os.path.isdir, group.directories()))
    finally:
        group.remove()


def test_containers_of_another_state_root_are_left_alone(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    """Two state roots may share the parent of the control groups."""
    other = ("--root", f"{tmp_path}/other")
    shutil.copytree(mydocker.root / "images", tmp_path / "other/images", symlinks=True)
    mydocker.ok(*other, "run", "-d", "--name", "theirs", "top")
    running = mydocker.start(*other, "run", "--rm", "-i", "cat", stdin=subprocess.PIPE)
    wait_until(lambda: len(mydocker.ok(*other, "ps", "-q").split()) == 2)
    assert mydocker.run("system", "check", "--repair").stdout.startswith("clean")
    assert len(mydocker.ok(*other, "ps", "-q").split()) == 2
    assert running.communicate("still there", timeout=20)[0] == "still there"
    mydocker.ok(*other, "rm", "-f", "theirs")


# Directories, names, records


def test_a_directory_without_a_record(mydocker: Mydocker) -> None:
    (mydocker.root / "containers" / ("0" * 64) / "upper").mkdir(parents=True)
    repaired(mydocker, f"directory: {mydocker.root}/containers/000")
    assert len(list(mydocker.root.glob("containers/*"))) == 2


@pytest.mark.parametrize("ending", ["new", "removed"])
def test_a_creation_or_a_removal_that_stopped_half_way(ending: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    identity = str(mydocker.inspect("bird")["id"])
    directory = mydocker.root / "containers" / identity
    directory.rename(f"{directory}.{ending}")
    found = mydocker.run("system", "check").stdout.splitlines()
    assert f"directory: {directory}.{ending}" in found
    assert mydocker.run("system", "check", "--repair").returncode == 0
    assert not (mydocker.root / "names/bird").is_symlink()
    assert not Path(f"{directory}.{ending}").exists()


def test_a_creation_or_a_removal_that_goes_on_is_left_alone(mydocker: Mydocker) -> None:
    """Who is at work holds the lock, and the check waits for it."""
    (mydocker.root / "containers" / f"{'0' * 64}.new").mkdir()
    holder = subprocess.Popen(
        ["flock", "-s", str(mydocker.root / "containers.lock"), "sh", "-c", "echo held; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    assert mydocker.ok("run", "--rm", "echo", "goes on") == "goes on\n"
    assert list(mydocker.root.glob("containers/*.new"))
    check = mydocker.start("system", "check")
    with pytest.raises(subprocess.TimeoutExpired):
        check.wait(0.3)
    (mydocker.root / "containers" / f"{'0' * 64}.new").rmdir()
    holder.communicate("\n")
    told, _ = check.communicate(timeout=20)
    assert told.startswith("clean")


def test_the_next_run_clears_what_stopped_half_way(mydocker: Mydocker) -> None:
    (mydocker.root / "containers" / f"{'0' * 64}.new" / "rootfs").mkdir(parents=True)
    (mydocker.root / "containers" / f"{'1' * 64}.removed" / "upper").mkdir(parents=True)
    mydocker.ok("run", "--rm", "true")
    assert len(list(mydocker.root.glob("containers/*"))) == 2


def test_a_name_that_leads_nowhere(mydocker: Mydocker) -> None:
    (mydocker.root / "names/bird").symlink_to("0" * 64)
    repaired(mydocker, "name: bird\n")
    assert sorted(p.name for p in (mydocker.root / "names").iterdir()) == ["ended", "living"]


def test_a_record_of_a_dead_container_that_was_to_be_removed(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    rewrite(mydocker, "bird", autoRemove=True, monitorPid=GONE)
    repaired(mydocker, "container: bird, whose monitor is gone\n")
    assert "bird" not in mydocker.ok("ps", "-a")


def test_a_record_that_says_running(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    rewrite(mydocker, "bird", status="running", pid=GONE, monitorPid=GONE)
    repaired(mydocker, "container: bird, whose monitor is gone\n")
    assert mydocker.inspect("bird")["exitCode"] == 137
    mydocker.ok("rm", "bird")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 3}'])
def test_a_record_that_cannot_be_read(text: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo precious > /data")
    directory = mydocker.root / "containers" / str(mydocker.inspect("bird")["id"])
    (directory / "container.json").write_text(text)
    repaired(mydocker, f"{directory}/container.json")
    (aside,) = (mydocker.root / "damaged").iterdir()
    assert (aside / "upper/data").read_text() == "precious\n"
    assert not (mydocker.root / "names/bird").is_symlink()


def test_a_running_container_whose_record_cannot_be_read(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    known = mydocker.inspect("bird")
    path = mydocker.root / "containers" / str(known["id"]) / "container.json"
    path.write_text("garbage")
    assert str(path) in mydocker.run("system", "check").stdout
    assert mydocker.run("system", "check", "--repair").returncode == 0
    wait_until(lambda: not Path(f"/proc/{known['pid']}").exists())
    wait_until(lambda: not Path(f"/proc/{known['monitorPid']}").exists())


def test_a_file_among_the_containers(mydocker: Mydocker) -> None:
    (mydocker.root / "containers/stray").write_text("what is this?")
    assert mydocker.run("system", "check").returncode == 1
    assert mydocker.run("system", "check", "--repair").returncode == 0


# Processes


def test_a_monitor_whose_container_was_deleted_by_hand(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    known = mydocker.inspect("bird")
    shutil.rmtree(mydocker.root / "containers" / str(known["id"]))
    found = mydocker.run("system", "check").stdout
    assert (
        f"process: {known['monitorPid']} monitors {str(known['id'])[:12]}, which is gone" in found
    )
    assert "name: bird" in found
    assert mydocker.run("system", "check", "--repair").returncode == 0
    wait_until(lambda: not Path(f"/proc/{known['pid']}").exists())


def command_line(pid: int) -> bytes:
    """The words of a process; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_container_that_outlives_its_monitor(mydocker: Mydocker) -> None:
    script = (
        "cp /bin/busybox /tmp/sleep; chown 7 /tmp/sleep; chmod 4755 /tmp/sleep; exec /tmp/sleep 99"
    )
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", script)
    known = mydocker.inspect("bird")
    wait_until(lambda: b"/tmp/sleep" in command_line(known["pid"]))
    os.kill(int(str(known["monitorPid"])), signal.SIGKILL)
    repaired(mydocker, "container: bird, whose monitor is gone\n")
    assert not command_line(known["pid"])
    mydocker.ok("rm", "bird")


# Mounts


def in_mount_namespace(script: str, mydocker: Mydocker) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a private mount namespace, with $mydocker and $root."""
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env=mydocker.environment | {"mydocker": str(LAUNCHER), "root": str(mydocker.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_mount_below_a_containers_directory(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/precious").write_text("")
    identity = mydocker.inspect("ended")["id"]
    done = in_mount_namespace(
        f"""
        mount --bind {tmp_path}/data $root/containers/{identity}/rootfs
        $mydocker system check
        $mydocker system check --repair > /dev/null; echo "exit $?"
        grep -c $root/containers /proc/self/mountinfo
        """,
        mydocker,
    )
    expected = f"mount: {mydocker.root}/containers/{identity}/rootfs\nexit 0\n0\n"
    assert (done.stdout, done.stderr) == (expected, "")
    assert (tmp_path / "data/precious").exists()


def test_mounts_that_the_owner_made_are_left_alone(mydocker: Mydocker) -> None:
    """The state root itself, or the images, may lie on a disk of their own."""
    done = in_mount_namespace(
        """
        mount --bind $root $root
        mount --bind $root/images $root/images
        mount --bind $root/containers $root/containers
        $mydocker system check --repair
        grep -c " $root" /proc/self/mountinfo
        """,
        mydocker,
    )
    assert done.stdout == "clean: nothing of mydocker's is left over\n3\n"


def test_a_dead_container_with_a_mount_below_it_loses_the_mount_first(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    rewrite(mydocker, "bird", autoRemove=True, monitorPid=GONE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/precious").write_text("")
    directory = mydocker.root / "containers" / os.readlink(mydocker.root / "names/bird")
    done = in_mount_namespace(
        f"""
        mount --bind {tmp_path}/data {directory}/upper
        $mydocker system check --repair; echo "exit $?"
        """,
        mydocker,
    )
    assert done.stdout.endswith("exit 0\n"), done
    assert (tmp_path / "data/precious").exists()
    assert not directory.exists()


# Images


def test_half_a_layer_and_what_no_image_uses(mydocker: Mydocker) -> None:
    images = mydocker.root / "images"
    (images / "tmp/abandoned/diff").mkdir(parents=True)
    (images / "layers" / ("0" * 64) / "diff").mkdir(parents=True)
    (images / "blobs/sha256" / ("0" * 64)).write_text("{}")
    found = mydocker.run("system", "check").stdout.splitlines()
    assert len(found) == 3
    assert all(line.startswith("image: ") for line in found)
    assert mydocker.run("system", "check", "--repair").returncode == 0
    assert not list(images.glob("tmp/*"))


def test_what_cannot_be_repaired_is_still_told(mydocker: Mydocker) -> None:
    (blob,) = (mydocker.root / "images/blobs/sha256").iterdir()
    whole = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(b"{}")
    done = mydocker.run("system", "check", "--repair")
    assert done.returncode == 1
    assert done.stdout.startswith("image: ")
    assert done.stderr.startswith("mydocker: system check: image: ")
    blob.write_bytes(whole)


# Everything at once


def test_all_of_it_at_once_and_by_two(mydocker: Mydocker) -> None:
    for name in ("b1", "b2", "b3"):
        mydocker.ok("run", "--name", name, "true")
        rewrite(mydocker, name, status="running", pid=GONE, monitorPid=GONE, autoRemove=True)
    for number in range(5):
        (mydocker.root / "containers" / (f"{number}" * 64)).mkdir()
        (mydocker.root / "names" / f"lost{number}").symlink_to("f" * 64)
        cgroups.group(mydocker.cgroup_parent, f"lost{number}").create(Resources())
    both = [mydocker.start("system", "check", "--repair") for _ in range(2)]
    for each in both:
        _, told = each.communicate(timeout=60)
        assert (each.returncode, told) == (0, "")


def test_without_any_state_it_is_clean(mydocker: Mydocker, tmp_path: Path) -> None:
    assert mydocker.ok("--root", f"{tmp_path}/none", "system", "check").startswith("clean")


def test_a_cgroup_parent_whose_last_group_was_just_removed(mydocker: Mydocker) -> None:
    parent = f"{mydocker.cgroup_parent}-idle"
    group = cgroups.group(parent, "one")
    group.create(Resources())
    for directory in group.directories():
        os.rmdir(directory)  # as if a mydocker had been killed before it removed the parent
    check = ("--cgroup-parent", parent, "system", "check")
    found = mydocker.run(*check)
    assert found.returncode == 1
    assert set(found.stdout.splitlines()) == {
        f"cgroup: {path}" for path in cgroups.idle_parents(parent)
    }
    assert mydocker.run(*check, "--repair").returncode == 0
    assert mydocker.run(*check).returncode == 0
