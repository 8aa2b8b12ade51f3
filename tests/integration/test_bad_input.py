"""Whatever is wrong with the input: one line that names it, the right exit code, nothing left.

What is not left is checked after each test by its fixture: mounts, cgroups, `system check`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.cli import COMMANDS
from mydocker.cli.run import FLAGS
from tests.conftest import LAUNCHER, Mydocker

if TYPE_CHECKING:
    from collections.abc import Callable

# Every flag of `run` that takes a value, with values that are wrong and what the line must name.
WRONG: dict[str, list[tuple[str, str]]] = {
    "--name": [
        ("a", "--name: a:"),
        ("-x", "--name: -x:"),
        ("a/b", "--name: a/b:"),
        ("..", "--name: ..:"),
        ("", "--name: "),
        ("a\nb", r"--name: a\x0ab:"),
        ("n" * 200, "--name: nnnn"),
        ("0123456789abcdef" * 4, "--name: 012345"),
    ],
    "--image": [("nope", "nope"), ("UPPER", "UPPER"), ("a:b:c", "a:b:c"), ("../x", "../x")],
    "--env": [("=x", "=x")],
    "--env-file": [("/nope", "/nope"), ("/", "/: is a directory"), ("/bin/ls", "/bin/ls")],
    "--workdir": [("relative", "relative"), ("/etc/passwd", "/etc/passwd")],
    "--user": [
        ("nobody-here", "nobody-here"),
        ("root:no-group", "no-group"),
        ("99999999999", "99999999999"),
        ("-1", "-1"),
    ],
    "--volume": [
        ("x", "x: not SOURCE:TARGET"),
        ("re/lative:/x", "re/lative:/x"),
        ("/tmp:relative", "/tmp:relative"),
        ("/tmp:/y:zz", "zz"),
        ("/tmp:/y:ro,rw", "ro,rw"),
        ("/tmp:/", "/tmp:/"),
        ("/proc/nope:/x", "/proc/nope"),
        ("/etc/passwd/x:/y", "/etc/passwd"),
        ("", "SOURCE:TARGET"),
    ],
    "--volumes-from": [("nope", "nope"), ("nope:zz", "zz")],
    "--mount": [
        ("x", "x"),
        ("type=cake,target=/x", "cake"),
        ("type=bind,source=/nope,target=/x", "/nope"),
        ("type=bind,target=/x", "type=bind,target=/x"),
        ("type=tmpfs", "type=tmpfs"),
        ("type=bind,source=/tmp,target=/x,foo=1", "foo"),
        ("type=tmpfs,target=/x,tmpfs-size=zz", "/x"),
    ],
    "--tmpfs": [("relative", "relative"), ("/x:size=zz", "/x"), ("/x:nope=1", "/x"), ("", "tmpfs")],
    "--shm-size": [("x", "--shm-size: x"), ("-1", "--shm-size: -1"), ("", "--shm-size")],
    "--hostname": [("h" * 70, "hhhh")],
    "--entrypoint": [("nope", "nope")],
    "--pull": [("sometimes", "--pull: sometimes"), ("", "--pull")],
    "--stop-signal": [("NOPE", "NOPE"), ("99", "99"), ("0", "0")],
    "--stop-timeout": [("x", "--stop-timeout: x"), ("1.5", "1.5"), ("1_0", "1_0"), ("-5", "-5")],
    "--memory": [("x", "--memory: x"), ("1m", "--memory: 1m"), ("-5", "-5"), ("", "--memory")],
    "--memory-swap": [("x", "--memory-swap: x"), ("1g", "--memory-swap: ")],
    "--memory-reservation": [("x", "--memory-reservation: x")],
    "--cpu-shares": [("x", "--cpu-shares: x"), ("1", "1"), ("-5", "-5"), ("300000", "300000")],
    "--cpus": [("x", "--cpus: x"), ("100000", "100000"), ("-1", "-1"), ("0.001", "0.001")],
    "--cpuset-cpus": [("9999", "9999"), ("x", "--cpuset-cpus: x"), ("1-0", "1-0")],
    "--cpuset-mems": [("9999", "9999"), ("x", "--cpuset-mems: x")],
    "--pids-limit": [("x", "--pids-limit: x"), ("-5", "-5")],
    "--blkio-weight": [("5", "--blkio-weight: 5"), ("x", "--blkio-weight: x")],
    "--device-read-bps": [("x", "--device-read-bps: x"), ("/nope:1m", "/nope")],
    "--device-write-bps": [("/etc/passwd:1m", "/etc/passwd")],
    "--device-read-iops": [("/dev/null:1", "/dev/null")],
    "--device-write-iops": [("x:y", "--device-write-iops: x:y")],
    "--oom-score-adj": [("x", "--oom-score-adj: x"), ("5000", "--oom-score-adj: 5000")],
    "--ulimit": [
        ("x", "--ulimit: x"),
        ("nope=1", "nope=1"),
        ("nofile=x", "nofile=x"),
        ("nofile=5:1", "nofile=5:1"),
        ("nofile=9999999999", "nofile=9999999999"),
    ],
    "--sysctl": [
        ("x", "--sysctl: x"),
        ("kernel.hostname=x", "--sysctl: kernel.hostname"),
        ("net.nope=1", "--sysctl: net.nope=1"),
        ("net.ipv4.ip_forward=zz", "--sysctl: net.ipv4.ip_forward=zz"),
        ("net/../../kernel/x=1", "--sysctl: net/../../kernel/x"),
    ],
    "--cap-add": [("NOPE", "NOPE"), ("", "capability")],
    "--cap-drop": [("NOPE", "NOPE")],
    "--security-opt": [("x", "--security-opt: x"), ("label=x", "label=x")],
    "--userns": [
        ("x", "--userns: x"),
        ("0", "--userns: 0"),
        ("1:0", "--userns: 1:0"),
        ("4294967295:5", "--userns: 4294967295:5"),
        ("9" * 20, "--userns: 9999"),
    ],
    "--network": [("nope", "nope"), ("", "network"), ("container:nope", "nope")],
    "--publish": [("x", "--publish: x"), ("", "--publish"), ("99999", "--publish: 99999")],
    "--ip": [("x", "--ip"), ("10.0.0.1", "--ip")],
    "--mac-address": [("x", "--mac-address")],
    "--network-alias": [("a b", "--network-alias")],
    "--dns": [("x", "--dns: x"), ("", "--dns")],
    "--dns-search": [("a b", "--dns-search: a b"), ("", "--dns-search")],
    "--dns-option": [("a\nb", r"--dns-option: a\x0ab")],
    "--add-host": [("x", "--add-host: x"), ("a b:1.2.3.4", "a b")],
    "--label": [("=x", "--label: =x")],
    "--label-file": [("/nope", "label-file: /nope"), ("/proc/self/exe", "label-file")],
    "--log-driver": [("nope", "--log-driver: nope"), ("", "--log-driver")],
    "--log-opt": [
        ("x", "--log-opt: x"),
        ("nope=1", "--log-opt: nope"),
        ("max-size=x", "max-size: x"),
        ("max-file=3", "means nothing without max-size"),
    ],
    "--restart": [("sometimes", "sometimes"), ("on-failure:x", "on-failure:x"), ("", "--restart")],
    "--health-cmd": [],  # any text is a command
    "--health-interval": [("x", "--health-interval: x"), ("-1s", "-1s")],
    "--health-timeout": [("x", "--health-timeout: x")],
    "--health-retries": [("x", "--health-retries: x"), ("-1", "-1")],
    "--health-start-period": [("x", "--health-start-period: x")],
    "--cidfile": [("/nope/x", "/nope/x"), ("/", "/: file exists"), ("", "--cidfile")],
    "--cgroup-parent": [("../x", "../x"), ("a\nb", r"a\x0ab")],
}
CODES = {("--workdir", "/etc/passwd"): 126, ("--entrypoint", "nope"): 127}
CASES = [(flag, value, named) for flag, cases in WRONG.items() for value, named in cases]
SWITCHES = [flag for flag in FLAGS if flag.kind == "bool"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, stocked_root: Path) -> Mydocker:
    """One mydocker for the many cases that leave nothing; the last test looks at it."""
    instance = Mydocker(tmp_path_factory.mktemp("host"))
    subprocess.run(["cp", "-al", str(stocked_root), str(instance.root)], check=True)
    return instance


@pytest.mark.parametrize(("flag", "value", "named"), CASES)
def test_a_wrong_value_is_named_in_one_line(
    flag: str, value: str, named: str, host: Mydocker
) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    code = CODES.get((flag, value), 125)
    assert named in host.fails(code, "run", "--rm", f"{flag}={value}", "true")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not list(host.root.glob("containers/*"))
    assert host.run("system", "check").returncode == 0


def test_the_table_has_every_flag_with_a_value() -> None:
    with_value = {max(flag.names, key=len) for flag in FLAGS if flag.kind in ("value", "list")}
    assert {max(f.names, key=len) for f in FLAGS if set(f.names) & WRONG.keys()} == with_value


@pytest.mark.parametrize("flag", [max(flag.names, key=len) for flag in SWITCHES])
def test_a_switch_is_true_or_false(flag: str, host: Mydocker) -> None:
    assert host.fails(125, "run", f"{flag}=maybe", "true") == (
        f"mydocker: {flag}: maybe: not true or false"
    )


@pytest.mark.parametrize("flag", WRONG)
def test_a_flag_at_the_end_misses_its_value(flag: str, host: Mydocker) -> None:
    assert host.fails(125, "run", flag) == f"mydocker: run: {flag}: needs a value"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_named_by_every_command(command: str, host: Mydocker) -> None:
    assert host.fails(125, command, "--nope") == f"mydocker: {command}: --nope: no such option"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("rnu",), "rnu: no such command"),
        (("--nope", "ps"), "--nope: no such option"),
        (("--root",), "--root: needs a value"),
        (("--root", "", "ps"), "--root: needs a value"),
        (("--cgroup-parent=", "ps"), "--cgroup-parent: needs a value"),
        (("system", "nope"), "nope: no such subcommand"),
        (("system",), "too few arguments"),
        (("ps", "x"), "x: one argument too many"),
        (("rm",), "too few arguments"),
        (("logs", "nope"), "nope: no such container"),
        (("inspect", "nope"), "nope: no such container or image"),
        (("commit", "nope", "image"), "nope: no such container"),
        (("commit", "x", "y", "z"), "z: one argument too many"),
        (("tag", "nope", "x"), "nope: no such image"),
        (("tag", "busybox", "UPPER"), "UPPER"),
        (("import", "/nope", "x"), "/nope: no such file or directory"),
        (("import", "/", "x"), "/: is a directory"),
        (("import", "/etc/passwd", "x"), "tar"),
        (("import", "-c", "CAKE now", "/dev/null", "x"), "CAKE"),
        (("run", "-z", "true"), "-z: no such option"),
        (("run", "-dz", "true"), "-dz: no such option"),
        (("run", "--rm", "--", "--nope"), "--nope"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_named(
    words: tuple[str, ...], named: str, host: Mydocker
) -> None:
    code = 127 if "--" in words else 125
    assert named in host.fails(code, *words)


@pytest.mark.parametrize(("command", "word"), [("rm", "nope"), ("rmi", "nope")])
def test_what_cannot_be_removed_is_named_and_the_others_go(
    command: str, word: str, mydocker: Mydocker
) -> None:
    mydocker.ok("tag", "busybox", "other")
    mydocker.ok("run", "--name", "other", "true")
    done = mydocker.run(command, word, "other")
    assert done.returncode != 0
    assert done.stderr.startswith(f"mydocker: {'container' if command == 'rm' else 'image'}: nope:")
    assert "other" in done.stdout


def test_many_wrong_runs_left_nothing(host: Mydocker) -> None:
    assert host.ok("ps", "-aq") == ""
    assert host.run("system", "check").returncode == 0
    assert not list(Path("/sys/fs/cgroup").glob(f"*{host.cgroup_parent}"))


def test_a_refused_run_makes_no_directory_on_the_host(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.fails(125, "run", "-v", f"{tmp_path}/new:/new", "--ulimit", "nope=1", "true")
    mydocker.fails(125, "run", "-v", f"{tmp_path}/new:/new", "--network", "nope", "true")
    assert not (tmp_path / "new").exists()


def test_a_refused_run_writes_no_cidfile(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.fails(125, "run", "--cidfile", f"{tmp_path}/cid", "--cgroup-parent", "../x", "true")
    assert not (tmp_path / "cid").exists()


# What a container executes


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory of things that cannot be executed, each in its way."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name, content, mode in (
        ("not-executable", b"#!/bin/sh\n", 0o644),
        ("lost-interpreter", b"#!/no/such/interpreter\n", 0o755),
        ("no-shebang", b"echo hello\n", 0o755),
        ("empty", b"", 0o755),
        # A header for aarch64 (183) or x86-64 (62), whichever this machine is not.
        ("wrong-machine", elf(62 if os.uname().machine == "aarch64" else 183), 0o755),
    ):
        (directory / name).write_bytes(content)
        (directory / name).chmod(mode)
    (directory / "directory").mkdir()
    return directory


def elf(machine: int) -> bytes:
    """The first 64 bytes of an executable for that machine (elf(5))."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little")
    return (header + machine.to_bytes(2, "little") + (1).to_bytes(4, "little")).ljust(64, b"\0")


@pytest.mark.parametrize(
    ("word", "code", "why"),
    [
        ("no-such-command", 127, "neither a local image nor a command"),
        ("/no/such/file", 127, "neither a local image nor a command"),
        ("/p/not-executable", 126, "permission denied"),
        ("/p/directory", 126, "permission denied"),
        ("/p/lost-interpreter", 126, "its interpreter"),
        ("/p/no-shebang", 126, "exec format error"),
        ("/p/empty", 126, "exec format error"),
        ("/p/wrong-machine", 126, "exec format error"),
    ],
)
@pytest.mark.parametrize("detached", [False, True])
def test_a_command_that_cannot_be_executed_is_named(
    word: str, code: int, why: str, detached: bool, mydocker: Mydocker, programs: Path
) -> None:
    flags = ["-d"] if detached else []
    line = mydocker.fails(code, "run", "--rm", *flags, "-v", f"{programs}:/p", word)
    assert word in line
    assert why in line
    assert mydocker.ok("ps", "-aq") == ""


def test_without_rm_the_failed_container_says_why(mydocker: Mydocker) -> None:
    mydocker.fails(127, "run", "--name", "bird", "--image", "busybox", "no-such-command")
    record = mydocker.inspect("bird")
    assert (record["status"], record["exitCode"]) == ("exited", 127)
    assert "no-such-command" in record["error"]


def test_an_entrypoint_that_is_missing_is_named_and_not_the_word(mydocker: Mydocker) -> None:
    line = mydocker.fails(127, "run", "--rm", "--entrypoint", "nope", "true")
    assert line == "mydocker: exec: nope: command not found in the container's PATH"


# What an image's root filesystem may lack


def altered(mydocker: Mydocker, tmp_path: Path, name: str, alter: Callable[[Path], object]) -> None:
    """An image of that name: a small root filesystem after `alter(directory)`."""
    (source,) = mydocker.root.glob("images/layers/*/diff")
    root = tmp_path / "rootfs"
    (root / "bin").mkdir(parents=True)
    for directory in ("etc", "proc", "sys", "dev"):
        (root / directory).mkdir()
    shutil.copy(source / "bin/busybox", root / "bin/busybox")
    for applet in ("sh", "true", "ls", "id", "cat"):
        (root / "bin" / applet).symlink_to("busybox")
    alter(root)
    tar = tmp_path / f"{name}.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(tar), "."], check=True)
    mydocker.ok("import", str(tar), name)


def replaced(path: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """An alteration: remove `path`, then make something else there."""

    def alter(root: Path) -> None:
        target = root / path
        if target.is_dir():
            target.rmdir()
        make(target)

    return alter


@pytest.mark.parametrize("missing", ["proc", "dev", "sys", "etc"])
def test_a_directory_that_the_image_lacks_is_made(
    missing: str, mydocker: Mydocker, tmp_path: Path
) -> None:
    altered(mydocker, tmp_path, "odd", replaced(missing, lambda path: None))
    assert mydocker.ok("run", "--rm", "odd", "sh", "-c", "echo $$; cat /proc/1/comm; ls /dev/null")


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/etc", "etc", "/nowhere", "../../etc", "/bin/sh"])
def test_proc_as_a_link_is_refused_by_name(
    name: str, target: str, mydocker: Mydocker, tmp_path: Path
) -> None:
    altered(mydocker, tmp_path, "odd", replaced(name, lambda path: path.symlink_to(target)))
    line = mydocker.fails(125, "run", "--rm", "odd", "true")
    assert line == f"mydocker: mount: /{name}: is a symbolic link in the image"


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_a_file_in_the_place_of_a_mount_point_is_named(
    name: str, mydocker: Mydocker, tmp_path: Path
) -> None:
    altered(mydocker, tmp_path, "odd", replaced(name, lambda path: path.write_text("")))
    assert f"/{name}" in mydocker.fails(125, "run", "--rm", "odd", "true")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("passwd"),
        lambda path: path.write_bytes(b"\xff\xfe:x\n:::\nroot\n" + b"a" * 100000),
    ],
    ids=["directory", "fifo", "endless", "loop", "garbage"],
)
@pytest.mark.parametrize("name", ["passwd", "group"])
def test_a_passwd_that_is_no_file_holds_nobody(
    name: str, make: Callable[[Path], object], mydocker: Mydocker, tmp_path: Path
) -> None:
    altered(mydocker, tmp_path, "odd", lambda root: make(root / "etc" / name))
    assert mydocker.ok("run", "--rm", "odd", "sh", "-c", "echo fine") == "fine\n"
    # The kernel is asked, since id(1) reads the files too.
    script = "while read k n _; do case $k in Uid:|Gid:) echo $n; esac; done < /proc/self/status"
    assert mydocker.ok("run", "--rm", "-u", "7:8", "odd", "sh", "-c", script) == "7\n8\n"
    assert "bird" in mydocker.fails(125, "run", "--rm", "-u", "bird:bird", "odd", "true")


# Images that are damaged


def index(mydocker: Mydocker) -> Path:
    """The file that says which image has which names."""
    return mydocker.root / "images/images.json"


def replace(path: Path, content: bytes) -> None:
    """Change a file of a store whose files are hard links to another's."""
    path.unlink()
    path.write_bytes(content)


def damage_layer(mydocker: Mydocker) -> str:
    (layer,) = (mydocker.root / "images/layers").iterdir()
    shutil.rmtree(layer)
    return layer.name


def damage_blob(mydocker: Mydocker) -> str:
    (blob,) = (mydocker.root / "images/blobs/sha256").iterdir()
    replace(blob, blob.read_bytes().replace(b"sh", b"hs"))
    return blob.name


def remove_blob(mydocker: Mydocker) -> str:
    (blob,) = (mydocker.root / "images/blobs/sha256").iterdir()
    blob.unlink()
    return blob.name


@pytest.mark.parametrize("damage", [damage_layer, damage_blob, remove_blob])
def test_a_damaged_image_is_named_and_can_be_replaced(
    damage: Callable[[Mydocker], str], mydocker: Mydocker
) -> None:
    named = damage(mydocker)
    line = mydocker.fails(125, "run", "--rm", "true")
    assert named[:12] in line
    listed = mydocker.run("images")
    assert listed.returncode == 0
    assert "busybox" in listed.stdout
    checked = mydocker.run("system", "check")
    assert checked.returncode == 1
    assert checked.stdout.startswith("image: ")
    # What is said in the hint is the cure.
    mydocker.ok("rmi", "-f", "busybox")
    import_again(mydocker)
    assert mydocker.ok("run", "--rm", "echo", "again") == "again\n"


def import_again(mydocker: Mydocker) -> None:
    """The default image, from its tar."""
    mydocker.ok("import", str(LAUNCHER.parent / "busybox.tar"), "busybox")


@pytest.mark.parametrize("content", [b"", b'{"sha256:', b"[]", b'{"sha256:x": 1}', b"\xff"])
def test_half_an_index_of_names_is_named_by_every_command(
    content: bytes, mydocker: Mydocker
) -> None:
    whole = index(mydocker).read_bytes()
    replace(index(mydocker), content)
    for words in (("run", "--rm", "true"), ("images",), ("rmi", "busybox"), ("tag", "x", "y")):
        assert "images/images.json" in mydocker.fails(125, *words)
    assert mydocker.ok("ps", "-aq") == ""
    checked = mydocker.run("system", "check", "--repair")
    assert checked.returncode == 1
    assert "images/images.json" in checked.stdout
    assert list((mydocker.root / "images/layers").iterdir())  # nothing of it was swept away
    index(mydocker).write_bytes(whole)
    assert mydocker.ok("run", "--rm", "echo", "whole again") == "whole again\n"


# Records that are damaged


ANOTHER = "0123456789abcdef" * 4
GARBAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "binary": lambda text: "\0\xff\n" * 9,
    "deep": lambda text: "[" * 100_000,
    "a list": lambda text: "[]",
    "without an id": lambda text: text.replace('"id"', '"di"'),
    "another's id": lambda text: re.sub(r'"id": "[^"]*', f'"id": "{ANOTHER}', text, count=1),
    "an unknown state": lambda text: text.replace('"exited"', '"excited"'),
    "a word for a pid": lambda text: text.replace('"pid": 0', '"pid": "one"'),
    "numbers for words": lambda text: re.sub(r'"command": \[[^]]*', '"command": [1, 2', text),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_damaged_record_is_named_and_moved_aside_and_the_others_work(
    kind: str, mydocker: Mydocker
) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    mydocker.ok("run", "--name", "fish", "true")
    (identity,) = [i for i in mydocker.ok("ps", "-aq", "--no-trunc").split() if names(i, mydocker)]
    record = mydocker.root / "containers" / identity / "container.json"
    record.write_text(GARBAGE[kind](record.read_text()))
    for words in (("rm", "bird"), ("inspect", "bird"), ("logs", "bird"), ("commit", "bird", "x")):
        done = mydocker.run(*words)
        assert done.returncode != 0
        assert str(record) in done.stderr
        assert len(done.stderr.splitlines()) <= 2, done.stderr
    listed = mydocker.run("ps", "-a", "--format", "{{.Names}}")
    assert (listed.returncode, listed.stdout) == (0, "fish\n")
    told, hint = listed.stderr.splitlines()
    assert str(record) in told
    assert hint == "hint: mydocker system check --repair moves it aside"
    assert mydocker.ok("run", "--rm", "echo", "works") == "works\n"
    mydocker.ok("rm", "fish")
    assert str(record) in mydocker.run("system", "check").stdout
    assert mydocker.run("system", "check", "--repair").returncode == 0
    assert list((mydocker.root / "damaged").iterdir())
    mydocker.ok("run", "--rm", "--name", "bird", "true")


def names(identity: str, mydocker: Mydocker) -> bool:
    """Whether it is the container called bird."""
    return os.readlink(mydocker.root / "names/bird") == identity


def test_a_damaged_spec_is_named(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    (path,) = mydocker.root.glob("containers/*/config.json")
    path.write_text('{"mounts": [1]}')
    assert str(path) in mydocker.fails(125, "commit", "bird", "x")
    mydocker.ok("rm", "bird")


def test_a_damaged_log_shows_what_is_whole(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo one; echo two")
    (path,) = mydocker.root.glob("containers/*/log.json")
    with path.open("ab") as file:
        file.write(b'{"log": "half\n\xff\xfe\n[]\n{}\n{"log": "thr')
    assert mydocker.ok("logs", "bird") == "one\ntwo\n"
    path.unlink()
    assert mydocker.ok("logs", "bird") == ""


# Where the state is


def test_a_state_root_that_is_a_file_is_named(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for words in (("run", "true"), ("ps",), ("images",), ("system", "check"), ("rm", "x")):
        line = mydocker.fails(125, "--root", f"{tmp_path}/file", *words)
        assert f"{tmp_path}/file" in line


def test_a_state_root_below_a_file_is_named(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = mydocker.fails(125, "--root", f"{tmp_path}/file/x", "import", "/dev/null", "x")
    assert f"{tmp_path}/file" in line


def test_an_empty_state_root_has_nothing_and_says_what_to_do(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    root = ("--root", f"{tmp_path}/new")
    assert mydocker.ok(*root, "ps", "-aq") == ""
    assert mydocker.ok(*root, "images", "-q") == ""
    assert not (tmp_path / "new").exists()  # looking makes nothing
    assert "busybox: no such image" in mydocker.fails(125, *root, "run", "true")


def test_a_relative_state_root_is_meant_from_here(mydocker: Mydocker, tmp_path: Path) -> None:
    command = [str(LAUNCHER), "run", "-d", "top"]
    environment = mydocker.environment | {"MYDOCKER_ROOT": "state"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == mydocker.ok("ps", "-q", "--no-trunc").strip()


def in_mount_namespace(script: str, mydocker: Mydocker) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a private mount namespace; $mydocker is the launcher."""
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-ec", script],
        env=mydocker.environment | {"mydocker": str(LAUNCHER), "root": str(mydocker.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_read_only_state_is_named(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    done = in_mount_namespace(
        """
        mount --bind $root $root && mount -o remount,bind,ro $root
        for words in "run --rm true" "rm bird" "commit bird x" "tag busybox x" "rmi busybox"
        do $mydocker $words && echo "$words works"; done
        $mydocker ps -a
        $mydocker images
        """,
        mydocker,
    )
    assert done.returncode == 0, done.stderr
    assert "works" not in done.stdout
    assert "bird" in done.stdout
    assert "busybox" in done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 5, done.stderr
    assert all("read-only file system" in line for line in lines), done.stderr


def test_ps_tells_the_truth_where_it_cannot_write_it(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top")
    record = mydocker.inspect("bird")
    os.kill(record["monitorPid"], 9)
    done = in_mount_namespace(
        "mount --bind $root $root && mount -o remount,bind,ro $root && $mydocker ps -a", mydocker
    )
    assert "Exited (137)" in done.stdout, done


ON_A_SMALL_DISK = """
        mkdir $root.small && mount -t tmpfs -o size=8m tmpfs $root.small
        cp -a $root/. $root.small
        export MYDOCKER_ROOT=$root.small
"""
"""The beginning of a script: the state is copied to a disk with hardly more room than it takes."""


def test_a_full_disk_is_named_and_nothing_is_lost(mydocker: Mydocker) -> None:
    done = in_mount_namespace(
        ON_A_SMALL_DISK
        + """
        $mydocker run --name bird sh -c 'echo kept'
        head -c 100m /dev/zero > $root.small/filler 2>/dev/null || true
        for words in "run --rm true" "run -d top" "commit bird x" "tag busybox x"
        do $mydocker $words && echo "$words works"; done
        $mydocker system check
        $mydocker logs bird
        $mydocker ps -a
        $mydocker rm bird
        rm $root.small/filler
        $mydocker system check
        $mydocker run --rm echo again
        """,
        mydocker,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "works" not in done.stdout
    assert done.stdout.count("clean: ") == 2
    assert done.stdout.count("kept\n") == 2
    assert done.stdout.endswith("again\n")
    lines = done.stderr.splitlines()
    assert len(lines) == 4, done.stderr
    assert all("no space left on device" in line for line in lines), done.stderr


def test_an_import_that_fills_the_disk_leaves_no_half_image(mydocker: Mydocker) -> None:
    done = in_mount_namespace(
        ON_A_SMALL_DISK
        + """
        mkdir $root.big && head -c 20m /dev/zero | tr '\\0' x > $root.big/file
        before=$(find $root.small | sort)
        tar -C $root.big -cf - . | $mydocker import - big && echo imported
        [ "$before" = "$(find $root.small | sort)" ]
        $mydocker system check
        $mydocker run --rm echo still here
        """,
        mydocker,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "imported" not in done.stdout
    assert done.stdout.endswith("still here\n")
    assert "no space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_exit_code_is_kept_when_the_disk_is_full_at_the_end(mydocker: Mydocker) -> None:
    done = in_mount_namespace(
        ON_A_SMALL_DISK
        + """
        $mydocker run --name bird -v $root.small:/state sh -c \
            'head -c 100m /dev/zero > /state/filler 2>/dev/null; seq 100000; exit 7' > /dev/null \
            || echo "exit $?"
        $mydocker inspect bird | grep -E '"(exitCode|status|error)"'
        $mydocker logs bird | head -n 1
        $mydocker rm bird
        """,
        mydocker,
    )
    assert "exit 7\n" in done.stdout, done.stdout + done.stderr
    assert '"exitCode": 7' in done.stdout
    assert '"status": "exited"' in done.stdout
    assert "its log is lost: no space left on device" in done.stdout
    assert done.stderr == ""


def test_a_log_goes_on_when_the_disk_has_room_again(mydocker: Mydocker) -> None:
    done = in_mount_namespace(
        ON_A_SMALL_DISK
        + """
        $mydocker run --name bird -v $root.small:/state sh -c \
            'echo first; head -c 100m /dev/zero > /state/filler 2>/dev/null; seq 10000;
             rm /state/filler; echo last' > /dev/null
        $mydocker logs bird | sed -n '1p; $p'
        """,
        mydocker,
    )
    assert done.stdout == "first\nlast\n", done.stdout + done.stderr


# Who calls, and with what


def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    """Run mydocker without root's power."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return subprocess.run(
        [*drop, str(LAUNCHER), *words], capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.parametrize("words", [("run", "true"), ("ps",), ("images",), ("system", "check")])
def test_without_root_the_line_says_so(words: tuple[str, ...]) -> None:
    if not reachable_by_all(LAUNCHER):
        pytest.skip("the checkout is in a directory that only root may enter")
    done = as_nobody(*words)
    name = "system check" if words[0] == "system" else words[0]
    assert done.returncode == 125
    assert done.stderr == f"mydocker: {name}: needs root\nhint: sudo mydocker {name} …\n"


def test_without_root_there_is_help() -> None:
    if not reachable_by_all(LAUNCHER):
        pytest.skip("the checkout is in a directory that only root may enter")
    for words in (("--help",), ("run", "--help"), ("version",)):
        done = as_nobody(*words)
        assert (done.returncode, done.stderr) == (0, "")


def reachable_by_all(path: Path) -> bool:
    """Whether each directory on the way may be searched by anybody."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_as_good_as_dev_null(closed: str, mydocker: Mydocker) -> None:
    shell = f"{LAUNCHER} run -i --name bird sh -c 'cat; echo out; echo err >&2; exit 7' {closed}"
    done = subprocess.run(
        ["sh", "-c", shell], env=mydocker.environment, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 7
    logged = mydocker.run("logs", "bird")
    assert (logged.stdout, logged.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("words", ["ps", "images", "version", "run -d true", "run --rm echo x"])
def test_a_full_device_as_output_is_no_traceback(words: str, mydocker: Mydocker) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{LAUNCHER} {words} > /dev/full"],
        env=mydocker.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    assert "bug" not in done.stderr
    if not words.startswith("run"):
        assert done.returncode == 125


def test_a_reader_that_leaves_early_is_no_error(mydocker: Mydocker) -> None:
    shell = f"{LAUNCHER} run --rm seq 100000 | head -n 1"
    done = subprocess.run(
        ["sh", "-c", shell], env=mydocker.environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


# Names of paths


@pytest.mark.parametrize(
    "name",
    ["with space", "a:b", "a,b", "it's", 'say "hi"', "容器", "back\\slash", "new\nline", "%s"],
)
def test_a_state_root_may_have_any_name(name: str, mydocker: Mydocker, tmp_path: Path) -> None:
    root = tmp_path / name
    shutil.copytree(mydocker.root, root, symlinks=True)
    of = ("--root", str(root))
    assert mydocker.ok(*of, "run", "--name", "bird", "sh", "-c", "echo x > /x; cat /x") == "x\n"
    mydocker.ok(*of, "commit", "bird", "changed")
    assert mydocker.ok(*of, "run", "--rm", "changed", "cat", "/x") == "x\n"
    mydocker.ok(*of, "rm", "bird")
    mydocker.ok(*of, "system", "check")


@pytest.mark.parametrize("name", ["with space", "a,b", "it's", 'say "hi"', "容器", "back\\slash"])
def test_a_volume_may_have_any_name(name: str, mydocker: Mydocker, tmp_path: Path) -> None:
    source = tmp_path / name
    mydocker.ok("run", "--rm", "-v", f"{source}:/{name}", "touch", f"/{name}/file")
    assert (source / "file").exists()


def test_a_volume_with_a_colon_is_given_by_mount(mydocker: Mydocker, tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    mount = f"type=bind,source={tmp_path}/a:b,target=/c:d"
    mydocker.ok("run", "--rm", "--mount", mount, "touch", "/c:d/file")
    assert (tmp_path / "a:b/file").exists()


def test_words_that_are_not_utf8_arrive_as_they_are(mydocker: Mydocker) -> None:
    word = os.fsdecode(b"\xff\xfe")
    assert mydocker.ok("run", "--rm", "--name", "bird", "echo", "-n", word) == word
    assert r"\xdcff" in mydocker.fails(125, "run", "--name", word, "true")
