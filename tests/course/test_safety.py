"""Broken code of a student's does not hurt the host: it runs in a box that ends with it."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.course import runner
from lab.course.contain import Box
from lab.course.manifest import REFERENCE, chapters
from mydocker.cgroups import hierarchies
from mydocker.linux import syscalls
from tests.conftest import wait_until

if TYPE_CHECKING:
    from lab.course.runner import Result


def look() -> dict[str, object]:
    """What broken code could change of a host."""
    groups: list[Path] = []
    for hierarchy in hierarchies.mounted():
        groups += Path(hierarchy.top or "/").glob("mydocker-lab-*")
    return {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "groups": groups,
        "name": os.uname().nodename,
        "root": sorted(os.listdir("/")),
        "tmp": list(Path("/tmp").glob("harm-*")),
        "links": sorted(os.listdir("/sys/class/net")),
    }


def broken(tmp_path: Path, module: str, old: str, new: str, step: str) -> Result:
    """What the checkpoints of one step say of the reference with this change."""
    chapter = next(one for one in chapters() if module in one.modules())
    for name in chapter.modules():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = (REFERENCE / name).read_text()
        if name == module:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    steps = [one.id for one in chapter.steps]
    request = runner.Request(chapter, tmp_path, only=[step], passed=steps[: steps.index(step)])
    before = look()
    (result,) = runner.check(request)
    assert look() == before
    return result


HARM = """
    mark = "{mark}"
    for path in ("/tmp", "/etc", "/root", "/usr/bin"):
        try:
            open(f"{{path}}/harm-{{mark}}", "w").close()
        except OSError:
            pass
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SHARED)
    syscalls.mount("tmpfs", "/usr", "tmpfs")
    syscalls.sethostname(mark)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import time

            while True:
                time.sleep(1)
        os._exit(0)
"""


def test_shared_mounts_stray_files_and_a_daemon_end_with_the_box(tmp_path: Path) -> None:
    mark = secrets.token_hex(4)
    result = broken(
        tmp_path,
        "sandbox/namespaces.py",
        '    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)\n',
        HARM.format(mark=mark).replace("\n    mark", "    mark", 1),
        "3.2",
    )
    assert result.outcome == "failed"
    for path in ("/tmp", "/etc", "/root", "/usr/bin"):
        assert not Path(f"{path}/harm-{mark}").exists()


def test_a_root_that_is_switched_in_the_wrong_namespace(tmp_path: Path) -> None:
    """Without unshare(CLONE_NEWNS) the pivot would take the floor from under the host itself."""
    result = broken(
        tmp_path,
        "sandbox/namespaces.py",
        '        elif namespace.type != "user":\n            flags |=',
        '        elif namespace.type not in ("user", "mount"):\n            flags |=',
        "3.1",
    )
    assert result.outcome == "failed"
    assert result.diagnosis in ("ns-shared", "refused", "silent")


def test_a_check_that_hangs_is_stopped_and_told(tmp_path: Path) -> None:
    result = broken(
        tmp_path,
        "rootfs/pivot.py",
        '    syscalls.pivot_root(".", ".")\n',
        "    while True:\n        pass\n",
        "4.1",
    )
    assert (result.outcome, result.diagnosis) == ("failed", "hangs")
    assert "mydocker" in result.got


def test_killing_everything_reaches_the_box_only(tmp_path: Path) -> None:
    result = broken(
        tmp_path,
        "sandbox/channel.py",
        "        return cls(left), cls(right)\n",
        "        os.kill(-1, 15)\n        return cls(left), cls(right)\n",
        "3.3",
    )
    assert (result.outcome, result.diagnosis) == ("failed", "checker-killed")


def test_a_box_sees_no_disk_to_write_to_and_no_process_of_the_hosts(tmp_path: Path) -> None:
    report = os.memfd_create("report")

    def work() -> int:
        found = [name for name in os.listdir("/proc") if name.isdigit()]
        writable = []
        for path in ("/", "/tmp", "/etc", str(tmp_path)):
            if not os.statvfs(path).f_flag & os.ST_RDONLY:
                writable.append(path)
        os.write(report, f"{len(found)} {writable}".encode())
        return 7

    box = Box(str(tmp_path / "scratch"), work)
    assert box.wait(20) == 7
    os.lseek(report, 0, 0)
    assert os.read(report, 1000).decode() == "2 []"
    os.close(report)


def test_a_box_ends_with_all_that_is_in_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def work() -> int:
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                while True:
                    time.sleep(1)
        os.write(writing, b"up")
        time.sleep(100)
        return 0

    box = Box(str(tmp_path / "scratch"), work)
    os.close(writing)
    assert os.read(reading, 2) == b"up"
    box.end()
    assert os.read(reading, 1) == b""  # nobody holds the other end any more
    os.close(reading)


def test_a_box_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    def sleeps() -> int:
        time.sleep(100)
        return 0

    box = Box(str(tmp_path / "scratch"), sleeps)
    assert box.wait(0.3) == 124
    wait_until(lambda: not Path(f"/proc/{box.pid}").exists())


def test_the_scratch_of_a_box_is_gone_with_it(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"

    def work() -> int:
        (scratch / "file").write_text("x")
        syscalls.mount("tmpfs", "/run", "tmpfs")
        return 0

    before = Path("/proc/self/mountinfo").read_text()
    assert Box(str(scratch), work).wait(20) == 0
    assert os.listdir(scratch) == []
    assert Path("/proc/self/mountinfo").read_text() == before
