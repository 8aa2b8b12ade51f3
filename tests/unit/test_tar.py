"""The tar format: read what others write, write what others read (the oracle is tarfile)."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mydocker.errors import Error
from mydocker.rootfs import tar
from mydocker.rootfs.tar import END, Member, Reader, encode, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

GNU, PAX, USTAR = tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT


def reader(data: bytes, step: int = 700) -> Reader:
    """A reader of `data` that comes in pieces of an odd size."""
    pieces = iter([data[at : at + step] for at in range(0, len(data), step)])
    return Reader(lambda: next(pieces, b""))


def everything(data: bytes, step: int = 700) -> list[tuple[Member, bytes]]:
    """All members with their content."""
    source = reader(data, step)
    return [(member, b"".join(iter(source.data, b""))) for member in source]


def written(format: int, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """What tarfile writes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def info(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize("step", [1, 511, 512, 513, 100_000])
@pytest.mark.parametrize("format", [GNU, PAX, USTAR])
def test_what_tarfile_writes_is_read(format: int, step: int) -> None:
    data = written(
        format,
        (info("dir", type=tarfile.DIRTYPE, mode=0o1755, uid=5, gid=6, mtime=77), b""),
        (info("dir/file", size=5, mode=0o4711), b"hello"),
        (info("n" * 90 + "/" + "m" * 90, size=600), b"x" * 600),
        (info("link", type=tarfile.SYMTYPE, linkname="../away"), b""),
        (info("hard", type=tarfile.LNKTYPE, linkname="dir/file"), b""),
        (info("dev", type=tarfile.CHRTYPE, devmajor=1, devminor=300), b""),
        (info("pipe", type=tarfile.FIFOTYPE), b""),
    )
    found = everything(data, step)
    assert [(m.name, m.type, content[:5]) for m, content in found] == [
        (b"dir/" if found[0][0].name.endswith(b"/") else b"dir", tar.DIRECTORY, b""),
        (b"dir/file", tar.REGULAR, b"hello"),
        (b"n" * 90 + b"/" + b"m" * 90, tar.REGULAR, b"xxxxx"),
        (b"link", tar.SYMLINK, b""),
        (b"hard", tar.HARD_LINK, b""),
        (b"dev", tar.CHAR, b""),
        (b"pipe", tar.FIFO, b""),
    ]
    directory, file = found[0][0], found[1][0]
    assert (directory.mode, directory.uid, directory.gid) == (0o1755, 5, 6)
    assert directory.mtime == 77 * 10**9
    assert (file.mode, file.size) == (0o4711, 5)
    assert (found[3][0].link, found[4][0].link) == (b"../away", b"dir/file")
    assert (found[5][0].major, found[5][0].minor) == (1, 300)


@pytest.mark.parametrize("format", [GNU, PAX])
def test_long_names_big_numbers_and_exact_times_are_read(format: int) -> None:
    times = {GNU: 8**11 + 5, PAX: 1234567890.5}[format]
    data = written(
        format,
        (info("a/" * 300 + "b", mtime=times, uid=8**7 + 1, gid=2**31, size=3), b"abc"),
        (info("l", type=tarfile.SYMTYPE, linkname="t" * 500), b""),
    )
    (first, content), (second, _) = everything(data)
    assert (first.name, content) == (b"a/" * 300 + b"b", b"abc")
    assert (first.uid, first.gid, first.mtime) == (8**7 + 1, 2**31, int(times * 2) * 500_000_000)
    assert second.link == b"t" * 500


def test_pax_records_of_the_whole_archive_and_of_one_member() -> None:
    out = io.BytesIO()
    headers = {"mtime": "12.5"}
    with tarfile.open(fileobj=out, mode="w", format=PAX, pax_headers=headers) as archive:
        archive.addfile(info("a", pax_headers={"SCHILY.xattr.user.x": "v", "mtime": "-1.5"}))
        archive.addfile(info("b"))
    (first, _), (second, _) = everything(out.getvalue())
    assert (first.mtime, first.xattrs) == (-1_500_000_000, {b"user.x": b"v"})
    assert (second.mtime, second.xattrs) == (12_500_000_000, {})


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10240)])
def test_an_archive_may_end_with_or_without_blocks_of_zeros(end: bytes) -> None:
    whole = encode(Member(b"a")) + end
    assert [m.name for m, _ in everything(whole)] == [b"a"]


def test_the_digest_covers_all_bytes_and_the_verbatim_ones_are_all_but_the_content() -> None:
    import hashlib

    file = Member(b"a")
    file.size = 700
    data = encode(file) + b"c" * 700 + bytes(324) + END + bytes(5000) + b"trailing"
    kept = bytearray()
    pieces = iter([data])
    source = Reader(lambda: next(pieces, b""), kept.extend)
    for _ in source:
        assert b"".join(iter(source.data, b"")) == b"c" * 700
    assert source.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert bytes(kept) == data.replace(b"c" * 700, b"")


names = st.binary(min_size=1, max_size=300).filter(lambda b: b"\0" not in b and b.strip(b"/"))


@st.composite
def members(draw: st.DrawFn) -> tuple[Member, bytes]:
    kinds = (tar.REGULAR, tar.HARD_LINK, tar.SYMLINK, tar.CHAR, tar.DIRECTORY, tar.FIFO)
    member = Member(draw(names), draw(st.sampled_from(kinds)), draw(st.integers(0, 0o7777)))
    member.uid, member.gid = draw(st.integers(0, 2**32)), draw(st.integers(0, 2**32))
    member.mtime = draw(st.integers(-(2**40), 2**62))
    content = b""
    if member.type == tar.REGULAR:
        content = draw(st.binary(max_size=2000))
        member.size = len(content)
    elif member.type in (tar.HARD_LINK, tar.SYMLINK):
        member.link = draw(names)
    elif member.type == tar.CHAR:
        member.major, member.minor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    keys = st.binary(min_size=1, max_size=30).filter(lambda b: not set(b) & set(b"\0=\n"))
    member.xattrs = draw(st.dictionaries(keys, st.binary(max_size=200), max_size=3))
    return member, content


@given(st.lists(members(), max_size=4), st.integers(1, 3000))
def test_what_is_written_is_read_the_same(made: list[tuple[Member, bytes]], step: int) -> None:
    data = b"".join(encode(m) + c + bytes(-len(c) % 512) for m, c in made) + END
    assert len(data) % 512 == 0
    found = everything(data, step)
    assert [c for _, c in found] == [c for _, c in made]
    for (ours, _), (theirs, _) in zip(made, found, strict=True):
        for field in Member.__slots__:
            assert getattr(ours, field) == getattr(theirs, field), field


@given(st.lists(members(), max_size=3))
def test_tarfile_reads_what_is_written(made: list[tuple[Member, bytes]]) -> None:
    for member, _ in made:
        # tarfile decodes names; and it strips a slash from the end of a directory's name.
        member.name = b"d/" + member.name.hex().encode()
        member.link = member.link.hex().encode()
        member.xattrs = {}
    data = b"".join(encode(m) + c + bytes(-len(c) % 512) for m, c in made) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for theirs, (ours, content) in zip(archive.getmembers(), made, strict=True):
            assert theirs.name.encode() == ours.name
            assert (theirs.uid, theirs.gid, theirs.mode) == (ours.uid, ours.gid, ours.mode)
            assert theirs.linkname.encode() == ours.link
            assert abs(theirs.mtime - ours.mtime / 10**9) < 1
            if theirs.isreg():
                file = archive.extractfile(theirs)
                assert file is not None
                assert file.read() == content


def sound() -> bytes:
    file = Member(b"file")
    file.size = 5
    return encode(file) + b"hello".ljust(512, b"\0") + END


def damaged() -> Iterator[tuple[str, bytes]]:
    whole = sound()
    checksum = whole[:148] + b"0000000\0" + whole[156:]
    yield "is empty", b""
    yield "is not a tar", b"x"
    yield "is not a tar", os.urandom(2000)
    yield "is not a tar", checksum
    yield "ends in the middle of it", whole[:514]
    yield "ends in the middle of it", whole[:600]
    yield "in the middle of a header", whole[:1024] + b"x" * 100
    yield "damaged after file", whole[:1024] + b"x" * 512

    def header(change: bytes, at: int) -> bytes:
        block = bytearray(encode(Member(b"file")))
        block[at : at + len(change)] = change
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    yield "negative size", header(b"\xff" * 12, 124) + END
    yield "no sound size", header(b"00000000-10\0", 124) + END
    yield "no sound uid", header(b"0000_10\0", 108) + END
    yield "no sound mode", header(b"0000099\0", 100) + END
    yield "negative uid", header(b"\xff" * 8, 108) + END
    yield "unknown type 'M'", header(b"M", 156) + END
    yield r"unknown type '\x07'", header(b"\x07", 156) + END

    def pax(content: bytes) -> bytes:
        block = bytearray(encode(Member(b"pax", b"x")))
        block[124:136] = b"%011o\0" % len(content)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + content + bytes(-len(content) % 512) + encode(Member(b"file")) + END

    yield "damaged pax records", pax(b"nonsense")
    yield "damaged pax records", pax(b"5 a=b\n")
    yield "damaged pax records", pax(b"600 a=b\n")
    yield "damaged pax records", pax(b"0 a=b\n")
    yield "damaged pax records", pax(b"13 path=a\0b\n\n")
    yield "no sound size", pax(b"11 size=-5\n")
    yield "no sound mtime", pax(b"14 mtime=1e99\n")
    yield "no sound uid", pax(b"12 uid=0x10\n")
    yield "sparse", pax(b"22 GNU.sparse.major=9\n")
    yield "sparse map", pax(b"30 GNU.sparse.map=0,5,3,5,1,1\n")
    too_long = bytearray(encode(Member(b"pax", b"x")))
    too_long[124:136] = b"%011o\0" % (1 << 30)
    too_long[148:156] = b" " * 8
    too_long[148:156] = b"%06o\0 " % sum(too_long)
    yield "header of 1073741824 bytes", bytes(too_long)


@pytest.mark.parametrize(("why", "data"), list(damaged()))
def test_a_damaged_archive_is_refused_with_the_reason(why: str, data: bytes) -> None:
    with pytest.raises(Error) as caught:
        everything(data)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=3000), st.integers(0, 1500), st.integers(0, 1500))
def test_no_stream_makes_the_reader_fail_in_another_way(noise: bytes, at: int, cut: int) -> None:
    whole = sound()
    for data in (noise, whole[:at] + noise + whole[at:], whole[:cut]):
        try:
            everything(data)
        except Error:
            continue


def test_a_name_is_printed_without_what_a_terminal_would_obey() -> None:
    name = "a\x1b[2Jb\n\u202e\xe9中".encode() + b"\xff"
    assert printable(name) == r"a\x1b[2Jb\n\u202e" + "é中" + r"\udcff"


def test_sparse_maps_are_read_in_every_version_that_gnu_tar_writes(
    tmp_path: os.PathLike[str],
) -> None:
    import shutil
    import subprocess

    if shutil.which("tar") is None:
        pytest.skip("GNU tar is not installed")
    file = os.path.join(tmp_path, "sparse")
    size = 3_000_000
    with open(file, "wb") as out:
        for at in (0, 500_000, 1_000_000, 1_500_000, 2_000_000, 2_500_000):
            out.seek(at)
            out.write(b"data at %d" % at)
        out.truncate(size)
    with open(file, "rb") as back:
        expected = back.read()
    for options in (
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ):
        command = ["tar", "--sparse", *options, "-C", str(tmp_path), "-c", "sparse"]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        assert len(data) < size
        ((member, content),) = everything(data)
        assert member.size == size
        assert member.sparse is not None
        whole = bytearray(size)
        for offset, length in member.sparse:
            whole[offset : offset + length] = content[:length]
            content = content[length:]
        assert (member.name, bytes(whole)) == (b"sparse", expected), options
