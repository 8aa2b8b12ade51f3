"""Docker and libvirt on the same host: the real ones, with networks of their own beside ours.

Each runs in a network namespace that is the host here, and in a mount namespace where what it
writes to /run, /etc and /var stays.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import host
from bench.engines import Docker
from tests.conftest import wait_until
from tests.integration.network.conftest import SERVER, Place, Snapshot, address, sh, who

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Mydocker


@pytest.fixture
def dockerd() -> Iterator[Docker]:
    with host.room() as directory:
        engine = Docker(Path(directory))
        if why := engine.missing():
            pytest.skip(why)
        with engine:
            yield engine


def theirs() -> list[str]:
    """Every rule that is not ours."""
    rules = sh("iptables-save").splitlines()
    return [line for line in rules if line.startswith("-A") and "MYDOCKER" not in line]


def play(mydocker: Mydocker) -> Iterator[str]:
    """A network of ours with a published port, and all of it away; yields while it is there."""
    command = SERVER.replace("PORT", "80")
    try:
        mydocker.ok("network", "create", "net1")
        words = ("-net", "net1", "-p", "8080:80", "sh", "-c", command)
        mydocker.ok("run", "-d", "--name", "ours", "-h", "ours", *words)
        wait_until(lambda: who("127.0.0.1", 8080).endswith(" ours"))
        yield address(mydocker, "net1", "ours")
        mydocker.ok("system", "check")
    finally:
        mydocker.clean_up()
        mydocker.run("network", "rm", "net1")


def test_docker_and_we_do_not_disturb_each_other(mydocker: Mydocker, dockerd: Docker) -> None:
    assert dockerd.daemon
    start = ("run", "-d", *dockerd.options, "-h", "theirs", "-p", "8090:80")
    server = ("busybox", "sh", "-c", SERVER.replace("PORT", "80"))
    with Place(f"/proc/{dockerd.daemon.pid}/ns/net"):
        sh("ip link set lo up")
        dockerd.call(*start, "--name", "theirs", *server)
        wait_until(lambda: who("127.0.0.1", 8090).endswith(" theirs"))
        before, rules = Snapshot(), theirs()
        for our_address in play(mydocker):
            assert theirs() == rules
            assert who("127.0.0.1", 8090).endswith(" theirs")
            way = f"timeout 1 wget -qO- {our_address}/cgi-bin/who || echo no way"
            assert dockerd.call("exec", "theirs", "sh", "-c", way) == "no way\n"
            # It goes on with its networks while ours is there.
            dockerd.call("network", "create", "another")
            dockerd.call("run", "--rm", *dockerd.options, "--network", "another", "busybox", "true")
            dockerd.call("network", "rm", "another")
            assert who("127.0.0.1", 8080).endswith(" ours")
            assert mydocker.ok("run", "--rm", "-net", "net1", "echo", "still") == "still\n"
        assert Snapshot().differs(before) == []
        dockerd.call("rm", "-f", "theirs")


LIBVIRT = """
mount -t tmpfs run /run && mount -t tmpfs libvirt /var/lib/libvirt && ip link set lo up || exit
mount -t tmpfs libvirt /var/log/libvirt
mkdir "$0/upper" "$0/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" etc /etc || exit
libvirtd > "$0/log" 2>&1 &
export LIBVIRT_DEFAULT_URI=network:///system
for _ in $(seq 100); do virsh net-list > /dev/null 2>&1 && break; sleep 0.1; done
while virsh -q net-create "$0/net.xml" > /dev/null && echo ready && read -r _; do
    virsh -q net-destroy theirs > /dev/null
done
"""
NET = """<network><name>theirs</name><bridge name='virbr7'/>
<mac address='52:54:00:00:00:01'/><dns enable='no'/>
<forward mode='nat'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>"""


def test_libvirt_and_we_do_not_disturb_each_other(mydocker: Mydocker, tmp_path: Path) -> None:
    if not shutil.which("libvirtd") or not shutil.which("virsh"):
        pytest.skip("no libvirtd here: apt-get install libvirt-daemon libvirt-clients")
    place = tmp_path / "libvirt"
    place.mkdir()
    (place / "net.xml").write_text(NET)
    apart = "unshare --net --mount --pid --fork --kill-child --mount-proc".split()
    with subprocess.Popen(
        [*apart, "sh", "-c", LIBVIRT, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as libvirt:
        assert libvirt.stdin
        assert libvirt.stdout
        try:
            assert libvirt.stdout.readline() == "ready\n", (place / "log").read_text()
            with Place(f"/proc/{libvirt.pid}/ns/net"):
                before, rules = Snapshot(), theirs()
                assert any("LIBVIRT" in rule for rule in rules)
                for our_address in play(mydocker):
                    assert theirs() == rules
                    libvirt.stdin.write("again\n")
                    libvirt.stdin.flush()
                    assert libvirt.stdout.readline() == "ready\n"
                    assert sorted(theirs()) == sorted(rules)
                    assert who("127.0.0.1", 8080).endswith(" ours")
                    assert "1 packets received" in sh(f"busybox ping -c 1 {our_address}")
                sh("sysctl -qw net.ipv4.ip_forward=1")  # both want it on
                assert Snapshot().differs(before) == []
        finally:
            libvirt.kill()
