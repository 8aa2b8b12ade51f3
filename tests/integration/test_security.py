"""What an image may try, and what it finds: the ways out of earlier runtimes, one test each.

The CVE numbers are those of runc, docker, containerd and podman, where the way was found.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.errors import Error
from mydocker.lifecycle.defaults import MASKED_PATHS, READONLY_PATHS
from mydocker.linux import mountinfo, syscalls
from mydocker.sandbox.channel import Channel, die
from mydocker.sandbox.init import Init
from mydocker.spec import Process, Spec
from tests.conftest import CHECKOUT, LAUNCHER, Mydocker

if TYPE_CHECKING:
    from collections.abc import Callable


def image(mydocker: Mydocker, tmp_path: Path, alter: Callable[[Path], object]) -> str:
    """An image `evil`: BusyBox and the mount points, after `alter(directory)`."""
    root = tmp_path / "rootfs"
    (source,) = mydocker.root.glob("images/layers/*/diff")
    (root / "bin").mkdir(parents=True)
    shutil.copy(source / "bin/busybox", root / "bin/busybox")
    for name in ("dev", "etc", "proc", "sys", "tmp"):
        (root / name).mkdir()
    for applet in ("cat", "grep", "id", "ls", "sh", "stat", "touch", "true", "wc"):
        (root / "bin" / applet).symlink_to("busybox")
    alter(root)
    subprocess.run(["tar", "-C", root, "-cf", tmp_path / "evil.tar", "."], check=True)
    mydocker.ok("import", f"{tmp_path}/evil.tar", "evil")
    return "evil"


# The runtime's own executable (CVE-2019-5736)


def host_python() -> list[str]:
    """Volumes that give a container the interpreter's libraries, at the paths it looks for them."""
    python = os.path.realpath(CHECKOUT / ".venv/bin/python3")
    roots = {"/usr", "/lib", "/lib64", str(Path(python).parent.parent)}
    return [f"-v{path}:{path}:ro" for path in sorted(roots) if os.path.isdir(path)]


def test_a_script_that_is_run_by_our_own_executable_cannot_write_to_it(
    shared: Mydocker, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(
        "#!/proc/self/exe\n"
        "import os, sys\n"
        "print(os.statvfs('/proc/self/exe').f_flag & os.ST_RDONLY)\n"
        "for path in ('/proc/self/exe', '/proc/1/exe'):\n"
        "    try:\n"
        "        os.open(path, os.O_WRONLY)\n"
        "        print('opened')\n"
        "    except OSError as error:\n"
        "        print(error.errno in (26, 30))\n"  # ETXTBSY while any process runs it, else EROFS
    )
    script.chmod(0o755)
    words = (*host_python(), f"-v{script}:/script:ro", "/script")
    assert shared.ok("run", "--rm", *words).split() == ["1", "True", "True"]


@pytest.mark.parametrize("flags", [(), ("-u", "daemon"), ("--init",), ("--userns", "auto")])
def test_each_of_our_processes_is_seen_through_a_read_only_mount(
    mydocker: Mydocker, flags: tuple[str, ...]
) -> None:
    words = ("run", "--rm", "-i", *flags, "sh", "-c", "echo up; read x")
    process = mydocker.start(*words, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    python = os.stat(CHECKOUT / ".venv/bin/python3")
    running = [process.pid, *children(process.pid)]
    ours = [pid for pid in running if os.path.samestat(os.stat(f"/proc/{pid}/exe"), python)]
    assert len(ours) == (2 if "--init" in flags else 1)
    for pid in ours:
        # Busy is only for as long as it runs; the mount says so for good.
        assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY
    process.communicate("\n", timeout=20)


def children(pid: int) -> list[int]:
    """The pids of the children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_process_of_ours_in_a_container_cannot_be_traced(shared: Mydocker) -> None:
    script = "cat /proc/1/exe; cat /proc/1/maps; ls /proc/1/fd; ls /proc/1/root/"
    done = shared.run("run", "--rm", "--init", "sh", "-c", script)
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") >= 3


# Code of the image that we would run (CVE-2019-14271)


def test_no_file_of_the_image_is_imported_by_the_runtime(
    mydocker: Mydocker, tmp_path: Path
) -> None:
    # Wherever our interpreter looks for modules, the image has its own, and each leaves a mark.
    library, site = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    places = [
        library,
        f"{library}/lib-dynload",
        site,
        str(CHECKOUT),
        f"{CHECKOUT}/mydocker",
        "/",
        "w",
    ]
    names = ["encodings", "json", "traceback", "errno", "os", "codecs", "sitecustomize", "mydocker"]

    def alter(root: Path) -> None:
        for place in places:
            for name in names:
                package = root / place.lstrip("/") / name
                package.mkdir(parents=True, exist_ok=True)
                (package / "__init__.py").write_text(f"open('/pwned', 'w').write({name!r})\n")
        (root / "etc/nsswitch.conf").write_text("passwd: evil\ngroup: evil\n")
        (root / "etc/passwd").write_text("bird:x:7:7:\udcff:/:\n", errors="surrogateescape")

    evil = image(mydocker, tmp_path, alter)
    runs = [
        ((), "true", 0),
        (("-w", "/w", "-u", "bird"), "id", 0),
        (("-u", "nobody-here"), "true", 125),
        (("--userns", "auto", "--init", "--explain"), "true", 0),
        (("-t", "--explain", "--debug"), "nope", 127),
        (("-w", "/bin/sh"), "true", 126),
    ]
    for flags, word, code in runs:
        done = mydocker.run("run", *flags, evil, word)
        assert done.returncode == code, (flags, done)
    assert not list(mydocker.root.glob("containers/*/upper/pwned"))


def test_after_the_switch_of_roots_nothing_can_be_imported() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from mydocker.sandbox.init import forbid_imports\n"
        "forbid_imports()\n"
        "import os, mydocker.errors  # what is there already\n"
        "for name in ('colorsys', 'encodings.cp037', 'mydocker.cli.ps', '_zoneinfo'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "        print(name)\n"
        "    except ImportError:\n"
        "        pass\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script]
    assert subprocess.check_output(command, text=True, cwd=CHECKOUT) == ""


def test_the_first_process_forbids_imports_before_it_enters(
    forked: Callable[[Callable[[], None]], int],
) -> None:
    ours, theirs = Channel.pair()

    def enter() -> None:
        __import__("colorsys")

    def main() -> None:
        try:
            Init(Spec(process=Process(args=["true"])), enter, enter, None)(theirs)
        except BaseException as error:
            die(theirs, error)

    forked(main)
    theirs.close()
    ours.send("go")
    with pytest.raises(Error, match=r"^init: .*(colorsys|sys.meta_path is empty)"):
        ours.receive()
    ours.close()


# Descriptors and directories (CVE-2024-21626, CVE-2016-9962)


def test_no_descriptor_of_the_host_is_inside(shared: Mydocker) -> None:
    shell = (
        f"exec 3</ 4</etc/passwd 9<{CHECKOUT};"
        f"exec {LAUNCHER} run --rm sh -c 'ls -l /proc/1/fd; readlink /proc/1/cwd'"
    )
    out = subprocess.check_output(
        ["sh", "-c", shell], env=shared.environment, text=True, cwd="/tmp"
    )
    *lines, directory = out.splitlines()
    assert [line.split()[-3] for line in lines[1:] if "->" in line] == ["0", "1", "2"]
    assert directory == "/"


@pytest.mark.parametrize("number", [*range(3, 15)])
def test_a_working_directory_cannot_lead_out_by_a_descriptor(shared: Mydocker, number: int) -> None:
    line = shared.fails(125, "run", "--rm", "-w", f"/proc/self/fd/{number}", "ls", "-a")
    assert line.startswith(f"mydocker: working directory: /proc/self/fd/{number}: ")
    line = shared.fails(125, "run", "--rm", "-w", f"/proc/self/fd/{number}/../../made", "true")
    assert line.startswith(f"mydocker: working directory: /proc/self/fd/{number}/../../made: ")


@pytest.mark.parametrize("path", ["/proc/self/cwd", "/proc/self/root/tmp", "/proc/1/root"])
def test_a_working_directory_is_a_path_and_no_magic_link(shared: Mydocker, path: str) -> None:
    line = shared.fails(125, "run", "--rm", "-w", path, "true")
    assert line == f"mydocker: working directory: {path}: leads out of the container"


# Links in the image (CVE-2019-16884, CVE-2019-19921, CVE-2021-30465, CVE-2023-27561)


@pytest.mark.parametrize("up", ["", "../../../../../../../../.."])
@pytest.mark.parametrize("volume", ["/link", "/chain", "/chain/new"])
def test_a_volume_through_a_link_stays_inside_the_root(
    mydocker: Mydocker, tmp_path: Path, up: str, volume: str
) -> None:
    outside, data = tmp_path / "outside", tmp_path / "data"
    for directory in (outside, data):
        directory.mkdir()
    (data / "file").write_text("data")

    def alter(root: Path) -> None:
        (root / "link").symlink_to(f"{up}{outside}")
        (root / "chain").symlink_to("link")
        (root / str(outside).lstrip("/")).mkdir(parents=True)

    evil = image(mydocker, tmp_path, alter)
    found = f"{outside}{'/new' if volume.endswith('new') else ''}/file"
    assert mydocker.ok("run", "--rm", f"-v{data}:{volume}", evil, "cat", found) == "data"
    assert os.listdir(outside) == []


@pytest.mark.parametrize("target", ["/nowhere/at/all", "loop", "/etc/passwd/x"])
def test_a_volume_through_a_link_to_nothing_is_refused(
    mydocker: Mydocker, tmp_path: Path, target: str
) -> None:
    evil = image(mydocker, tmp_path, lambda root: (root / "loop").symlink_to(target))
    line = mydocker.fails(125, "run", "--rm", f"-v{tmp_path}:/loop/x", evil, "true")
    assert "/loop" in line


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_or_sys_as_a_link_is_refused(mydocker: Mydocker, tmp_path: Path, name: str) -> None:
    def alter(root: Path) -> None:
        (root / name).rmdir()
        (root / name).symlink_to("/etc")

    line = mydocker.fails(125, "run", "--rm", image(mydocker, tmp_path, alter), "true")
    assert line == f"mydocker: mount: /{name}: is a symbolic link in the image"


@pytest.mark.parametrize("target", ["/etc", "../../../../../../../etc"])
def test_dev_as_a_link_leads_to_a_place_inside(
    mydocker: Mydocker, tmp_path: Path, target: str
) -> None:
    def alter(root: Path) -> None:
        (root / "dev").rmdir()
        (root / "dev").symlink_to(target)

    before = sorted(os.listdir("/etc"))
    evil = image(mydocker, tmp_path, alter)
    assert "null" in mydocker.ok("run", "--rm", evil, "ls", "/etc").split()
    assert sorted(os.listdir("/etc")) == before


@pytest.mark.parametrize("flags", [("-t",), ()])
def test_devices_and_console_are_not_made_through_links(
    mydocker: Mydocker, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    # /dev is a fresh file system: only a volume can bring a link there (CVE-2025-52565).
    dev = tmp_path / "dev"
    dev.mkdir()
    target = tmp_path / "target"
    for name in ("console", "null", "pts", "shm"):
        (dev / name).symlink_to(target)
    done = mydocker.run("run", "--rm", *flags, f"-v{dev}:/dev", "true")
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) <= 2
    assert not target.exists()


# What is covered


def test_masked_paths_show_nothing(shared: Mydocker) -> None:
    there = [path for path in MASKED_PATHS if os.path.exists(path)]
    assert "/proc/keys" in there
    script = 'for path; do if [ -d "$path" ]; then ls -A "$path"; else cat "$path"; fi; done'
    assert shared.ok("run", "--rm", "sh", "-c", script, "name", *there) == ""
    script = 'for path; do touch "$path/x" 2> /dev/null && echo "$path"; done; true'
    directories = [path for path in there if os.path.isdir(path)]
    assert shared.ok("run", "--rm", "sh", "-c", script, "name", *directories) == ""


def test_an_own_null_device_is_no_cover(mydocker: Mydocker, tmp_path: Path) -> None:
    # A volume in the place of /dev brings a file `null`, which would be bound (CVE-2025-31133).
    dev = tmp_path / "dev"
    dev.mkdir()
    (dev / "null").write_text("")
    line = mydocker.fails(125, "run", "--rm", f"-v{dev}:/dev", "true")
    assert line == "mydocker: mknod: /dev/null: something else has this name"


@pytest.mark.parametrize("flags", [(), ("--privileged",), ("-t",)])
def test_the_hosts_dev_can_be_a_volume(shared: Mydocker, flags: tuple[str, ...]) -> None:
    before = sorted(os.listdir("/dev"))
    console = os.path.exists("/dev/console")
    if "-t" in flags and not console:
        pytest.skip("this machine has no /dev/console: the container would make one")
    script = "echo x > /dev/null && wc -c < /proc/keys; ls /dev | wc -l"
    out = shared.ok("run", "--rm", *flags, "-v", "/dev:/dev", "sh", "-c", script)
    assert int(out.split()[1]) == len(before)
    assert sorted(os.listdir("/dev")) == before


@pytest.mark.v2
def test_what_is_of_the_whole_machine_is_read_only(shared: Mydocker) -> None:
    out = shared.ok("run", "--rm", "cat", "/proc/self/mountinfo")
    options = {
        entry.mountpoint: entry.options for entry in map(mountinfo.MountEntry, out.splitlines())
    }
    covered = [path for path in READONLY_PATHS if os.path.exists(path)]
    cgroups = [path for path in options if path.startswith("/sys/fs/cgroup")]
    assert "/proc/sys" in covered
    assert cgroups
    for path in [*covered, "/sys", *cgroups]:
        assert "ro" in options[path], path
    for path in ("/proc", "/sys", "/dev/shm", "/dev/mqueue"):
        assert {"nosuid", "nodev", "noexec"} <= set(options[path]), path


def test_the_container_cannot_take_the_covers_off(shared: Mydocker) -> None:
    tries = [
        "mount -o remount,rw /sys",
        "mount -t proc proc /mnt",
        "mount -t tmpfs tmpfs /mnt",
        "umount /proc/sys",
        "mount --bind / /mnt",
        "unshare -m true",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "hostname other",
        "reboot -f -n",
        "chroot /proc/1/root/.. ls /work",
        "mknod /proc/x c 1 1",
    ]
    script = "; ".join(f"({attempt}) 2> /dev/null && echo '{attempt}'" for attempt in tries)
    assert shared.ok("run", "--rm", "sh", "-c", f"{script}; true") == ""


def test_privileged_covers_nothing(shared: Mydocker) -> None:
    script = "mount -t tmpfs tmpfs /mnt && ls -A /mnt; wc -l < /proc/keys; ls /dev"
    lines, *devices = shared.ok("run", "--rm", "--privileged", "sh", "-c", script).split()
    assert int(lines) > 0
    nodes = {name for name in os.listdir("/dev") if stat.S_ISBLK(os.lstat(f"/dev/{name}").st_mode)}
    assert nodes <= set(devices)


# Devices


def test_dev_holds_dockers_few_nodes_and_links(shared: Mydocker) -> None:
    script = "cd /dev; for name in *; do stat -c '%n %F %t:%T %a' $name; done"
    out = shared.ok("run", "--rm", "sh", "-c", script)
    found = dict(line.split(" ", 1) for line in out.splitlines())
    nodes = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
    assert found == {
        **{name: f"character special file 1:{minor} 666" for name, minor in nodes.items()},
        "tty": "character special file 5:0 666",
        **dict.fromkeys(["fd", "stdin", "stdout", "stderr", "ptmx"], "symbolic link 0:0 777"),
        "pts": "directory 0:0 755",
        **dict.fromkeys(["shm", "mqueue"], "directory 0:0 1777"),
    }


def block_device() -> tuple[int, int]:
    """A disk of this machine."""
    for path in sorted(Path("/sys/block").glob("*/dev")):
        if (path.parent / "size").read_text() != "0\n":
            major, minor = path.read_text().split(":")
            return int(major), int(minor)
    pytest.skip("this machine has no disk")


def needs_a_list_of_devices() -> None:
    """Skip where the kernel has no devices controller, but an eBPF program instead."""
    if not os.path.isdir("/sys/fs/cgroup/devices"):
        pytest.skip("on cgroup v2 the list of devices comes with the container's hardening")


@pytest.mark.parametrize("flags", [(), ("--cap-add", "ALL"), ("--userns", "auto")])
def test_a_node_of_the_hosts_disk_can_be_made_but_not_opened(
    shared: Mydocker, flags: tuple[str, ...]
) -> None:
    needs_a_list_of_devices()
    major, minor = block_device()
    script = f"mknod /disk b {major} {minor}; mknod /mem c 1 1; head -c 1 /disk /mem"
    done = shared.run("run", "--rm", *flags, "sh", "-c", script)
    assert done.stdout.replace("==> /disk <==\n", "").replace("==> /mem <==\n", "") == ""
    assert len(done.stderr.splitlines()) >= 2, done


def test_the_terminals_of_the_host_are_not_reached(shared: Mydocker) -> None:
    needs_a_list_of_devices()
    done = shared.run("run", "--rm", "sh", "-c", "mknod /t c 4 1; echo x > /t; ls /dev/pts")
    assert "Operation not permitted" in done.stderr
    assert done.stdout == "ptmx\n"


# What no namespace covers


def session_keyring(syscall: str) -> str:
    """Python that prints the serial number of the session keyring (keyctl(2))."""
    return f"import ctypes; print(ctypes.CDLL(None).syscall({syscall}, 0, -3, 0))"


def test_the_session_keyring_is_a_new_one(shared: Mydocker) -> None:
    if not os.path.exists("/proc/keys"):
        pytest.skip("this kernel has no keyrings")
    script = session_keyring(str(syscalls._NUMBERS["keyctl"]))
    python = os.path.realpath(CHECKOUT / ".venv/bin/python3")
    inside = shared.ok("run", "--rm", *host_python(), python, "-I", "-S", "-c", script)
    outside = subprocess.check_output([python, "-I", "-S", "-c", script], text=True)
    assert int(inside) > 0
    assert inside != outside


def test_the_container_leads_a_session_of_its_own(shared: Mydocker) -> None:
    out = shared.ok("run", "--rm", "cat", "/proc/self/stat")
    group, session, terminal = out.rsplit(")", 1)[1].split()[2:5]
    assert (group, session, terminal) == ("1", "1", "0")


def test_cgroups_do_not_give_the_host_away(shared: Mydocker) -> None:
    # CVE-2022-0492: a release_agent that can be written runs on the host.
    script = "cat /proc/self/cgroup; for f in $(find /sys/fs/cgroup -name release_agent); do "
    out = shared.ok(
        "run", "--rm", "sh", "-c", script + "echo x > $f && echo $f; done 2> /dev/null; :"
    )
    assert all(line.endswith(":/") for line in out.splitlines()), out


# State and mounts on the host


def test_the_state_is_for_root_only(mydocker: Mydocker) -> None:
    old = os.umask(0)
    try:
        mydocker.ok("run", "--name", "bird", "echo", "secret")
        mydocker.ok("run", "-d", "--name", "fish", "top")
        mydocker.ok("commit", "bird", "changed")
    finally:
        os.umask(old)
    directories = {mydocker.root, *mydocker.root.glob("*/"), *mydocker.root.glob("containers/*")}
    directories |= {*mydocker.root.glob("images/*/"), *mydocker.root.glob("images/layers/*")}
    for path in {path for path in directories if path.is_dir()}:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for pattern in ("*.lock", "containers/*/*.json", "images/*.json", "images/lock"):
        for path in mydocker.root.glob(pattern):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_host_sees_no_mount_of_a_container(mydocker: Mydocker, tmp_path: Path) -> None:
    # The tests' own mounts are shared ones (conftest.py), as systemd makes them.
    assert [e.propagation for e in mountinfo.mounts() if e.mountpoint == "/"][-1]
    before = Path("/proc/self/mountinfo").read_text()
    words = ("-d", f"-v{tmp_path}:/data:shared", "--tmpfs", "/below", "--userns")
    for name, userns in (("bird", "host"), ("fish", "auto")):
        mydocker.ok("run", "--name", name, *words, userns, "top")
        record = mydocker.inspect(name)
        inside = {entry.mountpoint for entry in mountinfo.mounts(record["pid"])}
        assert {"/", "/proc", "/dev/pts", "/data", "/below"} <= inside
    now = Path("/proc/self/mountinfo").read_text()
    os.kill(record["pid"], signal.SIGKILL)
    mydocker.ok("rm", "-f", "bird", "fish")
    assert now == before
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_container_sees_no_mount_of_the_host(shared: Mydocker) -> None:
    out = shared.ok("run", "--rm", "cat", "/proc/self/mountinfo")
    entries = [mountinfo.MountEntry(line) for line in out.splitlines()]
    ours = ("/", "/proc", "/dev", "/sys")
    assert all(e.mountpoint == "/" or e.mountpoint.startswith(ours[1:]) for e in entries)
    assert [entry.mountpoint for entry in entries].count("/") == 1
    assert not any(entry.propagation for entry in entries)  # neither shared nor a slave
