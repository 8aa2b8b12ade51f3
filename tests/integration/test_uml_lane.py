"""The cgroup v2 lane is what it claims: the other v2 tests lean on these facts.

Each is seen from inside, so outside of the lane (lab/uml/run.sh) they are all skipped.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CGROUPS = Path("/sys/fs/cgroup")
CHECKOUT = Path(__file__).resolve().parents[2]
IN_LANE = (CGROUPS / "cgroup.controllers").exists() and Path("/run/lane").is_dir()

pytestmark = [
    pytest.mark.v2,
    pytest.mark.skipif(not IN_LANE, reason="only inside the cgroup v2 lane"),
]


def filesystems() -> dict[str, str]:
    """The type of what is mounted on top at each mount point (proc(5), mountinfo)."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {words[4]: words[words.index("-") + 1] for words in lines}


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount and a network namespace of its own."""
    command = ["unshare", "--mount", "--net", "sh", "-ec", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup below the root with every controller; it must be empty again at the end."""
    (CGROUPS / "cgroup.subtree_control").write_text("+cpu +io +memory +pids")
    path = CGROUPS / f"lane-test-{os.getpid()}"
    path.mkdir()
    yield path
    path.rmdir()


def run_in(group: Path, *command: str) -> int:
    """Run a command that is in the group before its first instruction; its return code."""
    join = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
    done = subprocess.run(["sh", "-c", join, str(group), *command], capture_output=True)
    return done.returncode


def count(file: Path, key: str) -> int:
    """One figure of a flat keyed file such as memory.events."""
    return int(dict(line.split() for line in file.read_text().splitlines())[key])


def test_v2_is_the_only_hierarchy_and_has_its_controllers() -> None:
    mounted = filesystems()
    assert mounted["/sys/fs/cgroup"] == "cgroup2"
    assert "cgroup" not in mounted.values()
    controllers = set((CGROUPS / "cgroup.controllers").read_text().split())
    assert controllers >= {"cpu", "io", "memory", "pids"}


def test_a_memory_limit_kills_and_is_counted(group: Path) -> None:
    (group / "memory.max").write_text("20M")
    (group / "memory.swap.max").write_text("0")
    assert run_in(group, "python3", "-ISc", "bytearray(60 << 20)") == -9
    assert count(group / "memory.events", "oom_kill") == 1


def test_a_memory_limit_that_forgets_swap_does_not_kill(group: Path) -> None:
    (group / "memory.max").write_text("20M")
    assert run_in(group, "python3", "-ISc", "bytearray(60 << 20)") == 0
    assert count(group / "memory.events", "oom_kill") == 0


def test_writes_to_the_spare_disk_are_counted_by_the_io_controller(group: Path) -> None:
    disk = os.stat("/dev/ubdb").st_rdev
    number = f"{os.major(disk)}:{os.minor(disk)}"
    (group / "io.max").write_text(f"{number} wbps=104857600")
    words = ["if=/dev/zero", "of=/dev/ubdb", "bs=64k", "count=4", "oflag=direct"]
    assert run_in(group, "dd", *words) == 0
    lines = [line.split() for line in (group / "io.stat").read_text().splitlines()]
    assert "wbytes=262144" in next(words for words in lines if words[0] == number)


def test_nothing_outside_can_be_written_to() -> None:
    for place in (Path("/etc"), CHECKOUT):
        with pytest.raises(OSError, match=r"Read-only") as refused:
            (place / "lane-test").touch()
        assert refused.value.errno == errno.EROFS
    mounted = filesystems()
    assert [mounted[path] for path in ("/tmp", "/run", "/var/lib")] == ["tmpfs"] * 3


def test_overlay_has_its_upper_layer_in_memory(tmp_path: Path) -> None:
    done = shell(
        f"cd {tmp_path} && mkdir lower upper work merged && echo low >lower/file\n"
        "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged\n"
        "rm merged/file && stat -c %F upper/file"
    )
    assert done.stdout == "character special file\n", done.stderr  # a whiteout


def test_a_bridge_a_veth_pair_and_nat_can_be_made() -> None:
    done = shell(
        "ip link add br9 type bridge && ip link add one type veth peer name other\n"
        "ip link set one master br9\n"
        "iptables -t nat -A POSTROUTING -s 198.51.100.0/24 ! -o br9 -j MASQUERADE\n"
        "iptables -t nat -A PREROUTING -p tcp -m addrtype --dst-type LOCAL --dport 80 \\\n"
        "    -j DNAT --to-destination 198.51.100.2:80\n"
        "iptables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
        "iptables-save -t nat"
    )
    assert "-j MASQUERADE" in done.stdout, done.stderr
    assert "-j DNAT" in done.stdout, done.stderr


def test_loopback_is_up_and_terminals_can_be_had() -> None:
    assert int(Path("/sys/class/net/lo/flags").read_text(), 16) & 1  # IFF_UP
    primary, secondary = os.openpty()
    assert os.ttyname(secondary).startswith("/dev/pts/")
    os.close(primary)
    os.close(secondary)
    assert Path("/dev/fd/0").exists()
    assert filesystems()["/dev/shm"] == "tmpfs"


def test_pid_1_reaps_orphans(eventually: Callable[[Callable[[], object]], None]) -> None:
    script = "sh -c 'echo $$; exec >&-; exec sleep 0.2' & exit"
    orphan = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    eventually(lambda: not Path("/proc", orphan.stdout.strip()).exists())
