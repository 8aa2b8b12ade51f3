"""Names: what a container finds in its /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.linux import syscalls
from tests.conftest import wait_until
from tests.integration.network.conftest import address, inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Mydocker

pytestmark = pytest.mark.usefixtures("net_host")


@pytest.fixture(autouse=True)
def net1(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "192.168.10.1/24", "net1")


@pytest.fixture
def resolv_conf(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """`resolv_conf(text)`: what the host's /etc/resolv.conf says; in the tests' own mounts."""
    path = tmp_path / "resolv.conf"
    path.write_text("")
    syscalls.mount(str(path), "/etc/resolv.conf", "", syscalls.MS_BIND)
    yield lambda text: (path.write_text(text), None)[1]
    syscalls.umount2("/etc/resolv.conf")


def hosts(mydocker: Mydocker, name: str) -> str:
    """The hosts file of a container, as the host has it."""
    (found,) = [
        path
        for path in (mydocker.root / "containers").glob("*/hosts")
        if f'"{name}"' in (path.parent / "container.json").read_text()
    ]
    return found.read_text()


def test_containers_find_each_other_by_name_id_and_alias(
    docker: Mydocker, serve: Callable[..., str]
) -> None:
    serve("web", "--network-alias", "shop")
    identity = docker.ok("ps", "-q").strip()
    for name in ("web", "shop", identity):
        assert inside(docker, "net1", f"wget -qO- http://{name}/cgi-bin/who").endswith("web\n")


def test_names_are_current_while_others_come_and_go(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "first", "-net", "net1", "sleep", "1000")
    assert "second" not in hosts(docker, "first")
    docker.ok("run", "-d", "--name", "second", "-net", "net1", "sleep", "1000")
    assert "192.168.10.3\tsecond " in hosts(docker, "first")
    assert "192.168.10.2\tfirst " in hosts(docker, "second")
    docker.ok("rm", "-f", "second")
    assert "second" not in hosts(docker, "first")


def test_a_container_of_another_name_is_found_by_it(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "first", "-net", "net1", "sleep", "1000")
    docker.ok("run", "-d", "--name", "second", "-net", "net1", "sleep", "1000")
    docker.ok("rename", "second", "wren")
    assert "192.168.10.3\twren " in hosts(docker, "first")
    assert "second" not in hosts(docker, "first")


def test_a_container_that_is_started_again_is_in_its_networks_again(docker: Mydocker) -> None:
    docker.ok("network", "create", "net2")
    words = ("sh", "-c", "ip -o -4 addr | grep -c eth; cat /etc/hosts | grep -c nest")
    docker.ok("run", "--name", "bird", "-h", "nest", "-net", "net1", *words)
    docker.ok("network", "connect", "net2", "bird")
    assert docker.ok("start", "-a", "bird") == "2\n2\n"
    docker.ok("network", "disconnect", "net1", "bird")
    assert docker.ok("start", "-a", "bird") == "1\n1\n"


def test_a_running_container_sees_the_change_in_its_own_file(docker: Mydocker) -> None:
    watch = "until grep -q second /etc/hosts; do sleep 0.05; done; grep second /etc/hosts"
    first = docker.start("run", "--rm", "-net", "net1", "sh", "-c", watch)
    wait_until(lambda: list((docker.root / "containers").glob("*/hosts")))
    docker.ok("run", "-d", "--name", "second", "-net", "net1", "top")
    assert first.communicate(timeout=20)[0].startswith("192.168.10.")


def test_what_the_container_writes_into_its_hosts_file_stays(docker: Mydocker) -> None:
    command = "echo '10.9.9.9 mine' >> /etc/hosts; top"
    docker.ok("run", "-d", "--name", "first", "-net", "net1", "sh", "-c", command)
    wait_until(lambda: "mine" in hosts(docker, "first"))
    docker.ok("run", "--rm", "--name", "second", "-net", "net1", "true")
    assert "10.9.9.9 mine\n" in hosts(docker, "first")


def test_a_hosts_file_that_was_filled_or_spoilt_is_left_alone(docker: Mydocker) -> None:
    command = "dd if=/dev/zero of=/etc/hosts bs=1M count=3 2>/dev/null; top"
    docker.ok("run", "-d", "--name", "first", "-net", "net1", "sh", "-c", command)
    wait_until(lambda: len(hosts(docker, "first")) == 3 << 20)
    docker.ok("run", "--rm", "--name", "second", "-net", "net1", "true")
    assert len(hosts(docker, "first")) == 3 << 20


def test_its_own_name_and_host_name(docker: Mydocker) -> None:
    words = ("run", "--rm", "--name", "bird", "-h", "nest.example", "-net", "net1")
    told = docker.ok(*words, "sh", "-c", "cat /etc/hostname /etc/hosts; hostname")
    assert told.startswith("nest.example\n127.0.0.1\tlocalhost\n")
    assert "192.168.10.2\tnest.example bird " in told


def test_add_host_dns_and_the_others_are_written_as_asked(docker: Mydocker) -> None:
    flags = (
        *("--add-host", "db:10.9.9.9", "--add-host", "six:fd00::1"),
        *("--dns", "10.0.0.53", "--dns", "fd00::53"),
        *("--dns-search", "example.org", "--dns-option", "ndots:2"),
    )
    told = docker.ok(
        *("run", "--rm", "-net", "net1"), *flags, "cat", "/etc/hosts", "/etc/resolv.conf"
    )
    assert "10.9.9.9\tdb\nfd00::1\tsix\n" in told
    assert (
        "search example.org\nnameserver 10.0.0.53\nnameserver fd00::53\noptions ndots:2\n" in told
    )
    told = docker.ok("run", "--rm", "--add-host", "db:10.9.9.9", "cat", "/etc/hosts")
    assert told.endswith("10.9.9.9\tdb\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "search a.example b.example\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\n",
            "search a.example b.example\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\n",
        ),
        ("nameserver 127.0.0.1\nnameserver 10.0.0.2\n", "nameserver 10.0.0.2\n"),
        (
            "# nobody\n",
            "# no name server of the host's can be reached from here: give one by --dns\n",
        ),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.7.7.7\noptions edns0\n"),
    ],
)
def test_the_host_s_name_servers_are_the_container_s_but_for_loopback(
    docker: Mydocker,
    resolv_conf: Callable[[str], None],
    text: str,
    expected: str,
    tmp_path: Path,
) -> None:
    """127.0.0.53 is systemd-resolved, which says elsewhere whom it asks."""
    directory = Path("/run/systemd/resolve")
    made = not directory.exists()
    real = directory / "resolv.conf"
    if "127.0.0.53" in text:
        directory.mkdir(parents=True, exist_ok=True)
        other = tmp_path / "other"
        other.mkdir()
        (other / "resolv.conf").write_text("nameserver 10.7.7.7\n")
        syscalls.mount(str(other), str(directory), "", syscalls.MS_BIND)
        assert real.exists()
    try:
        resolv_conf(text)
        assert inside(docker, "net1", "cat /etc/resolv.conf") == expected
    finally:
        if "127.0.0.53" in text:
            syscalls.umount2(str(directory))
            if made:
                os.removedirs(directory)


BAD = [
    (("--add-host", "db"), "not NAME:ADDRESS"),
    (("--add-host", "d b:1.2.3.4"), "not a host name"),
    (("--add-host", "db\n6.6.6.6 x:1.2.3.4"), "not a host name"),
    (("--add-host", "db:nowhere"), "not NAME:ADDRESS"),
    (("--dns", "example.org"), "not an address"),
    (("--dns", "1.1.1.1\nnameserver 6.6.6.6"), "not an address"),
    (("--dns-search", "a b"), "not one word"),
    (("--dns-option", "x\ny"), "not one word"),
    (("--network-alias", "a b"), "not a host name"),
]


def test_what_would_be_another_line_is_refused(docker: Mydocker) -> None:
    for flags, why in BAD:
        assert why in docker.fails(125, "run", "--rm", "-net", "net1", *flags, "true")


def test_the_files_are_not_in_a_commit(docker: Mydocker) -> None:
    docker.ok("run", "--name", "bird", "-net", "net1", "true")
    docker.ok("commit", "bird", "small")
    told = docker.ok("run", "--rm", "small", "sh", "-c", "ls /etc")
    assert told.split() == ["group", "passwd"]


def test_the_user_s_own_file_wins(docker: Mydocker, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("1.2.3.4 own\n")
    words = ("run", "--rm", "-net", "net1", "-v", f"{own}:/etc/hosts:ro", "cat", "/etc/hosts")
    assert docker.ok(*words) == "1.2.3.4 own\n"


def test_connect_and_disconnect_a_running_container(docker: Mydocker) -> None:
    docker.ok("network", "create", "--subnet", "192.168.20.1/24", "net2")
    docker.ok("run", "-d", "--name", "bird", "-net", "net1", "sleep", "1000")
    docker.ok("run", "-d", "--name", "other", "-net", "net2", "sleep", "1000")
    docker.ok("network", "connect", "--ip", "192.168.20.9", "--alias", "wren", "net2", "bird")
    assert address(docker, "net2", "bird") == "192.168.20.9"
    assert "192.168.20.9\tbird" in hosts(docker, "other")
    assert "wren" in hosts(docker, "other")
    assert "192.168.20.2\tother" in hosts(docker, "bird")
    assert inside(docker, "net2", "ping -qc 1 -W 2 wren")
    line = docker.fails(125, "network", "connect", "net2", "bird")
    assert line == "mydocker: network: net2: bird is in it already"
    docker.ok("network", "disconnect", "net2", "bird")
    assert "bird" not in hosts(docker, "other")
    assert "net2" not in hosts(docker, "bird")
    assert "is not in it" in docker.fails(125, "network", "disconnect", "net2", "bird")


def test_a_container_without_a_network_can_be_given_one(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "sleep", "1000")
    docker.ok("network", "connect", "net1", "bird")
    assert inside(docker, "net1", "ping -qc 1 -W 2 192.168.10.2")
    docker.ok("rm", "-f", "bird")
    assert "192.168.10.2/" in inside(docker, "net1", "ip addr")


def test_a_container_of_the_host_s_network_is_given_none(docker: Mydocker) -> None:
    docker.ok("run", "-d", "--name", "bird", "-net", "host", "sleep", "1000")
    line = docker.fails(125, "network", "connect", "net1", "bird")
    assert line == "mydocker: network: net1: bird has the network of --network host"
