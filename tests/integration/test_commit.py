"""commit: what a container changed becomes an image, and nothing else does (4.4, 5.7)."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mydocker import cgroups
from mydocker.errors import NotFound
from mydocker.lifecycle.container import Container
from mydocker.lifecycle.containers import Containers
from mydocker.lifecycle.images import unless_gone
from mydocker.rootfs.store import Store
from tests.conftest import LAUNCHER, Mydocker, wait_until


def change(mydocker: Mydocker, script: str, *flags: str, name: str = "bird") -> None:
    """Run a container called bird that changes its files, and ends."""
    mydocker.ok("run", "--name", name, *flags, "sh", "-c", script)


def shown(mydocker: Mydocker, script: str, image: str = "changed") -> str:
    """What a script prints in a container of the image."""
    return mydocker.ok("run", "--rm", image, "sh", "-c", script)


def layer(mydocker: Mydocker, image: str = "changed") -> list[str]:
    """The paths in the image's last layer."""

    top = Path(mydocker.inspect(image)["layers"][-1])
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def container(mydocker: Mydocker, name: str = "bird") -> Container:
    return Containers(str(mydocker.root)).find(name)


# What becomes a layer


def test_a_stopped_container_becomes_an_image(mydocker: Mydocker) -> None:
    change(mydocker, "echo new > /new; echo more >> /etc/passwd; mkdir -p /a/b; chmod 700 /a")
    printed = mydocker.ok("commit", "bird", "changed").strip()
    assert printed in mydocker.ok("images", "-q", "--no-trunc")
    assert shown(mydocker, "cat /new; tail -n 1 /etc/passwd; stat -c %a /a; ls /a") == (
        "new\nmore\n700\nb\n"
    )
    assert "new" not in mydocker.ok("run", "--rm", "busybox", "ls", "/")


def test_a_group_that_ended_meanwhile_is_neither_frozen_nor_thawed(mydocker: Mydocker) -> None:
    gone = cgroups.group(mydocker.cgroup_parent, "gone")
    for act in (gone.freeze, gone.thaw):
        with pytest.raises(NotFound):
            act()
        unless_gone(act)


def test_a_running_container_becomes_an_image_and_runs_on(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo 1 > /one; exec top")
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/one")))
    mydocker.ok("commit", "bird", "changed")
    assert shown(mydocker, "cat /one") == "1\n"
    assert container(mydocker).alive()
    assert not cgroups.group(mydocker.cgroup_parent, container(mydocker).id).frozen()


COUNTING = "while i=$((i+1)); do for f in a b; do echo $i > /t; mv /t /$f; done; done"


def test_the_container_stands_still_while_it_is_read(mydocker: Mydocker) -> None:
    """Two files that are always written one after the other are in the layer as of one moment."""
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", COUNTING)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/b")))
    for _ in range(5):
        mydocker.ok("commit", "bird", "changed")
        first, second = shown(mydocker, "cat /a /b").split()
        assert 0 <= int(first) - int(second) <= 1
    mydocker.ok("rm", "-f", "bird")


def test_two_commits_at_once_both_see_it_stand_still(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", COUNTING)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/b")))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: mydocker.ok("commit", "bird", f"changed{n}"), range(4)))
    for number in range(4):
        first, second = shown(mydocker, "cat /a /b", f"changed{number}").split()
        assert 0 <= int(first) - int(second) <= 1
    mydocker.ok("rm", "-f", "bird")


def test_what_was_deleted_is_not_in_the_image(mydocker: Mydocker) -> None:
    change(mydocker, "rm /etc/passwd; rm -r /usr; mkdir /tmp/x; rmdir /tmp/x")
    mydocker.ok("commit", "bird", "changed")
    assert shown(mydocker, "ls -d /etc/passwd /usr 2>/dev/null; ls /etc; ls -A /tmp") == "group\n"


def test_a_directory_made_anew_has_only_what_is_new(mydocker: Mydocker) -> None:
    change(mydocker, "rm -r /etc && mkdir /etc && echo x > /etc/new")
    mydocker.ok("commit", "bird", "changed")
    assert shown(mydocker, "ls -A /etc") == "new\n"


def test_a_file_in_the_place_of_a_directory_and_the_other_way(mydocker: Mydocker) -> None:
    change(mydocker, "rm -r /usr && echo file > /usr; rm /etc/passwd && mkdir /etc/passwd")
    mydocker.ok("commit", "bird", "changed")
    assert shown(mydocker, "cat /usr; ls -ld /etc/passwd | cut -c 1") == "file\nd\n"


def test_links_modes_owners_and_fifos_are_kept(mydocker: Mydocker) -> None:
    change(
        mydocker,
        "mkdir /k; cd /k; echo x > a; ln a b; ln -s a c; mkfifo d; chmod 4711 a; chown 7:8 d;"
        "touch -d @1000000000 a",
    )
    mydocker.ok("commit", "bird", "changed")
    script = "cd /k; stat -c '%n %h %a %u:%g %F' a b d; readlink c; stat -c %Y a"
    assert shown(mydocker, script).splitlines() == [
        "a 2 4711 0:0 regular file",
        "b 2 4711 0:0 regular file",
        "d 1 644 7:8 fifo",
        "a",
        "1000000000",
    ]


def test_a_commit_of_a_commit_has_all_layers(mydocker: Mydocker) -> None:
    change(mydocker, "echo 1 > /one; rm /etc/group")
    mydocker.ok("commit", "bird", "first")
    mydocker.ok("run", "--name", "fish", "first", "sh", "-c", "echo 2 > /two; rm /one")
    mydocker.ok("commit", "fish", "second")
    assert shown(mydocker, "ls -d /one /two /etc/group 2>/dev/null; true", "second") == "/two\n"


def test_nothing_changed_is_an_image_all_the_same(mydocker: Mydocker) -> None:
    change(mydocker, "true")
    mydocker.ok("commit", "bird", "changed")
    assert layer(mydocker) == []
    assert shown(mydocker, "echo runs") == "runs\n"


# What does not


def test_what_is_in_a_volume_stays_out(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/secret").write_text("the host's")
    (tmp_path / "file").write_text("the host's")
    flags = (f"-v={tmp_path}/volume:/v/deep", f"-v={tmp_path}/file:/etc/note", "--tmpfs=/t")
    change(mydocker, "echo x > /v/deep/x; echo x > /t/x; echo x > /x", *flags)
    mydocker.ok("commit", "bird", "changed")
    found = shown(mydocker, "find /v /t /etc/note /x 2>/dev/null; true").split()
    assert found == ["/v", "/x"]
    assert (tmp_path / "volume/x").exists()


def test_what_mydocker_mounts_leaves_no_trace(mydocker: Mydocker) -> None:
    change(mydocker, "echo x > /dev/shm/x; echo x > /x")
    mydocker.ok("commit", "bird", "changed")
    assert layer(mydocker) == ["x"]


# Which container, which image


def test_one_word_is_the_image_when_one_container_runs(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo x > /x; exec top")
    mydocker.ok("run", "--name", "fish", "true")
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/x")))
    mydocker.ok("commit", "changed")
    assert shown(mydocker, "cat /x") == "x\n"


@pytest.mark.parametrize("running", [0, 2])
def test_one_word_is_not_enough_when_none_or_two_run(running: int, mydocker: Mydocker) -> None:
    names = ["bird", "fish"][:running]
    for name in names:
        mydocker.ok("run", "-d", "--name", name, "top")
    line = mydocker.fails(125, "commit", "changed")
    assert f"{running} are running" in line
    assert all(name in line for name in names)
    assert "changed" not in mydocker.ok("images")


def test_one_word_that_is_a_container_makes_an_image_without_a_name(mydocker: Mydocker) -> None:
    change(mydocker, "echo x > /x")
    identity = mydocker.ok("commit", "bird").strip()
    assert "<none>" in mydocker.ok("images")
    assert shown(mydocker, "cat /x", identity) == "x\n"


def test_a_wrong_image_name_makes_nothing(mydocker: Mydocker) -> None:
    change(mydocker, "true")
    for name in ("UPPER", "../x", "a:b:c", "a b"):
        assert name in mydocker.fails(125, "commit", "bird", name)
    assert len(mydocker.ok("images", "-q").split()) == 1
    assert not list(mydocker.root.glob("images/tmp/*"))


def test_a_wrong_change_is_named_and_the_container_runs_on(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    assert "CAKE" in mydocker.fails(125, "commit", "-c", "CAKE now", "bird", "changed")
    assert not cgroups.group(mydocker.cgroup_parent, container(mydocker).id).frozen()


def test_changes_author_and_message_are_in_the_image(mydocker: Mydocker) -> None:

    change(mydocker, "true")
    flags = ("-a", "Ada", "-m", "why", "-c", 'CMD ["echo", "from CMD"]', "-c", "ENV a=b")
    mydocker.ok("commit", *flags, "bird", "changed")
    assert mydocker.ok("run", "--rm", "changed") == "from CMD\n"
    assert shown(mydocker, "echo $a") == "b\n"
    image = mydocker.inspect("changed")
    assert image["author"] == "Ada"
    assert image["history"][-1]["comment"] == "why"


def test_a_container_that_never_ran_can_be_committed(mydocker: Mydocker) -> None:
    mydocker.fails(127, "run", "--name", "bird", "--image", "busybox", "no-such-command")
    mydocker.ok("commit", "bird", "changed")
    assert shown(mydocker, "echo runs") == "runs\n"


# Faults


def test_a_commit_that_is_interrupted_lets_the_container_go_on(mydocker: Mydocker) -> None:
    """However often: a second Ctrl-C may come while what the first has ended is being undone."""
    mydocker.ok("run", "-d", "--name", "bird", "top")
    group = cgroups.group(mydocker.cgroup_parent, container(mydocker).id)
    for seconds in (0.05, 0, 0, 0, 0, 0, 0, 0):
        with (mydocker.root / "images/lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # so that the commit waits when it has frozen it
            commit = mydocker.start("commit", "bird", "changed")
            wait_until(group.frozen)
            while commit.poll() is None:
                commit.send_signal(2)
                time.sleep(seconds)
        _, told = commit.communicate(timeout=30)
        assert (commit.returncode, told) == (130, "")
        assert not group.frozen()
        assert len(mydocker.ok("images", "-q").split()) == 1
        assert not list(mydocker.root.glob("images/tmp/*"))


def test_a_killed_commit_leaves_a_frozen_container_that_can_be_repaired(
    mydocker: Mydocker,
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    group = cgroups.group(mydocker.cgroup_parent, container(mydocker).id)
    killed = mydocker.run("commit", "bird", "changed", MYDOCKER_FAULT="mydocker:2:kill")
    assert killed.returncode == -9
    assert group.frozen()
    assert "bird, frozen" in mydocker.run("system", "check").stdout
    mydocker.run("system", "check", "--repair")
    assert not group.frozen()
    assert mydocker.run("system", "check").returncode == 0
    assert container(mydocker).alive()


def test_a_container_frozen_by_a_killed_commit_can_be_removed(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    mydocker.run("commit", "bird", "changed", MYDOCKER_FAULT="mydocker:2:kill")
    mydocker.ok("rm", "-f", "bird")


# Two containers of one image (5.7)


def test_two_containers_do_not_see_each_others_files(mydocker: Mydocker) -> None:
    for name in ("bird", "fish"):
        script = f"echo {name} > /mine; echo {name} >> /etc/passwd; exec top"
        mydocker.ok("run", "-d", "--name", name, "sh", "-c", script)
    wait_until(lambda: len(list(mydocker.root.glob("containers/*/upper/mine"))) == 2)
    for name in ("bird", "fish"):
        mydocker.ok("commit", name, f"of-{name}")
        seen = shown(mydocker, "cat /mine; tail -n 1 /etc/passwd; grep -c . /mine", f"of-{name}")
        assert seen == f"{name}\n{name}\n1\n"
    assert "mine" not in shown(mydocker, "ls /", "busybox")


def test_the_layers_of_the_image_are_never_written_to(mydocker: Mydocker) -> None:
    (lower,) = mydocker.root.glob("images/layers/*/diff")
    command = ["tar", "-C", str(lower), "--sort=name", "-cf", "-", "."]
    before = subprocess.run(command, capture_output=True, check=True).stdout
    change(mydocker, "echo x >> /etc/passwd; chmod 777 /bin; rm /etc/group; touch /bin/busybox")
    assert subprocess.run(command, capture_output=True, check=True).stdout == before


def test_a_running_commit_can_go_to_a_pipe_that_closes(mydocker: Mydocker) -> None:
    change(mydocker, "true")
    shell = f"{LAUNCHER} commit bird changed | true"
    done = subprocess.run(
        ["sh", "-c", shell], env=os.environ | mydocker.environment, capture_output=True, check=False
    )
    assert done.stderr == b""


# What the image says, and what is read


def configuration(mydocker: Mydocker, image: str = "changed") -> dict[str, Any]:
    """The configuration of an image, in OCI's words."""
    config = Store(str(mydocker.root)).get(image).config.to_json()["config"]
    assert isinstance(config, dict)
    return config


def test_the_image_is_run_as_the_container_was(mydocker: Mydocker) -> None:
    flags = ("-e", "A=b", "-w", "/tmp", "-u", "daemon", "--label", "x=y", "--stop-signal", "INT")
    mydocker.ok("run", "--name", "bird", *flags, "sh", "-c", "exit 0")
    mydocker.ok("commit", "-a", "me", "-m", "a change", "bird", "changed")
    assert configuration(mydocker) == {
        "Cmd": ["sh", "-c", "exit 0"],
        "Env": ["A=b"],
        "Labels": {"x": "y"},
        "StopSignal": "SIGINT",
        "User": "daemon",
        "WorkingDir": "/tmp",
    }
    document = Store(str(mydocker.root)).get("changed").config.to_json()
    assert (document["author"], document["history"][-1]["comment"]) == ("me", "a change")
    # What an image says of an entrypoint is kept apart from the words after it.
    mydocker.ok("commit", "-c", 'ENTRYPOINT ["echo", "hello"]', "-c", "CMD you", "bird", "entry")
    mydocker.ok("rm", "bird")
    mydocker.ok("run", "--name", "bird", "-t", "--image", "entry", "world")
    mydocker.ok("commit", "bird", "again")
    found = configuration(mydocker, "again")
    assert (found["Entrypoint"], found["Cmd"], found["Env"]) == (
        ["echo", "hello"],
        ["world"],
        ["A=b"],
    )


def test_every_change_is_made(mydocker: Mydocker) -> None:
    change(mydocker, "true")
    changes = [
        'CMD ["c", "d"]',
        'ENTRYPOINT ["e"]',
        "ENV A=1 B=2",
        "WORKDIR /w",
        "USER 7:8",
        "EXPOSE 80 53/udp",
        "VOLUME /v",
        "LABEL l=m",
    ]
    flags = [word for text in changes for word in ("-c", text)]
    mydocker.ok("commit", *flags, "bird", "changed")
    assert configuration(mydocker) == {
        "Cmd": ["c", "d"],
        "Entrypoint": ["e"],
        "Env": ["A=1", "B=2"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Labels": {"l": "m"},
        "User": "7:8",
        "Volumes": {"/v": {}},
        "WorkingDir": "/w",
    }


def test_without_a_pause_it_runs_on_meanwhile(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo x > /x; exec top")
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/x")))
    for flag, word in (("--pause=false", False), ("--pause", True)):
        told = mydocker.run("--explain", "commit", flag, "bird", "changed").stderr
        frozen = [line for line in told.splitlines() if "freeze" in line or "FROZEN" in line]
        assert bool(frozen) == word
    assert shown(mydocker, "cat /x") == "x\n"


def test_a_small_change_of_a_big_image_does_not_read_the_image(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    """Counted in bytes: all that mydocker reads, its own modules included."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(1 << 30)
    words = ["tar", "--sparse", "-C", str(tmp_path), "-cf", str(tmp_path / "big.tar"), "big"]
    subprocess.run(words, check=True)
    store = Store(str(mydocker.root))
    tar = (tmp_path / "big.tar").open("rb")
    with tar:
        store.add(store.get("busybox"), lambda: tar.read(1 << 16), "big")
    mydocker.ok("run", "--name", "bird", "big", "sh", "-c", "stat -c %s /big; echo > /small")
    words = [str(LAUNCHER), "commit", "bird", "changed"]
    process = subprocess.Popen(words, env=mydocker.environment, stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    counted = dict(
        line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines()
    )
    assert process.wait() == 0
    assert 100_000 < int(counted["rchar"]) < 20_000_000
    assert layer(mydocker) == ["small"]
