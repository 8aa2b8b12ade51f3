"""cp: both ways, running or not, by Docker's rules, and never out of the container's root (4.4)."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.conftest import LAUNCHER, Mydocker, wait_until
from tests.integration.private_mounts import privately, tmpfs

SETTLE = (
    "mkdir -p /x/e; ln -s /x /lx; ln -s /x/file /lf; echo old > /x/file; ln -s /new /to-new;"
    "echo > /ready"
)


@pytest.fixture(params=["stopped", "running"])
def bird(request: pytest.FixtureRequest, mydocker: Mydocker) -> Mydocker:
    """A mydocker with a container called bird, stopped or running."""
    if request.param == "stopped":
        mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    else:
        mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", f"{SETTLE}; exec top")
        wait_until(lambda: list(mydocker.root.glob("containers/*/upper/ready")))
    return mydocker


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some files of the host, of another owner."""
    directory = tmp_path / "src"
    (directory / "sub").mkdir(parents=True)
    (directory / "f").write_text("h")
    (directory / "sub/g").write_text("s")
    (directory / "l").symlink_to("f")
    os.link(directory / "sub/g", directory / "sub/again")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, 1000, 1001, follow_symlinks=False)
    (directory / "f").chmod(0o4755)
    os.utime(directory / "sub/g", (10**9, 10**9))
    return directory


def read(mydocker: Mydocker, path: str) -> bytes:
    """A file of bird's, by cp."""
    words = [str(LAUNCHER), "cp", f"bird:{path}", "-"]
    archive = subprocess.run(words, env=mydocker.environment, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        content = tar.extractfile(tar.getmembers()[0])
        assert content is not None
        return content.read()


def listed(mydocker: Mydocker, path: str, *flags: str) -> list[tarfile.TarInfo]:
    """The members of the tar of a path of bird's."""
    words = [str(LAUNCHER), "cp", *flags, f"bird:{path}", "-"]
    archive = subprocess.run(words, env=mydocker.environment, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        return tar.getmembers()


def names(mydocker: Mydocker, path: str, *flags: str) -> list[str]:
    return [member.name for member in listed(mydocker, path, *flags)]


# Docker's rules for names (docker-cp(1)); each was compared with what docker 28 does


TREE = ["", "/f", "/l", "/sub", "/sub/again", "/sub/g"]


@pytest.mark.parametrize(
    ("what", "target", "path", "content"),
    [
        ("", "/x/new", "/x/new", TREE),
        ("", "/x/new/", "/x/new", TREE),
        ("", "/x/e", "/x/e/src", TREE),
        ("", "x/e", "/x/e/src", TREE),
        ("", "/lx/e/", "/x/e/src", TREE),
        ("/.", "/x/e", "/x/e", TREE),
        ("/.", "/x/new", "/x/new", TREE),
        ("/sub/..", "/x/e", "/x/e/src", TREE),
        ("/f", "/x/new", "/x/new", [""]),
        ("/f", "/x/e", "/x/e/f", [""]),
        ("/f", "/x/e/", "/x/e/f", [""]),
        ("/f", "/lf", "/x/file", [""]),
        ("/f", "/to-new", "/new", [""]),
        ("/f", "", "/f", [""]),
    ],
)
def test_where_it_is_copied_to(
    what: str, target: str, path: str, content: list[str], mydocker: Mydocker, source: Path
) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    mydocker.ok("cp", f"{source}{what}", f"bird:{target}")
    base = path.rpartition("/")[2]
    assert names(mydocker, path) == [base + name for name in content]


@pytest.mark.parametrize(
    ("what", "target", "why"),
    [
        ("/f", "/nope/", "bird:/nope/: no such directory"),
        ("/f", "/x/no/f", "bird:/x/no: no such directory"),
        ("/f", "/x/file/", "bird:/x/file/: no such directory"),
        ("", "/x/file", "a directory cannot be copied to it"),
        ("/nothing", "/x", "nothing: no such file or directory"),
        ("/f/", "/x", "f/: is not a directory"),
    ],
)
def test_what_is_refused(
    what: str, target: str, why: str, mydocker: Mydocker, source: Path
) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    assert why in mydocker.fails(125, "cp", f"{source}{what}", f"bird:{target}")
    assert read(mydocker, "/x/file") == b"old\n"


@pytest.mark.parametrize(
    ("what", "target", "made"),
    [
        ("/x", "out", ["out", "out/e", "out/file"]),
        ("/x", "dir", ["dir/x", "dir/x/e", "dir/x/file"]),
        ("/x/.", "dir", ["dir/e", "dir/file"]),
        ("/lx/", "dir", ["dir/lx", "dir/lx/e", "dir/lx/file"]),
        ("/x/file", "out", ["out"]),
        ("/x/file", "dir/", ["dir/file"]),
        ("/x/file", "link", ["link-target"]),
        ("x/file", ".", ["file"]),
    ],
)
def test_out_of_a_container_the_rules_are_the_same(
    what: str, target: str, made: list[str], mydocker: Mydocker, tmp_path: Path
) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    here = tmp_path / "here"
    (here / "dir").mkdir(parents=True)
    (here / "link").symlink_to("link-target")
    before = {path.relative_to(here) for path in here.rglob("*")}
    done = mydocker.start("cp", f"bird:{what}", target, cwd=here)
    assert done.communicate(timeout=60) == ("", "")
    assert done.returncode == 0
    found = {path.relative_to(here) for path in here.rglob("*")} - before
    assert {str(path) for path in found} == set(made)


def test_out_of_a_container_what_is_missing_is_refused(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    (tmp_path / "file").write_text("kept")
    assert "bird:/nope" in mydocker.fails(125, "cp", "bird:/nope", str(tmp_path))
    assert "no such directory" in mydocker.fails(125, "cp", "bird:/x/file", f"{tmp_path}/a/b")
    assert "no such directory" in mydocker.fails(125, "cp", "bird:/x/file", f"{tmp_path}/a/")
    assert "cannot be copied" in mydocker.fails(125, "cp", "bird:/x", f"{tmp_path}/file")
    assert "not supported" in mydocker.fails(125, "cp", "bird:/x", "bird:/y")
    assert "must be CONTAINER:PATH" in mydocker.fails(125, "cp", "/a", "./b:c")
    assert "no such container" in mydocker.fails(125, "cp", "fish:/x", str(tmp_path))
    assert (tmp_path / "file").read_text() == "kept"


# What is kept


def test_into_a_container_modes_times_owners_and_links_are_kept(
    bird: Mydocker, source: Path
) -> None:
    bird.ok("cp", str(source), "bird:/x/new")
    members = {member.name: member for member in listed(bird, "/x/new")}
    file, link, deep = members["new/f"], members["new/l"], members["new/sub/g"]
    assert (file.mode, file.uid, file.gid) == (0o4755, 1000, 1001)
    assert (link.linkname, link.uid) == ("f", 1000)
    assert deep.islnk()
    assert members["new/sub/again"].mtime == 10**9
    assert read(bird, "/x/new/f") == b"h"


def test_a_link_is_copied_as_one_unless_it_is_to_be_followed(bird: Mydocker, source: Path) -> None:
    bird.ok("cp", f"{source}/l", "bird:/x/")
    bird.ok("cp", "-L", f"{source}/l", "bird:/x/followed")
    (link,), (file,) = listed(bird, "/x/l"), listed(bird, "/x/followed")
    assert (link.linkname, file.isreg()) == ("f", True)
    assert listed(bird, "/lf")[0].issym()
    assert listed(bird, "/lf", "-L")[0].isreg()


def test_on_the_host_files_belong_to_who_copies_them(bird: Mydocker, tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.mkdir()
    (make / "su").write_text("x")
    os.chown(make / "su", 33, 44)
    (make / "su").chmod(0o6711)
    os.setxattr(make / "su", "user.note", b"kept")
    os.mknod(make / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    bird.ok("cp", str(make), "bird:/made")
    done = bird.run("cp", "bird:/made", str(tmp_path / "plain"))
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "left out: " in done.stderr
    assert "disk: a device" in done.stderr
    found = (tmp_path / "plain/su").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o711)
    assert os.getxattr(tmp_path / "plain/su", "user.note") == b"kept"
    assert not (tmp_path / "plain/disk").exists()
    bird.ok("cp", "-a", "bird:/made", str(tmp_path / "whole"))
    found = (tmp_path / "whole/su").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (33, 44, 0o6711)
    assert (tmp_path / "whole/disk").stat().st_rdev == os.makedev(7, 0)


def test_a_directory_that_is_there_keeps_its_mode(bird: Mydocker, source: Path) -> None:
    source.chmod(0o700)
    bird.ok("cp", f"{source}/.", "bird:/tmp")
    assert listed(bird, "/tmp")[0].mode == 0o1777


def test_a_sparse_file_stays_sparse(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "truncate -s 300M /hole; echo x >> /hole")
    mydocker.ok("cp", "bird:/hole", str(tmp_path / "hole"))
    found = (tmp_path / "hole").stat()
    assert found.st_size == (300 << 20) + 2
    assert found.st_blocks * 512 < 10 << 20


def test_with_a_user_namespace_the_owners_are_the_containers(
    mydocker: Mydocker, source: Path, tmp_path: Path
) -> None:
    script = "echo x > /x; chown 5:6 /x; until [ -e /done ]; do sleep 0.02; done; stat -c %u /new/f"
    mydocker.ok("run", "-d", "--userns", "auto", "--name", "bird", "sh", "-c", script)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/x")))
    mydocker.ok("cp", str(source), "bird:/new")
    mydocker.ok("cp", "-a", "bird:/x", str(tmp_path / "x"))
    mydocker.ok("cp", "-a", "bird:/new/f", str(tmp_path / "f"))
    owners = [((tmp_path / name).stat().st_uid, (tmp_path / name).stat().st_gid) for name in "xf"]
    assert owners == [(5, 6), (1000, 1001)]
    mydocker.ok("cp", str(source / "f"), "bird:/done")
    wait_until(lambda: "1000" in mydocker.ok("logs", "bird"))


# A tar on stdin


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    with io.BytesIO() as stream:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for member, content in members:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.uid, found.gid, found.mtime = kind, link, 5, 6, 10**9
    return found


def feed(mydocker: Mydocker, data: bytes, target: str) -> subprocess.CompletedProcess[bytes]:
    words = [str(LAUNCHER), "cp", "-", target]
    return subprocess.run(
        words, env=mydocker.environment, input=data, capture_output=True, check=False
    )


def test_a_tar_is_unpacked_in_a_directory(bird: Mydocker) -> None:
    data = archive((member("d/e/f"), b"new"), (member("file"), b"f"))
    assert feed(bird, data, "bird:/x").returncode == 0
    found = {m.name: (m.uid, m.gid, m.mtime) for m in listed(bird, "/x")}
    assert found["x/d/e/f"] == found["x/file"] == (5, 6, 10**9)
    assert read(bird, "/x/file") == b"f"


def test_a_tar_needs_a_directory_that_is_there(mydocker: Mydocker) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", SETTLE)
    for target in ("/x/file", "/nope"):
        assert b"must be a directory" in feed(mydocker, archive(), f"bird:{target}").stderr
    assert b"not a tar" in feed(mydocker, b"x" * 600, "bird:/x").stderr


@pytest.mark.parametrize(
    "data",
    [
        archive((member("../out"), b"x")),
        archive((member("/x/../../out"), b"x")),
        archive((member("l", tarfile.SYMTYPE, "/"), b""), (member("l/out"), b"x")),
        archive((member("l", tarfile.SYMTYPE, ".."), b""), (member("l/out"), b"x")),
        archive((member("h", tarfile.LNKTYPE, "../file"), b"")),
    ],
    ids=["dot-dot", "absolute", "link to the root", "link upwards", "hard link"],
)
def test_a_tar_cannot_lead_out_of_the_directory(data: bytes, bird: Mydocker) -> None:
    done = feed(bird, data, "bird:/x/e")
    assert done.returncode == 125, done.stderr
    assert done.stderr.startswith(b"mydocker: copy: ")
    assert "out" not in " ".join(names(bird, "/x"))
    assert not Path("/out").exists()


# Volumes and other mounts


@pytest.mark.parametrize("running", [False, True])
def test_a_volume_is_part_of_the_container(
    running: bool, mydocker: Mydocker, source: Path, tmp_path: Path
) -> None:
    flags = ("--name", "bird", "-v", "data:/data", "-v", f"{tmp_path}/host:/h:ro")
    mydocker.ok("run", *(("-d", *flags, "top") if running else (*flags, "true")))
    (tmp_path / "host/there").write_text("t")
    mydocker.ok("cp", f"{source}/f", "bird:/data/in")
    assert (mydocker.root / "volumes/data/_data/in").read_text() == "h"
    assert read(mydocker, "/h/there") == b"t"
    assert "read-only" in mydocker.fails(125, "cp", f"{source}/f", "bird:/h/x")
    assert names(mydocker, "/data") == ["data", "data/in"]
    assert "A" not in mydocker.ok("diff", "bird")


@pytest.mark.parametrize("running", [False, True])
def test_a_read_only_root_cannot_be_written(
    running: bool, mydocker: Mydocker, source: Path
) -> None:
    flags = ("--name", "bird", "--read-only", "-v", "/data")
    mydocker.ok("run", *(("-d", *flags, "top") if running else (*flags, "true")))
    assert "read-only" in mydocker.fails(125, "cp", f"{source}/f", "bird:/x")
    mydocker.ok("cp", f"{source}/f", "bird:/data/x")
    mydocker.ok("rm", "-f", "-v", "bird")


def test_proc_and_the_like_are_no_files(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "--tmpfs", "/t", "sh", "-c", "echo > /t/x; exec top")
    wait_until(lambda: mydocker.run("cp", "bird:/t/x", str(tmp_path / "x")).returncode == 0)
    found = names(mydocker, "/")
    assert {"./proc", "./sys", "./dev", "./t", "./etc/passwd"} <= set(found)
    assert not [n for n in found if n.startswith(("./proc/", "./sys/", "./dev/", "./t/"))]


def test_a_container_that_never_ran_can_be_prepared(mydocker: Mydocker, source: Path) -> None:
    mydocker.run("run", "--name", "bird", "-v", "/data", "no-such-command")
    mydocker.ok("cp", str(source), "bird:/data/new")
    assert "new/f" in names(mydocker, "/data/new")
    mydocker.ok("rm", "-v", "bird")


# Hostile containers


HOSTILE = (
    "ln -s / /root-link; ln -s ../../../../../../.. /up; ln -s /proc/1/root /magic;"
    "echo > /ready; exec top"
)


@pytest.mark.parametrize("link", ["root-link", "up", "magic"])
def test_a_link_leads_to_the_containers_root_only(
    link: str, mydocker: Mydocker, source: Path, tmp_path: Path
) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", HOSTILE)
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/ready")))
    name = f"cp-test-{os.getpid()}"
    for target in (f"/{link}/tmp/{name}", f"/{link}{tmp_path}/{name}"):
        mydocker.run("cp", f"{source}/f", f"bird:{target}")
    assert not Path("/tmp", name).exists()
    assert not (tmp_path / name).exists()
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    done = mydocker.run("cp", f"bird:/{link}{secret}", str(tmp_path / "got"))
    assert done.returncode == 125, done.stdout
    assert not (tmp_path / "got").exists()


def test_a_second_copy_does_not_follow_a_link_that_the_first_brought(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    """A link on the host, then a directory of that name with a file in it: kubectl's CVEs."""
    victim = tmp_path / "victim"
    victim.mkdir()
    mydocker.ok("run", "--name", "bird", "sh", "-c", f"mkdir /d; ln -s {victim} /d/l")
    mydocker.ok("run", "--name", "fish", "sh", "-c", "mkdir -p /d/l; echo x > /d/l/evil")
    mydocker.ok("cp", "bird:/d", f"{tmp_path}/out")
    assert "copy: l: " in mydocker.fails(125, "cp", "fish:/d/.", f"{tmp_path}/out")
    assert list(victim.iterdir()) == []
    assert (tmp_path / "out/l").is_symlink()


RACE = "mkdir /a; cd /; while :; do mv a b; ln -s {} a; rm a; mv b a; done"


def test_a_racing_container_leads_no_copy_out(
    mydocker: Mydocker, source: Path, tmp_path: Path
) -> None:
    """CVE-2018-15664: a directory that is a link to the host's the next moment."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("the host's")
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", RACE.format(victim))
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/[ab]")))
    stop = threading.Event()
    errors: list[str] = []

    def read_out() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            target = tmp_path / f"got{turn}"
            mydocker.run("cp", "bird:/a/secret", str(target))
            if target.exists():
                errors.append("the host's file came out")

    reader = threading.Thread(target=read_out)
    reader.start()
    for _ in range(12):
        mydocker.run("cp", f"{source}/f", "bird:/a/evil")
        mydocker.run("cp", str(source), "bird:/a/dir")
    stop.set()
    reader.join()
    assert errors == []
    assert [path.name for path in victim.iterdir()] == ["secret"]


def test_nothing_of_the_containers_is_loaded(mydocker: Mydocker, tmp_path: Path) -> None:
    """CVE-2019-14271 was a library of the container's, loaded by a process that had gone inside."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    mydocker.ok("run", "-d", "--name", "bird", "sh", "-c", "echo x > /x; exec top")
    wait_until(lambda: list(mydocker.root.glob("containers/*/upper/x")))
    trace = tmp_path / "trace"
    words = ["strace", "-f", "-o", str(trace), "-e", "trace=open,openat,execve,chroot,setns"]
    target = str(tmp_path / "x")
    done = subprocess.run(
        [*words, str(LAUNCHER), "cp", "bird:/x", target],
        env=mydocker.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = trace.read_text().splitlines()
    assert not [line for line in lines if "chroot(" in line]
    (entered,) = [number for number, line in enumerate(lines) if "setns(" in line]
    child = lines[entered].split()[0]
    after = [line for line in lines[entered + 1 :] if line.startswith(child) and "(" in line]
    opened = [line.split('"')[1] for line in after if '"' in line]
    assert opened == ["/", "mnt"]


# Ends that are not happy


def test_a_full_disk_is_told_and_leaves_no_half_file(mydocker: Mydocker, tmp_path: Path) -> None:
    mydocker.ok("run", "--name", "bird", "sh", "-c", "mkdir /d; head -c 3m /dev/urandom > /d/b")
    small = tmp_path / "small"
    small.mkdir()

    def work() -> None:
        tmpfs(str(small), "1m")
        line = mydocker.fails(125, "cp", "bird:/d", str(small))
        assert "no space left" in line
        assert "b: " in line
        assert [path.name for path in small.rglob("*")] == ["d"]
        mydocker.ok("cp", "bird:/etc/passwd", str(small))

    privately(work)


def test_two_copies_at_once_into_a_stopped_container(mydocker: Mydocker, source: Path) -> None:
    mydocker.ok("run", "--name", "bird", "true")
    started = [mydocker.start("cp", str(source), f"bird:/to{number}") for number in range(6)]
    for one in started:
        assert one.communicate(timeout=60) == ("", "")
    for number in range(6):
        assert names(mydocker, f"/to{number}")[1:] == [f"to{number}{name}" for name in TREE[1:]]


def test_the_hosts_mounts_stay_as_they_are_meanwhile(mydocker: Mydocker, source: Path) -> None:
    """A stopped container's overlay is mounted where only mydocker sees it."""
    mydocker.ok("run", "--name", "bird", "-v", "/data", "true")
    before = Path("/proc/self/mountinfo").read_text()
    writer = mydocker.start("cp", "-", "bird:/data", stdin=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(archive((member("f"), b"x"))[:512].decode())
    writer.stdin.flush()
    wait_until(lambda: "containers" in " ".join(_open_files(writer.pid)))
    assert Path("/proc/self/mountinfo").read_text() == before
    own = Path(f"/proc/{writer.pid}/mountinfo").read_text()
    assert "overlay" not in own.replace(before, "")
    writer.kill()
    writer.communicate(timeout=20)
    mydocker.ok("cp", str(source / "f"), "bird:/data/g")
    mydocker.ok("rm", "-v", "bird")


def test_a_start_waits_for_a_copy_and_a_copy_for_a_start(mydocker: Mydocker, source: Path) -> None:
    """Two mounts of one upper directory would undo each other's work."""
    mydocker.ok("create", "--name", "bird", "sh", "-c", "cat /new/f; exec top")
    writer = mydocker.start("cp", "-", "bird:/", stdin=subprocess.PIPE)
    assert writer.stdin is not None
    wait_until(lambda: "mnt:[" in " ".join(_open_files(writer.pid)))  # it is inside
    starting = mydocker.start("start", "bird")
    with pytest.raises(subprocess.TimeoutExpired):
        starting.wait(timeout=0.5)
    writer.communicate(archive((member("new/f"), b"first")).decode(), timeout=60)
    assert (writer.returncode, starting.wait(timeout=60)) == (0, 0)
    wait_until(lambda: mydocker.ok("logs", "bird").startswith("first"))
    for _ in range(3):
        mydocker.ok("rm", "-f", "bird")
        mydocker.ok("create", "--name", "bird", "top")
        starting = mydocker.start("start", "bird")
        mydocker.ok("cp", str(source), "bird:/copied")
        assert starting.wait(timeout=60) == 0
        assert "copied/f" in names(mydocker, "/copied")


def _open_files(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(os.readlink(path))
        except OSError:
            continue
    return found
