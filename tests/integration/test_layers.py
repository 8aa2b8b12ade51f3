"""Layers: a tar becomes a directory, as it is, and never anything outside of it."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mydocker.errors import Error
from mydocker.rootfs import layer, skeleton, tar
from mydocker.rootfs.tar import END, Member, encode
from mydocker.rootfs.unpack import Unpacked, unpack
from tests.integration.private_mounts import privately, tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterator

Entry = tuple[Member, bytes]


def entry(name: bytes, type: bytes = tar.REGULAR, content: bytes = b"", **fields: Any) -> Entry:
    """A member with its content, for `archive`."""
    member = Member(name, type, 0o755 if type == tar.DIRECTORY else 0o644)
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def archive(*entries: Entry) -> bytes:
    return b"".join(encode(m) + c + bytes(-len(c) % tar.BLOCK) for m, c in entries) + END


def unpacked(directory: Path, data: bytes, step: int = 100_000) -> Unpacked:
    """Unpack into a new directory, piece by piece."""
    directory.mkdir()
    pieces = iter([data[at : at + step] for at in range(0, len(data), step)])
    return unpack(lambda: next(pieces, b""), str(directory))


def contents(directory: Path | str) -> dict[str, tuple[Any, ...]]:
    """All that a tree holds, by name: attributes, and content or target."""
    found = {}
    for member, fd, base in layer.tree(str(directory)):
        content: Any = member.link
        if member.type == tar.REGULAR:
            with open(os.open(base, os.O_RDONLY, dir_fd=fd), "rb") as file:
                content = file.read()
        marks = {k: v for k, v in member.xattrs.items() if k != b"trusted.overlay.origin"}
        times = (member.mode, member.uid, member.gid, member.mtime)
        found[os.fsdecode(member.name)] = (
            member.type,
            *times,
            content,
            member.major,
            member.minor,
            marks,
        )
    return found


def packed(directory: Path) -> bytes:
    return b"".join(layer.pack(layer.tree(str(directory))))


# What is right


def test_a_tree_of_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.chmod(tree, 0o1777)
    (tree / "dir" / "deeper").mkdir(parents=True)
    (tree / "dir" / "file").write_bytes(b"content")
    (tree / "dir" / "empty").touch()
    os.chmod(tree / "dir" / "file", 0o4755)
    os.chown(tree / "dir" / "file", 1000, 2000)
    os.chmod(tree / "dir" / "file", 0o6755)
    os.link(tree / "dir" / "file", tree / "again")
    os.symlink("dir/nowhere", tree / "link")
    os.chown(tree / "link", 7, 8, follow_symlinks=False)
    os.mkfifo(tree / "pipe", 0o622)
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(tree / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 1_000_000))
    (tree / ("n" * 200)).write_bytes(b"x" * 100_001)
    (tree / "中文").write_bytes(b"")
    (Path(os.fsdecode(os.fsencode(tree) + b"/\xff\xfe"))).touch()
    os.setxattr(
        tree / "dir" / "file",
        "security.capability",
        bytes.fromhex("010000020004000000" * 2)[:20].ljust(20, b"\0"),
    )
    os.setxattr(tree / "dir", "trusted.note", b"bin\0ary")
    os.setxattr(tree / "link", "trusted.note", b"on a link", follow_symlinks=False)
    os.utime(tree / "dir" / "deeper", ns=(5, 123_456_789_012))
    os.utime(tree / "link", ns=(5, 1), follow_symlinks=False)
    os.utime(tree / "dir" / "empty", ns=(5, -1_500_000_000))
    os.utime(tree / "dir", ns=(5, 77_000_000_000))
    os.utime(tree, ns=(5, 99_000_000_001))
    before = contents(tree)
    data = packed(tree)
    done = unpacked(tmp_path / "layer", data)
    assert contents(tmp_path / "layer" / "diff") == before
    assert done.lost == []
    assert (
        os.stat(tmp_path / "layer/diff/again").st_ino
        == os.stat(tmp_path / "layer/diff/dir/file").st_ino
    )
    assert packed(tmp_path / "layer" / "diff") == data
    assert b"".join(skeleton.assemble(str(tmp_path / "layer"))) == data


def test_what_gnu_tar_writes_is_what_gnu_tar_would_unpack(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / ("long" * 60)).write_bytes(b"1")
    (tree / "a" / "file").write_bytes(b"2" * 5000)
    os.chown(tree / "a" / "file", 3_000_000, 12)
    os.link(tree / "a" / "file", tree / "hard")
    os.symlink("x" * 150, tree / "soft")
    with open(tree / "sparse", "wb") as file:
        file.seek(10_000_000)
        file.write(b"end")
        file.truncate(20_000_000)
    for number, options in enumerate(
        [
            ["--format=gnu"],
            ["--format=posix", "--xattrs"],
            ["--format=gnu", "--sparse"],
            ["--format=posix", "--sparse", "--sparse-version=0.0"],
            ["--format=posix", "--sparse", "--sparse-version=1.0"],
            ["--format=gnu", "--label=volume"],
        ]
    ):
        command = ["tar", *options, "--sort=name", "-C", str(tree), "-c", "."]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        there = tmp_path / f"tar{number}"
        there.mkdir()
        subprocess.run(["tar", "-C", str(there), "-xpf", "-"], input=data, check=True)
        unpacked(tmp_path / f"ours{number}", data)
        diff = tmp_path / f"ours{number}" / "diff"
        assert contents(diff) == contents(there), options
        assert os.stat(diff / "sparse").st_blocks * 512 < 1_000_000, "holes were filled"
        assert b"".join(skeleton.assemble(str(diff.parent))) == data


def test_a_directory_that_is_not_mentioned_is_made(tmp_path: Path) -> None:
    unpacked(tmp_path / "layer", archive(entry(b"a/b/file")))
    made = os.stat(tmp_path / "layer/diff/a/b")
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_mtime) == (0o755, 0, 0)


def test_a_read_only_directory_and_its_time_do_not_hinder_what_is_in_it(tmp_path: Path) -> None:
    closed = entry(b"dir/", tar.DIRECTORY, mode=0o500, mtime=10**9)
    unpacked(tmp_path / "layer", archive(closed, entry(b"dir/file")))
    made = os.stat(tmp_path / "layer/diff/dir")
    assert (stat.S_IMODE(made.st_mode), made.st_mtime) == (0o500, 1)


def test_setgid_of_a_directory_is_not_inherited(tmp_path: Path) -> None:
    shared = entry(b"dir/", tar.DIRECTORY, mode=0o2775, gid=50)
    unpacked(
        tmp_path / "layer", archive(shared, entry(b"dir/file"), entry(b"dir/sub/", tar.DIRECTORY))
    )
    assert os.stat(tmp_path / "layer/diff/dir/file").st_gid == 0
    assert stat.S_IMODE(os.stat(tmp_path / "layer/diff/dir/sub").st_mode) == 0o755


def test_long_rows_of_zeros_become_holes(tmp_path: Path) -> None:
    content = bytes(5_000_000) + b"middle" + bytes(5_000_000)
    unpacked(tmp_path / "layer", archive(entry(b"f", content=content)))
    file = tmp_path / "layer/diff/f"
    assert file.read_bytes() == content
    assert file.stat().st_blocks * 512 < 1_000_000


def test_a_socket_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "tree" / "socket"))
        assert list(contents(tmp_path / "tree")) == ["./"]


def test_the_size_is_that_of_the_files_once(tmp_path: Path) -> None:
    hard = entry(b"hard", tar.HARD_LINK, link=b"a")
    data = archive(entry(b"a", content=b"x" * 1000), hard, entry(b"b", content=b"y" * 24))
    assert unpacked(tmp_path / "layer", data).size == 1024


def test_a_stream_may_come_byte_by_byte(tmp_path: Path) -> None:
    data = archive(entry(b"a/", tar.DIRECTORY), entry(b"a/f", content=b"hello"))
    first = unpacked(tmp_path / "one", data, step=1)
    second = unpacked(tmp_path / "two", data)
    assert first.diff_id == second.diff_id
    assert contents(tmp_path / "one/diff") == contents(tmp_path / "two/diff")


# A name twice: the later one counts, and the tar can still be made again


@pytest.mark.parametrize(
    "entries",
    [
        [entry(b"x", content=b"old"), entry(b"x", content=b"new")],
        [entry(b"x", content=b"old"), entry(b"y"), entry(b"./x", content=b"new")],
        [entry(b"x", tar.SYMLINK, link=b"/etc/passwd"), entry(b"x", content=b"new")],
        [
            entry(b"x", tar.SYMLINK, link=b"y"),
            entry(b"y", content=b"y"),
            entry(b"x", content=b"new"),
        ],
        [entry(b"x/f", content=b"old"), entry(b"x", content=b"new")],
        [
            entry(b"x/a/b/c", content=b"old"),
            entry(b"x/a/d", content=b"1"),
            entry(b"x", content=b"new"),
        ],
        [entry(b"x", content=b"1"), entry(b"x", content=b"2"), entry(b"x", content=b"new")],
        [
            entry(b"h", content=b"old"),
            entry(b"x", tar.HARD_LINK, link=b"h"),
            entry(b"x", content=b"new"),
        ],
        [
            entry(b"x", content=b"old"),
            entry(b"h", tar.HARD_LINK, link=b"x"),
            entry(b"x", content=b"new"),
        ],
        [entry(b"x", tar.FIFO), entry(b"x", content=b"new")],
        [entry(b".wh.x"), entry(b"x", content=b"new")],
        [entry(b"x", content=b"new"), entry(b".wh.x")],
    ],
)
def test_the_later_of_two_members_with_one_name_counts(
    tmp_path: Path, entries: list[Entry]
) -> None:
    data = archive(*entries)
    unpacked(tmp_path / "layer", data)
    file = tmp_path / "layer/diff/x"
    assert not file.is_symlink()
    assert file.read_bytes() == b"new"
    assert b"".join(skeleton.assemble(str(tmp_path / "layer"))) == data


def test_a_directory_twice_keeps_its_content_and_takes_the_later_attributes(tmp_path: Path) -> None:
    first, last = entry(b"d/", tar.DIRECTORY, mode=0o700), entry(b"d", tar.DIRECTORY, mode=0o711)
    unpacked(tmp_path / "layer", archive(first, entry(b"d/f"), last))
    assert stat.S_IMODE(os.stat(tmp_path / "layer/diff/d").st_mode) == 0o711
    assert (tmp_path / "layer/diff/d/f").exists()


def test_a_directory_takes_the_place_of_a_file_or_link(tmp_path: Path) -> None:
    link = entry(b"d", tar.SYMLINK, link=b"elsewhere")
    through = entry(b"elsewhere/f", content=b"1")
    # First through the link, then the link becomes a directory: nothing may go through it now.
    data = archive(
        through,
        link,
        entry(b"d/f", content=b"2"),
        entry(b"d/", tar.DIRECTORY),
        entry(b"d/f", content=b"3"),
    )
    unpacked(tmp_path / "layer", data)
    assert (tmp_path / "layer/diff/d/f").read_bytes() == b"3"
    assert (tmp_path / "layer/diff/elsewhere/f").read_bytes() == b"2"
    assert b"".join(skeleton.assemble(str(tmp_path / "layer"))) == data


# Whiteouts


def opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def whiteout(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def test_whiteouts_become_those_of_overlayfs(tmp_path: Path) -> None:
    data = archive(
        entry(b"etc/", tar.DIRECTORY),
        entry(b"etc/.wh.gone"),
        entry(b"new/", tar.DIRECTORY),
        entry(b"new/.wh..wh..opq"),
        entry(b"new/file"),
        entry(b".wh..wh.plnk/", tar.DIRECTORY),
        entry(b".wh..wh.aufs"),
    )
    unpacked(tmp_path / "layer", data)
    diff = tmp_path / "layer/diff"
    assert whiteout(diff / "etc/gone")
    assert opaque(diff / "new")
    assert sorted(os.listdir(diff)) == ["etc", "new"]
    assert os.listdir(diff / "new") == ["file"]
    assert b"".join(skeleton.assemble(str(tmp_path / "layer"))) == data


@pytest.mark.parametrize(
    "entries",
    [
        [entry(b".wh.d"), entry(b"d/", tar.DIRECTORY), entry(b"d/f")],
        [entry(b".wh.d"), entry(b"d/f")],
        [entry(b"d/", tar.DIRECTORY), entry(b"d/f"), entry(b".wh.d")],
    ],
)
def test_a_directory_that_is_deleted_and_made_anew_is_opaque(
    tmp_path: Path, entries: list[Entry]
) -> None:
    unpacked(tmp_path / "layer", archive(*entries))
    assert opaque(tmp_path / "layer/diff/d")
    assert (tmp_path / "layer/diff/d/f").is_file()


def test_marks_of_an_overlay_cannot_be_forged(tmp_path: Path) -> None:
    forged = {
        b"trusted.overlay.redirect": b"/etc",
        b"trusted.overlay.metacopy": b"",
        b"user.overlay.x": b"1",
    }
    data = archive(
        entry(b"d/", tar.DIRECTORY, xattrs={**forged, b"trusted.overlay.opaque": b"y"}),
        entry(b"f", xattrs=forged),
    )
    unpacked(tmp_path / "layer", data)
    for name in ("d", "f"):
        assert os.listxattr(tmp_path / "layer/diff" / name) == []


# What is evil


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the layer's that must stay as it is; tars know its path."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "file").write_bytes(b"untouched")
    (place / "dir").mkdir()
    before = contents(place)
    yield place
    assert contents(place) == before


def evil(outside: bytes) -> dict[str, list[Entry]]:
    up = b"../../outside"
    link = entry(b"l", tar.SYMLINK, link=outside)
    relative = entry(b"l", tar.SYMLINK, link=up)
    return {
        "dots": [entry(up + b"/new")],
        "dots inside": [entry(b"a/", tar.DIRECTORY), entry(b"a/../../../outside/new")],
        "dots at the end": [entry(b"a/..", tar.DIRECTORY, mode=0o000)],
        "absolute": [entry(outside + b"/new")],
        "absolute file": [entry(outside + b"/file", content=b"written")],
        "through a link": [link, entry(b"l/new")],
        "through a relative link": [relative, entry(b"l/new")],
        "through a link to a file": [
            entry(b"l", tar.SYMLINK, link=outside + b"/file"),
            entry(b"l", content=b"written"),
        ],
        "through two links": [
            entry(b"a", tar.SYMLINK, link=b".."),
            entry(b"b", tar.SYMLINK, link=b"a/../outside"),
            entry(b"b/new"),
        ],
        "directory over a link": [link, entry(b"l/", tar.DIRECTORY, mode=0o000), entry(b"l/new")],
        "hard link out": [
            entry(b"h", tar.HARD_LINK, link=up + b"/file"),
            entry(b"h", content=b"w"),
        ],
        "hard link to an absolute name": [entry(b"h", tar.HARD_LINK, link=outside + b"/file")],
        "hard link through a link": [link, entry(b"h", tar.HARD_LINK, link=b"l/file")],
        "hard link to a link": [
            entry(b"l", tar.SYMLINK, link=outside + b"/file"),
            entry(b"h", tar.HARD_LINK, link=b"l"),
            entry(b"h", content=b"written", mode=0o777),
        ],
        "whiteout out": [entry(up + b"/.wh.file")],
        "whiteout through a link": [link, entry(b"l/.wh.file")],
        "opaque through a link": [link, entry(b"l/.wh..wh..opq")],
        "whiteout of dots": [entry(b"a/.wh...")],
        "whiteout of a dot": [entry(b"a/.wh..")],
        "whiteout of nothing": [entry(b"a/.wh.")],
        "inside a whiteout": [entry(b".wh.a/b")],
        "mode through a link": [entry(b"l", tar.SYMLINK, link=outside + b"/dir", mode=0o000)],
        "replaced directory": [
            entry(b"d/", tar.DIRECTORY, mode=0o123),
            entry(b"d", tar.SYMLINK, link=outside + b"/dir"),
        ],
        "replaced while cached": [
            entry(b"d/f"),
            entry(b"d", tar.SYMLINK, link=outside),
            entry(b"d/file", content=b"written"),
        ],
        "links in a circle": [
            entry(b"a", tar.SYMLINK, link=b"b"),
            entry(b"b", tar.SYMLINK, link=b"a"),
            entry(b"a/f"),
        ],
        "proc": [entry(b"l", tar.SYMLINK, link=b"/proc/self/root"), entry(b"l/new")],
        "root as a link": [entry(b".", tar.SYMLINK, link=outside)],
        "root as a file": [entry(b"/", content=b"x")],
        "root deleted": [entry(b".wh."), entry(b".wh..wh..opq")],
        "too deep": [entry(b"d/" * 3000 + b"f")],
        "too long": [entry(b"n" * 300)],
        "deep by links": [
            entry(b"d/" * 400 + b"f"),
            entry(b"l", tar.SYMLINK, link=b"d/" * 400),
            entry(b"l/" + b"d/" * 400 + b"f"),
        ],
        "empty link": [entry(b"l", tar.SYMLINK)],
        "uid overflow": [entry(b"f", uid=2**32 - 1)],
        "gid overflow": [entry(b"f", tar.DIRECTORY, gid=2**32 + 1)],
        "time overflow": [entry(b"f", mtime=2**100)],
        "hard link to a directory": [entry(b"d/f"), entry(b"h", tar.HARD_LINK, link=b"d")],
        "hard link to nothing": [entry(b"h", tar.HARD_LINK, link=b"no")],
        "hard link into nothing": [entry(b"h", tar.HARD_LINK, link=b"no/no")],
        "hard link to a deleted name": [entry(b"h", tar.HARD_LINK, link=b".wh.x")],
        "file as a directory": [entry(b"f"), entry(b"f/g")],
        "dangling link as a directory": [entry(b"l", tar.SYMLINK, link=b"no"), entry(b"l/g")],
    }


STAYS_INSIDE = {
    # Absolute names and links are taken as the container would take them.
    "absolute",
    "absolute file",
    "through a link to a file",
    "directory over a link",
    "hard link to a link",
    "mode through a link",
    "replaced directory",
}


@pytest.mark.parametrize("name", list(evil(b"")))
def test_an_evil_tar_reaches_nothing_outside(tmp_path: Path, outside: Path, name: str) -> None:
    entries = evil(os.fsencode(outside))[name]
    if name in STAYS_INSIDE:
        unpacked(tmp_path / "layer", archive(*entries))
    else:
        with pytest.raises(Error) as raised:
            unpacked(tmp_path / "layer", archive(*entries))
        assert "\n" not in str(raised.value)
        assert raised.value.what in ("unpack", "tar")
        assert raised.value.obj, "the member is not named"
    assert sorted(os.listdir(tmp_path)) == ["layer", "outside"]
    assert set(os.listdir(tmp_path / "layer")) <= {"diff", "skeleton", "replaced"}


def test_links_inside_lead_where_the_container_would_see_them(tmp_path: Path) -> None:
    data = archive(
        entry(b"usr/lib/", tar.DIRECTORY),
        entry(b"lib", tar.SYMLINK, link=b"/usr/lib"),
        entry(b"lib64", tar.SYMLINK, link=b"../../../usr/lib"),
        entry(b"lib/a", content=b"1"),
        entry(b"lib64/b", content=b"2"),
        entry(b"c", tar.HARD_LINK, link=b"/lib/a"),
    )
    unpacked(tmp_path / "layer", data)
    diff = tmp_path / "layer/diff"
    assert sorted(os.listdir(diff / "usr/lib")) == ["a", "b"]
    assert (diff / "c").read_bytes() == b"1"
    assert b"".join(skeleton.assemble(str(diff.parent))) == data


def test_a_truncated_tar_names_the_member_it_ends_in(tmp_path: Path) -> None:
    data = archive(entry(b"first", content=b"1"), entry(b"second", content=b"2" * 5000))
    with pytest.raises(Error, match="second: the archive ends in the middle of it"):
        unpacked(tmp_path / "layer", data[:3000])


def test_a_full_disk_is_an_error_that_names_the_member(tmp_path: Path) -> None:
    def work() -> None:
        tmpfs(str(tmp_path), "1m")
        with pytest.raises(Error, match="unpack: big: no space left on device"):
            unpacked(tmp_path / "layer", archive(entry(b"big", content=os.urandom(2_000_000))))

    privately(work)


def test_an_attribute_that_the_filesystem_cannot_keep_is_reported(tmp_path: Path) -> None:
    done = unpacked(tmp_path / "layer", archive(entry(b"f", xattrs={b"unknown.space": b"1"})))
    assert done.lost == ["f: unknown.space"]


# Any tree

name_parts = st.sampled_from(["a", "b", "c", ".x", "n" * 120, "中"])


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    made = []
    for _ in range(draw(st.integers(0, 12))):
        path = "/".join(draw(st.lists(name_parts, min_size=1, max_size=3)))
        made.append(
            (
                path,
                {
                    "kind": draw(
                        st.sampled_from(["file", "dir", "link", "hard", "pipe", "device", "gone"])
                    ),
                    "mode": draw(st.integers(0, 0o7777)),
                    "owner": draw(st.tuples(st.integers(0, 70000), st.integers(0, 70000))),
                    "mtime": draw(st.integers(0, 2**61)),
                    "content": draw(st.binary(max_size=50)),
                    "times": draw(st.sampled_from([0, 1, 3000])),
                    "xattr": draw(st.binary(max_size=20)),
                    "opaque": draw(st.booleans()),
                },
            )
        )
    return made


def grow(tree: Path, made: list[tuple[str, dict[str, Any]]]) -> None:
    """Make the tree on the disk; what cannot be made because of what is there is left out."""
    files: list[Path] = []
    for name, about in made:
        path = tree / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            match about["kind"]:
                case "file":
                    with path.open("xb") as file:  # never into a device or pipe that is there
                        file.write(about["content"] * about["times"])
                    files.append(path)
                case "dir":
                    path.mkdir(exist_ok=True)
                case "link":
                    os.symlink(
                        about["content"][:100].replace(b"\0", b"/") or b"x", os.fsencode(path)
                    )
                case "hard":
                    os.link(files[about["mode"] % len(files)] if files else "/no", path)
                case "pipe":
                    os.mkfifo(path)
                case "device":
                    os.mknod(
                        path,
                        stat.S_IFBLK,
                        os.makedev(3000 + about["mode"] % 1000, about["mtime"] % 2**20),
                    )
                case "gone":
                    os.mknod(path, stat.S_IFCHR, 0)
        except OSError:
            continue
        is_link = path.is_symlink()
        os.chown(path, *about["owner"], follow_symlinks=False)
        if not is_link:
            os.chmod(path, about["mode"])
        os.setxattr(path, "trusted.x", about["xattr"], follow_symlinks=False)
        if about["opaque"] and about["kind"] == "dir":
            os.setxattr(path, "trusted.overlay.opaque", b"y")
        os.utime(path, ns=(0, about["mtime"]), follow_symlinks=False)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees())
def test_any_tree_survives_the_way_into_a_layer_and_back(
    tmp_path: Path, made: list[tuple[str, dict[str, Any]]]
) -> None:
    from mydocker.rootfs.commit import changed

    place = tmp_path / "example"
    shutil.rmtree(place, ignore_errors=True)
    (place / "tree").mkdir(parents=True)
    grow(place / "tree", made)
    data = b"".join(layer.pack(changed(str(place / "tree"))))
    unpacked(place / "layer", data)
    before, after = contents(place / "tree"), contents(place / "layer/diff")
    for name, found in before.items():
        if found[0] == tar.CHAR:  # a whiteout: its owner, mode and times mean nothing
            before[name], after[name] = found[:1] + found[6:8], after[name][:1] + after[name][6:8]
    assert after == before
    assert b"".join(skeleton.assemble(str(place / "layer"))) == data


def test_tarfile_agrees_about_what_was_packed(tmp_path: Path) -> None:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "f").write_bytes(b"12345")
    os.link(tmp_path / "tree/d/f", tmp_path / "tree/z")
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path / "tree"))) as theirs:
        assert [(m.name, m.size, m.linkname) for m in theirs] == [
            (".", 0, ""),
            ("d", 0, ""),
            ("d/f", 5, ""),
            ("z", 0, "d/f"),
        ]
