"""Lines of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

from pathlib import Path

from mydocker.linux import mountinfo

PLACE = r"36 35 98:0 /mnt1 /mnt\0402\134\011\012 rw,noatime shared:1 master:2"
LINE = f"{PLACE} - ext3 /dev/root rw,errors=x"


def test_a_line_is_taken_apart() -> None:
    entry = mountinfo.MountEntry(LINE)
    assert (entry.id, entry.parent, entry.device, entry.root) == (36, 35, "98:0", "/mnt1")
    assert entry.mountpoint == "/mnt 2\\\t\n"
    assert entry.options == ["rw", "noatime"]
    assert entry.propagation == ["shared:1", "master:2"]
    assert (entry.fstype, entry.source) == ("ext3", "/dev/root")
    assert entry.super_options == ["rw", "errors=x"]


def test_optional_fields_and_a_source_may_be_missing() -> None:
    entry = mountinfo.MountEntry("1 1 0:2 / / rw - rootfs  rw")
    assert (entry.propagation, entry.fstype, entry.source) == ([], "rootfs", "")


def test_our_own_mounts_are_found_deepest_first() -> None:
    entries = mountinfo.mounts()
    assert "/proc" in [entry.mountpoint for entry in entries]
    found = mountinfo.below("/")
    assert len(found) == len(entries)
    assert found == sorted(found, key=len, reverse=True)


def test_below_means_below_and_not_beside(tmp_path: Path) -> None:
    assert mountinfo.below(str(tmp_path)) == []
    assert "/proc" in mountinfo.below("/proc")
    assert "/proc" not in mountinfo.below("/pro")
    (tmp_path / "link").symlink_to("/proc")
    assert "/proc" in mountinfo.below(f"{tmp_path}/link")
