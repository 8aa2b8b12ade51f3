"""The book's commands, to the letter: typed at a terminal, in the checkout, as `build/mydocker …`.

Section numbers are the book's. After each the host's mounts are those from before (fixture).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from mydocker import cgroups
from tests.conftest import Mydocker, at_terminal, wait_until

PROMPT = r"/ # (\x1b\[6n)?"  # busybox's line editor asks where the cursor is


class Terminal:
    """A terminal in which a command line of the book is typed."""

    def __init__(self, mydocker: Mydocker, line: str) -> None:
        self.spawned = at_terminal(["/bin/sh", "-c", line], mydocker.environment)

    def type(self, line: str) -> str:
        """Type at the container's prompt; what is printed until the next one."""
        self.spawned.expect(PROMPT)
        self.spawned.sendline(line)
        self.spawned.expect_exact(line)
        self.spawned.expect(r"(?s)(.*?)(?=/ # )")
        return (self.spawned.match[1] if self.spawned.match else "").replace("\r\n", "\n").strip()  # type: ignore[index]  # pexpect's match

    def leave(self) -> int:
        """Type `exit`; the command's exit status."""
        self.spawned.expect(PROMPT)
        self.spawned.sendline("exit")
        return self.end()

    def end(self) -> int:
        """Wait for the end; the exit status."""
        self.spawned.expect(pexpect.EOF)
        self.spawned.close()
        assert self.spawned.exitstatus is not None, f"signal {self.spawned.signalstatus}"
        return self.spawned.exitstatus


def typed(mydocker: Mydocker, line: str) -> str:
    """Type a command that ends by itself, at a second terminal; what it prints."""
    terminal = Terminal(mydocker, line)
    terminal.spawned.expect(pexpect.EOF)
    printed = terminal.spawned.before
    terminal.spawned.close()
    assert terminal.spawned.exitstatus == 0, printed
    return str(printed).replace("\r\n", "\n")


def the_one(mydocker: Mydocker) -> dict[str, Any]:
    """The record of the one container that runs."""
    wait_until(lambda: mydocker.ok("ps", "-q"))
    (identity,) = mydocker.ok("ps", "-q").split()
    return mydocker.inspect(identity)


def group_of(mydocker: Mydocker, record: dict[str, Any]) -> cgroups.Cgroup:
    return cgroups.group(mydocker.cgroup_parent, str(record["id"]))


# 3.2: limits

STRESS = "build/mydocker run -ti -cpushare 256 -m 100m stress --vm-bytes 20m --vm-keep --vm 1"


def test_3_2_stress_runs_below_its_limit(mydocker: Mydocker) -> None:
    terminal = Terminal(mydocker, STRESS)
    terminal.spawned.expect(r"stress: info: \[1\] dispatching hogs: 0 cpu, 0 io, 1 vm, 0 hdd")
    group = group_of(mydocker, the_one(mydocker))
    if group.has("memory.max"):
        assert group.number("memory.max") == 100 << 20
        assert group.number("memory.swap.max") == 0
        assert group.number("cpu.weight") == 35
    else:
        assert group.number("memory.limit_in_bytes") == 100 << 20
        assert group.number("memory.memsw.limit_in_bytes", 100 << 20) == 100 << 20
        assert group.number("cpu.shares") == 256
    wait_until(lambda: group.statistics().memory_usage > 20 << 20)
    assert group.statistics().memory_usage < 60 << 20
    terminal.spawned.send("\x03")
    assert terminal.end() != 0
    assert not any(map(os.path.isdir, group.directories()))


def test_3_2_stress_above_its_limit_is_killed_and_says_so(mydocker: Mydocker) -> None:
    line = STRESS.replace("--vm-bytes 20m", "--vm-bytes 200m")
    terminal = Terminal(mydocker, line)
    # The seed's own words: stress: FAIL: [1] (416) <-- worker 5 got signal 9
    terminal.spawned.expect(r"stress: FAIL: \[1\] \(\d+\) <-- worker \d+ got signal 9")
    assert terminal.end() == 1
    (identity,) = mydocker.ok("ps", "-aq").split()
    record = mydocker.inspect(identity)
    assert record["oomKilled"] is True


def test_3_2_256_against_512_shares_are_one_to_two(mydocker: Mydocker) -> None:
    """On one processor, which both want whole: what each got, by the kernel's own account."""
    groups = []
    for shares in (256, 512):
        line = f"build/mydocker run -d -cpuset 0 -cpushare {shares} stress --cpu 1"
        identity = typed(mydocker, line).strip()
        groups.append(cgroups.group(mydocker.cgroup_parent, identity))
    wait_until(lambda: all(group.statistics().cpu_nanoseconds > 10**8 for group in groups))
    before = [group.statistics().cpu_nanoseconds for group in groups]

    def used() -> list[int]:
        now = [group.statistics().cpu_nanoseconds for group in groups]
        return [new - old for new, old in zip(now, before, strict=True)]

    # As much work as it takes, not as much time: other processes may want this processor too.
    wait_until(lambda: used()[1] > 2 * 10**9, 60)
    small, large = used()
    expected = 59 / 35 if groups[0].has("cpu.weight") else 2.0
    assert expected * 0.8 < large / small < expected * 1.25


def test_3_2_alone_a_small_share_gets_all_there_is(mydocker: Mydocker) -> None:
    """cpu.shares is a weight among those that compete: with nobody beside it, it is no limit."""
    line = "build/mydocker run -d -cpuset 0 -cpushare 2 stress --cpu 1"
    group = cgroups.group(mydocker.cgroup_parent, typed(mydocker, line).strip())
    wait_until(lambda: group.statistics().cpu_nanoseconds > 2 * 10**8)


# 4.1: a root of its own


def test_4_1_a_shell_in_a_root_of_its_own(mydocker: Mydocker) -> None:
    terminal = Terminal(mydocker, "build/mydocker run -ti sh")
    assert re.search(r"^ +1 root .* sh$", terminal.type("ps"), re.MULTILINE)
    identity = the_one(mydocker)["id"]
    assert terminal.type("hostname") == identity[:12]
    assert set(terminal.type("ls /").split()) >= {"bin", "dev", "etc", "proc", "sys"}
    mounts = terminal.type("cat /proc/self/mountinfo")
    assert "- overlay overlay" in mounts
    assert "/sys/fs/cgroup" in mounts
    image = mydocker.inspect("busybox")
    assert sorted(terminal.type("ls -A /").split()) == sorted(
        {*os.listdir(image["layers"][0]), "dev", "proc", "sys"}
    )
    assert terminal.type("echo $$; readlink /proc/self/exe") == "1\n/bin/busybox"
    # The old root is gone: nothing in the mount table lies outside of the container's own root.
    assert str(mydocker.root.parent) not in re.sub(r"(lower|upper|work)dir=\S+", "", mounts)
    assert terminal.leave() == 0


# 4.3: a volume


@pytest.fixture
def root_volume() -> Iterator[Path]:
    """The seed's own /root/volume; afterwards it is gone, unless it was there before."""
    path = Path("/root/volume")
    was_there = path.exists()
    yield path
    if not was_there and path.exists():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()


def test_4_3_a_volume_is_the_hosts_directory(mydocker: Mydocker, root_volume: Path) -> None:
    name = f"mydocker-test-{os.getpid()}"
    line = "build/mydocker run -ti -v /root/volume:/containerVolume sh"
    terminal = Terminal(mydocker, line)
    try:
        terminal.type(f"echo hello > /containerVolume/{name}")
        assert (root_volume / name).read_text() == "hello\n"
        (root_volume / name).write_text("from the host\n")
        assert terminal.type(f"cat /containerVolume/{name}") == "from the host"
        assert terminal.leave() == 0
        assert (root_volume / name).read_text() == "from the host\n"
        again = Terminal(mydocker, line)
        assert again.type(f"cat /containerVolume/{name}") == "from the host"
        assert again.leave() == 0
        typed(mydocker, "build/mydocker rm -f $(build/mydocker ps -aq)")
        assert (root_volume / name).read_text() == "from the host\n"
    finally:
        (root_volume / name).unlink(missing_ok=True)


# 4.4: commit, from another terminal


def test_4_4_commit_from_a_second_terminal(mydocker: Mydocker) -> None:
    terminal = Terminal(mydocker, "build/mydocker run -ti sh")
    terminal.type("echo changed > /note; rm /etc/group")
    assert typed(mydocker, "build/mydocker commit myimage").startswith("sha256:")
    assert "myimage" in typed(mydocker, "build/mydocker images")
    assert terminal.type("echo still here") == "still here"
    assert terminal.leave() == 0
    changed = Terminal(mydocker, "build/mydocker run -ti myimage sh")
    assert changed.type("cat /note; ls /etc") == "changed\npasswd"
    assert changed.leave() == 0


# 5.7: containers do not see each other's files


def test_5_7_two_containers_at_once_are_isolated(mydocker: Mydocker) -> None:
    first = Terminal(mydocker, "build/mydocker run -ti sh")
    second = Terminal(mydocker, "build/mydocker run -ti sh")
    first.type("echo first > /mine; rm /etc/passwd")
    second.type("echo second > /mine")
    assert first.type("cat /mine; ls /etc") == "first\ngroup"
    assert second.type("cat /mine; ls /etc").split() == ["second", "group", "passwd"]
    assert "second" not in first.type("ps")
    assert (first.leave(), second.leave()) == (0, 0)
    third = Terminal(mydocker, "build/mydocker run -ti sh")
    assert third.type("ls -d /mine /etc/passwd 2>/dev/null") == "/etc/passwd"
    third.leave()


# 5.8: the environment


def test_5_8_the_environment_is_what_was_asked_for(mydocker: Mydocker) -> None:
    terminal = Terminal(mydocker, "build/mydocker run -ti -e bird=123 -e luck=bird sh")
    found = dict(line.partition("=")[::2] for line in terminal.type("env").splitlines())
    assert (found["bird"], found["luck"]) == ("123", "bird")
    assert found["HOSTNAME"] == the_one(mydocker)["id"][:12]
    allowed = {"PATH", "HOSTNAME", "TERM", "HOME", "PWD", "SHLVL", "bird", "luck"}
    assert set(found) <= allowed
    assert terminal.leave() == 0


# 5.4: into a container that runs


def test_5_4_a_second_shell_in_a_running_container(mydocker: Mydocker) -> None:
    typed(mydocker, "build/mydocker run -d --name bird top")
    assert " Up " in typed(mydocker, "build/mydocker ps").splitlines()[1]
    terminal = Terminal(mydocker, "build/mydocker exec bird sh")
    listed = terminal.type("ps")
    assert re.search(r"^ +1 root +top$", listed, re.MULTILINE)
    assert re.search(r"^ +\d+ root .* sh$|^ +\d+ root +sh$", listed, re.MULTILINE)
    bird = the_one(mydocker)
    assert terminal.type("hostname") == bird["id"][:12]
    for name in ("mnt", "uts", "ipc", "pid", "net", "cgroup"):
        outside = os.readlink(f"/proc/{bird['pid']}/ns/{name}")
        assert terminal.type(f"readlink /proc/self/ns/{name}") == outside
        assert outside != os.readlink(f"/proc/self/ns/{name}")
    pids = group_of(mydocker, bird).processes()
    assert len(pids) == 2
    first, second = (Path(f"/proc/{pid}/cgroup").read_text() for pid in pids)
    assert first == second
    environment = dict(line.partition("=")[::2] for line in terminal.type("env").splitlines())
    assert set(environment) <= {"PATH", "HOSTNAME", "TERM", "HOME", "PWD", "SHLVL"}
    assert terminal.type("echo from exec > /note; cat /note") == "from exec"
    assert terminal.leave() == 0
    assert " Up " in typed(mydocker, "build/mydocker ps").splitlines()[1]


# The first commands of 5.1 to 5.3, as far as they go


def test_5_1_to_5_6_a_container_in_the_background(mydocker: Mydocker) -> None:
    typed(mydocker, "build/mydocker run -d top")
    typed(mydocker, "build/mydocker run -d --name bird top")
    listed = typed(mydocker, "build/mydocker ps").splitlines()
    assert len(listed) == 3
    assert listed[1].split()[-1] == "bird"
    assert all(" Up " in line for line in listed[1:])
    path = next(mydocker.root.glob("containers/*/log.json"))
    wait_until(lambda: path.stat().st_size)
    wait_until(lambda: "Mem:" in typed(mydocker, "build/mydocker logs bird"))
    bird = mydocker.inspect("bird")
    os.kill(bird["pid"], 9)
    wait_until(lambda: not Path(f"/proc/{bird['monitorPid']}").exists())
    assert typed(mydocker, "build/mydocker rm bird") == "bird\n"


def test_nothing_of_the_terminal_is_changed_afterwards(mydocker: Mydocker) -> None:
    script = "stty -a > before; build/mydocker run -ti sh -c 'exit 3'; echo $?; stty -a > after"
    directory = mydocker.root.parent
    shell = script.replace("> ", f"> {directory}/")
    assert typed(mydocker, shell).strip() == "3"
    assert subprocess.run(["cmp", directory / "before", directory / "after"]).returncode == 0
