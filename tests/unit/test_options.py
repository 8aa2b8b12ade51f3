"""Flags and an image's configuration become one OCI spec."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any

import pytest

from mydocker.errors import NotFound, Usage
from mydocker.lifecycle import options
from mydocker.lifecycle.options import Options
from mydocker.rootfs.imageconfig import ImageConfig, RunConfig
from mydocker.rootfs.store import Image
from mydocker.spec import Rlimit, Spec

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = "0123456789ab" * 6


def image(**config: Any) -> Image:
    """An image with this configuration."""
    return Image(id="sha256:x", config=ImageConfig(config=RunConfig(**config)))


def spec(of: Image | None = None, **given: Any) -> Spec:
    """The spec of a container of that image, with these flags."""
    return options.spec(Options(**({"words": ["sh"]} | given)), of or image(), IDENTITY, "/rootfs")


@pytest.mark.parametrize(
    ("config", "given", "args"),
    [
        ({"cmd": ["sh"]}, {"words": []}, ["sh"]),
        ({"cmd": ["sh"]}, {"words": ["a b", ""]}, ["a b", ""]),
        ({"entrypoint": ["e"], "cmd": ["c"]}, {"words": []}, ["e", "c"]),
        ({"entrypoint": ["e"], "cmd": ["c"]}, {"words": ["w"]}, ["e", "w"]),
        ({"entrypoint": ["e"], "cmd": ["c"]}, {"words": ["w"], "entrypoint": "f g"}, ["f g", "w"]),
        ({"entrypoint": ["e"], "cmd": ["c"]}, {"words": ["w"], "entrypoint": ""}, ["w"]),
        ({"entrypoint": ["e"], "cmd": ["c"]}, {"words": [], "entrypoint": "f"}, ["f"]),
    ],
)
def test_the_words_to_execute(
    config: dict[str, Any], given: dict[str, Any], args: list[str]
) -> None:
    assert spec(image(**config), **given).process.args == args


def test_no_words_at_all_is_an_error() -> None:
    with pytest.raises(Usage, match="no command given"):
        spec(words=[])


def test_flags_go_before_the_images_configuration() -> None:
    of = image(user="bird", working_dir="/image", env=["A=image", "B=image"])
    found = spec(of, env=["A=flag"]).process
    assert (found.user.username, found.cwd) == ("bird", "/image")
    assert {"A=flag", "B=image", "HOSTNAME=0123456789ab"} <= set(found.env)
    found = spec(of, user="fish", workdir="/flag", tty=True).process
    assert (found.user.username, found.cwd, found.terminal) == ("fish", "/flag", True)
    assert "TERM=xterm" in found.env


@pytest.mark.parametrize("item", ["", "=x", "A=\0"])
def test_a_variable_without_a_name_is_refused(item: str) -> None:
    with pytest.raises(Usage, match="environment: "):
        spec(env=[item])


def test_an_env_file_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("\ufeff# c\r\n\n  A=1 \n#B=2\nC=é=x\nD\n".encode())
    assert options.read_env_file(str(path)) == ["A=1 ", "C=é=x", "D"]
    path.write_bytes(b"A=\xff")
    with pytest.raises(NotFound, match="not UTF-8"):
        options.read_env_file(str(path))


def test_a_users_mount_takes_the_place_of_a_default_one() -> None:
    found = spec(tmpfs=["/dev/shm:size=1m", "/a/b", "/a"]).mounts
    targets = [mount.destination for mount in found]
    assert targets.count("/dev/shm") == 1
    assert targets.index("/a") < targets.index("/a/b")
    with pytest.raises(Usage, match="/a: is given twice"):
        spec(tmpfs=["/a", "/a/"])


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=10", Rlimit(type="RLIMIT_NOFILE", soft=10, hard=10)),
        ("core=0:-1", Rlimit(type="RLIMIT_CORE", soft=0, hard=-1)),
        ("cpu=-1", Rlimit(type="RLIMIT_CPU", soft=-1, hard=-1)),
    ],
)
def test_a_ulimit(text: str, limit: Rlimit) -> None:
    assert spec(ulimit=[text]).process.rlimits == [limit]
    assert limit.hard in (-1, *range(11)) or resource.RLIM_INFINITY == -1


@pytest.mark.parametrize(
    "text",
    ["", "nofile", "nofile=", "nope=1", "nofile=x", "nofile=2:1", "nofile=-1:5", "nofile=-2"],
)
def test_a_wrong_ulimit_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--ulimit: "):
        spec(ulimit=[text])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], False),
        (["no-new-privileges"], True),
        (["no-new-privileges:true"], True),
        (["no-new-privileges=true", "no-new-privileges=false"], False),
    ],
)
def test_no_new_privileges(words: list[str], wanted: bool) -> None:
    assert spec(security_opt=words).process.no_new_privileges is wanted


def test_an_id_mapping() -> None:
    assert spec().linux.uid_mappings == []
    (mapping,) = spec(userns="auto").linux.uid_mappings
    assert (mapping.container_id, mapping.host_id, mapping.size) == (0, 100_000, 65_536)
    (mapping,) = spec(userns="5000:10").linux.gid_mappings
    assert (mapping.host_id, mapping.size) == (5000, 10)
    assert "user" in [namespace.type for namespace in spec(userns="auto").linux.namespaces]


@pytest.mark.parametrize(
    "name",
    [
        "kernel.hostname",
        "kernel.panic",
        "vm.swappiness",
        "fs.file-max",
        "net/ipv4",
        "net..x",
        "net",
    ],
)
def test_a_sysctl_of_the_whole_machine_is_refused(name: str) -> None:
    with pytest.raises(Usage, match="does not belong to a namespace"):
        spec(sysctl=[f"{name}=1"])


def test_a_sysctl_of_a_namespace_is_not() -> None:
    given = ["net.core.somaxconn=1", "kernel.sem=1 2 3 4", "fs.mqueue.msg_max=5", "kernel.shmall="]
    assert spec(sysctl=given).linux.sysctl == dict(item.split("=") for item in given)
    assert spec(sysctl=given[1:], network="host").linux.sysctl == dict(
        item.split("=") for item in given[1:]
    )


def test_the_hosts_network_brings_no_namespace_and_privileged_no_covers() -> None:
    assert "network" in [namespace.type for namespace in spec().linux.namespaces]
    assert "network" not in [n.type for n in spec(network="host").linux.namespaces]
    covered, bare = spec().linux, spec(privileged=True).linux
    assert covered.masked_paths
    assert covered.readonly_paths
    assert covered.resources.devices
    assert (bare.masked_paths, bare.readonly_paths, bare.resources.devices) == ([], [], [])
    assert len(bare.devices) > len(covered.devices)
