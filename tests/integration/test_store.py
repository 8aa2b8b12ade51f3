"""The image store: names and ids, what is shared, and what happens to it when things go wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mydocker.errors import Conflict, Corrupt, Error, NotFound, Usage
from mydocker.linux import trace
from mydocker.rootfs.commit import commit
from mydocker.rootfs.store import Store
from tests.integration.private_mounts import privately, tmpfs
from tests.integration.test_layers import archive, entry

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).resolve().parents[2]


def rootfs(content: bytes = b"root") -> bytes:
    return archive(entry(b"etc/passwd", content=content))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "state"))


def put(store: Store, name: str | None, content: bytes = b"root", *changes: str) -> str:
    """Import a small image; its id."""
    return store.import_rootfs(io.BytesIO(rootfs(content)), name, list(changes)).id


def everything(store: Store) -> list[str]:
    """All files of the store but those in the layers."""
    return sorted(
        os.path.join(where, name).removeprefix(store.directory)
        for where, _, names in os.walk(store.directory)
        for name in names
        if "/diff" not in where
    )


# Finding


def test_a_store_that_does_not_exist_is_empty_and_reading_does_not_make_it(store: Store) -> None:
    assert store.images() == []
    assert store.find("busybox") is None
    assert store.check() == []
    assert store.repair() == []
    with pytest.raises(NotFound, match="image: busybox: "):
        store.get("busybox")
    assert not os.path.exists(store.directory)


def test_an_image_is_found_by_name_by_id_and_by_the_beginning_of_its_id(store: Store) -> None:
    image_id = put(store, "team/app:v1", b"1", 'CMD ["sh"]')
    other = put(store, "other", b"2")
    digits = image_id.removeprefix("sha256:")
    short = re.match(r"[a-f]*\d.{6}", digits)
    assert short
    for word in ("team/app:v1", "docker.io/team/app:v1", image_id, digits, digits[:12], short[0]):
        found = store.find(word)
        assert found, word
        assert (found.id, found.names) == (image_id, ["team/app:v1"])
        assert found.config.config.cmd == ["sh"]
    few = next(n for n in range(3, 64) if not other.startswith(f"sha256:{digits[:n]}"))
    assert store.find(f"sha256:{digits[:few]}") is not None
    assert store.find("team/app") is None
    assert store.find("library/other") is not None
    assert store.find("") is None
    assert store.find("../etc") is None


def test_a_word_of_letters_is_a_command_and_not_the_beginning_of_an_id(store: Store) -> None:
    for number in range(200):
        digits = put(store, None, b"%d" % number).removeprefix("sha256:")
        if digits[:2].isalpha():
            assert store.find(digits[:2]) is None
            assert store.find(digits) is not None
            return
    pytest.fail("no id began with two letters")


def test_a_beginning_that_fits_several_images_is_an_error_that_says_so(store: Store) -> None:
    digits = [put(store, None, b"%d" % number).removeprefix("sha256:") for number in range(40)]
    decimals = [d for d in digits if d[0].isdecimal()]
    first = next(d[0] for d in decimals if sum(o[0] == d[0] for o in digits) > 1)
    with pytest.raises(Error, match=rf"image: {first}: fits \d+ images"):
        store.find(first)


def test_a_name_goes_before_the_beginning_of_an_id(store: Store) -> None:
    digits = put(store, None).removeprefix("sha256:")
    named = put(store, digits[:12], b"other")
    found = store.find(digits[:12])
    assert found
    assert found.id == named


# What an import makes


def test_an_import_writes_what_oci_asks_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    image = store.import_rootfs(io.BytesIO(rootfs()), "app", ["USER me"], "from a friend")
    path = Path(store.directory) / "blobs" / "sha256" / image.id.removeprefix("sha256:")
    data = json.loads(path.read_text())
    (diff_id,) = data["rootfs"]["diff_ids"]
    assert data == {
        "created": "2023-11-14T22:13:20Z",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"User": "me"},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "2023-11-14T22:13:20Z", "comment": "from a friend"}],
    }
    import hashlib

    assert image.id == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert diff_id == f"sha256:{hashlib.sha256(rootfs()).hexdigest()}"
    assert image.layers == [f"{store.directory}/layers/{diff_id[7:]}/diff"]
    assert (image.size, image.created) == (4, "2023-11-14T22:13:20Z")
    assert put(store, "app", b"root", "USER me") != image.id, "the message is part of the image"
    again = store.import_rootfs(io.BytesIO(rootfs()), "app", ["USER me"], "from a friend")
    assert again.id == image.id


def test_nobody_else_may_look_into_the_store(store: Store) -> None:
    image = store.import_rootfs(io.BytesIO(rootfs()), "app", [])
    for where, directories, names in os.walk(store.directory):
        if "/diff" in where:
            continue
        for name in directories + names:
            if name != "diff":
                assert os.lstat(os.path.join(where, name)).st_mode & 0o077 == 0, name
    assert os.lstat(image.layers[0]).st_mode & 0o777 == 0o755, "this one is the container's root"


ZSTD = shutil.which("zstd")


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        gzip.compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
        lambda data: gzip.compress(data) + bytes(1000),
        bz2.compress,
        lzma.compress,
        lambda data: lzma.compress(data[:700]) + lzma.compress(data[700:]),
        pytest.param(
            lambda data: _zstd(data), marks=pytest.mark.skipif(not ZSTD, reason="needs zstd(1)")
        ),
        pytest.param(
            lambda data: _zstd(data[:700]) + _zstd(data[700:]),
            marks=pytest.mark.skipif(not ZSTD, reason="needs zstd(1)"),
        ),
    ],
    ids="plain gzip gzips padded-gzip bzip2 xz xzs zstd zstds".split(),
)
def test_every_compression_gives_the_same_layer(store: Store, compress) -> None:  # type: ignore[no-untyped-def]  # lambdas
    data = archive(
        entry(b"zeros", content=bytes(3_000_000)), entry(b"noise", content=os.urandom(999_999))
    )
    plain = store.import_rootfs(io.BytesIO(data), None, [])
    image = store.import_rootfs(io.BytesIO(compress(data)), None, [])
    assert image.layers == plain.layers
    broken = compress(data)[:-600_000]
    with pytest.raises(Error, match=r"ends too early|ends in the middle"):
        store.import_rootfs(io.BytesIO(broken), None, [])
    damaged = bytearray(compress(data))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 8] = b"\xff\x00" * 4
    if compress is not bytes:
        # bzip2 gives out a block before it has compared its checksum.
        with pytest.raises(Error, match=r"damaged|is not a tar"):
            store.import_rootfs(io.BytesIO(damaged), None, [])
    assert store.check() == []
    assert len(store.images()) <= 2


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("data", [b"", b"no tar", bytes(200), b"\x1f\x8b", b"PK\x03\x04" * 500])
def test_what_is_no_tar_is_refused_and_leaves_nothing(store: Store, data: bytes) -> None:
    with pytest.raises(Error):
        store.import_rootfs(io.BytesIO(data), "app", [])
    assert everything(store) == ["/images.json", "/lock"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("NO", []), ("../no", []), ("a@sha256:" + "a" * 64, []), ("a", ["RUN x"]), ("a", ["ENV"])],
)
def test_a_wrong_name_or_change_is_refused_before_anything_is_read(
    store: Store, name: str, changes: list[str]
) -> None:
    stream = io.BytesIO(rootfs())
    with pytest.raises(Usage):
        store.import_rootfs(stream, name, changes)
    assert not os.path.exists(store.directory)


def test_a_wrong_source_date_epoch_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(Usage, match="SOURCE_DATE_EPOCH: yesterday"):
        put(store, "app")


# Sharing


def test_images_share_the_layers_they_have_in_common(store: Store, tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "new").touch()
    base = store.get(put(store, "base"))
    twin = store.get(put(store, "twin"))
    child = commit(store, base, str(tmp_path / "upper"), "child")
    assert base.id != twin.id
    assert base.layers == twin.layers == child.layers[:1]
    assert len(os.listdir(f"{store.directory}/layers")) == 2
    store.remove("base")
    store.remove("twin")
    assert all(os.path.isdir(layer) for layer in child.layers)
    store.verify(store.get("child"))
    said = store.remove("child")
    assert said[:2] == ["Untagged: child:latest", f"Deleted: {child.id}"]
    assert sorted(said[2:]) == sorted(f"Deleted: {d}" for d in child.config.rootfs.diff_ids)
    assert everything(store) == ["/images.json", "/lock"]


def test_a_layer_may_hide_all_that_is_below_it(store: Store) -> None:
    """overlayfs honours its mark for opaque directories everywhere but on the root of a layer."""
    base = store.get(put(store, "base"))
    pieces = iter([archive(entry(b".wh..wh..opq"), entry(b"only"))])
    image = store.add(base, lambda: next(pieces, b""), "above")
    assert len(image.config.rootfs.diff_ids) == 2
    assert [os.listdir(layer) for layer in image.layers] == [["only"]]
    store.remove("base")
    store.verify(store.get("above"))


def test_eight_processes_that_import_the_same_tar_make_one_layer(
    store: Store, tmp_path: Path
) -> None:
    data = archive(*[entry(b"f%d" % n, content=os.urandom(20_000)) for n in range(100)])
    (tmp_path / "tar").write_bytes(data)
    code = (
        "import sys; from mydocker.rootfs.store import Store\n"
        "with open(sys.argv[2], 'rb') as tar:\n"
        "    print(Store(sys.argv[1]).import_rootfs(tar, sys.argv[3], []).id)\n"
    )
    root = os.path.dirname(store.directory)
    importers = [
        subprocess.Popen(
            [sys.executable, "-c", code, root, str(tmp_path / "tar"), f"name{number % 4}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )
        for number in range(8)
    ]
    said = [importer.communicate(timeout=100) for importer in importers]
    assert [importer.returncode for importer in importers] == [0] * 8, said
    ids = {out.strip() for out, _ in said}
    assert {image.id for image in store.images()} == ids
    assert sorted(name for image in store.images() for name in image.names) == [
        f"name{number}:latest" for number in range(4)
    ]
    assert len(os.listdir(f"{store.directory}/layers")) == 1
    assert os.listdir(f"{store.directory}/tmp") == []
    store.verify(store.images()[0])
    assert store.check() == []


# Names


def test_a_name_belongs_to_one_image_and_the_former_one_is_dangling(store: Store) -> None:
    first, second = put(store, "app", b"1"), put(store, "app", b"2")
    assert store.get("app").id == second
    assert store.get(first).names == []
    store.tag(store.get(first), "team/app:old")
    store.tag(store.get(first), "app")
    assert store.get(first).names == ["team/app:old", "app:latest"]
    assert store.get(second).names == []
    store.tag(store.get(first), "app")
    assert store.get(first).names == ["team/app:old", "app:latest"]


@pytest.mark.parametrize("name", ["UPPER", "..", "a b", ""])
def test_a_tag_with_a_wrong_name_is_refused(store: Store, name: str) -> None:
    image = store.get(put(store, "app"))
    with pytest.raises(Usage):
        store.tag(image, name)
    assert store.get("app").names == ["app:latest"]


def test_removing_one_of_two_names_keeps_the_image(store: Store) -> None:
    image = store.get(put(store, "one"))
    store.tag(image, "two:2")
    assert store.remove("one") == ["Untagged: one:latest"]
    assert store.get(image.id).names == ["two:2"]
    assert store.untag("two:2") == ["Untagged: two:2"]
    assert store.get(image.id).names == []
    with pytest.raises(NotFound):
        store.untag("two:2")
    with pytest.raises(NotFound):
        store.remove("one")
    assert store.remove(image.id)[0] == f"Deleted: {image.id}"


def test_an_id_removes_the_image_only_if_it_has_one_name_or_by_force(store: Store) -> None:
    image = store.get(put(store, "one"))
    store.tag(image, "two")
    with pytest.raises(Conflict, match="it has 2 names: one:latest, two:latest"):
        store.remove(image.id)
    said = store.remove(image.id, force=True)
    assert said[:3] == ["Untagged: one:latest", "Untagged: two:latest", f"Deleted: {image.id}"]


def test_an_image_that_a_container_needs_stays(store: Store) -> None:
    image = store.get(put(store, "app"))
    store.tag(image, "more")
    needs = {image.id: "bird"}
    assert store.remove("more", in_use=lambda i: needs.get(i, "")) == ["Untagged: more:latest"]
    for word in ("app", image.id):
        with pytest.raises(Conflict, match=rf"remove image: {word}: container bird uses it"):
            store.remove(word, in_use=lambda i: needs.get(i, ""))
    assert store.remove("app", force=True, in_use=lambda i: "bird") == ["Untagged: app:latest"]
    assert os.path.isdir(store.get(image.id).layers[0])
    assert store.remove(image.id)[0] == f"Deleted: {image.id}"


# Damage


def test_damage_is_named_and_the_image_can_be_removed_and_the_others_used(store: Store) -> None:
    good, bad = store.get(put(store, "good", b"1")), store.get(put(store, "bad", b"2"))
    blob = Path(store.directory) / "blobs" / "sha256" / bad.id[7:]
    whole = blob.read_bytes()
    for damage in (whole + b" ", whole[:20], b"", None):
        blob.unlink() if damage is None else blob.write_bytes(damage)
        with pytest.raises(Corrupt, match=str(blob)):
            store.find("bad")
        assert [image.broken != "" for image in store.images()] in ([True, False], [False, True])
        assert store.get("good").id == good.id
        assert any(str(blob) in problem for problem in store.check())
        assert store.repair() == []
    assert store.remove("bad")[:2] == ["Untagged: bad:latest", f"Deleted: {bad.id}"]
    assert store.check() == []
    assert len(os.listdir(f"{store.directory}/layers")) == 1


def test_a_missing_layer_is_named_and_another_import_brings_it_back(store: Store) -> None:
    image = store.get(put(store, "app"))
    shutil.rmtree(os.path.dirname(image.layers[0]))
    with pytest.raises(Corrupt, match=f"layer {image.layers[0]} is missing"):
        store.find("app")
    put(store, "again")
    store.verify(store.get("app"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256:x": []}', '{"a": 1}', "[" * 100_000])
def test_a_damaged_index_is_named(store: Store, content: str) -> None:
    image = store.get(put(store, "app"))
    index = Path(store.directory) / "images.json"
    index.write_text(content)
    for use in (store.images, lambda: store.find("sha256:x"), lambda: put(store, "more", b"2")):
        problem = _refusal(use)
        assert problem is None or str(index) in problem or "is not a sha256 digest" in problem
    assert os.path.isdir(image.layers[0]), "what the index has lost must not be lost for that"


def _refusal(use: Callable[[], object]) -> str | None:
    try:
        use()
    except Corrupt as error:
        return str(error)
    return None


def test_a_lost_index_does_not_cost_the_layers(store: Store) -> None:
    image = store.get(put(store, "app"))
    (Path(store.directory) / "images.json").unlink()
    with pytest.raises(Corrupt, match="is missing, but there are layers"):
        put(store, "more", b"2")
    assert os.path.isdir(image.layers[0])


def test_a_configuration_cannot_name_a_layer_outside_of_the_store(store: Store) -> None:
    put(store, "app")
    config = json.dumps({"rootfs": {"diff_ids": ["sha256:../../../../etc"]}}).encode()
    with pytest.raises(Corrupt, match="is not a sha256 digest"):
        store.publish(config, [], ["evil"])


def alter(store: Store, how: str) -> None:
    layer = Path(store.get("app").layers[0])
    file = layer / "etc" / "passwd"
    match how:
        case "content":
            times = file.stat().st_mtime_ns
            file.write_bytes(b"ROOT")
            os.utime(file, ns=(times, times))
        case "length":
            file.write_bytes(b"toor::0")
        case "mode":
            file.chmod(0o4755)
        case "owner":
            os.chown(file, 1, 1)
        case "time":
            os.utime(file, ns=(5, 5))
        case "attribute":
            os.setxattr(file, "trusted.x", b"1")
        case "missing":
            file.unlink()
        case "extra":
            (layer / "etc" / "shadow").touch()
            os.utime(layer / "etc", ns=(0, 0))
        case "kind":
            file.unlink()
            file.symlink_to("/etc/passwd")
        case "skeleton":
            (layer.parent / "skeleton").write_bytes(b"")
        case "skeleton missing":
            (layer.parent / "skeleton").unlink()
        case "skeleton cut":
            whole = (layer.parent / "skeleton").read_bytes()
            (layer.parent / "skeleton").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("content", "content of a file was altered"),
        ("length", "etc/passwd: its (size|mtime) was altered"),
        ("mode", "etc/passwd: its mode was altered"),
        ("owner", "etc/passwd: its uid was altered"),
        ("time", "etc/passwd: its mtime was altered"),
        ("attribute", "etc/passwd: its xattrs was altered"),
        ("missing", "etc/passwd"),
        ("extra", "etc/shadow was added"),
        ("kind", "etc/passwd"),
        ("skeleton", "skeleton: is cut off"),
        ("skeleton missing", "skeleton: no such file"),
        ("skeleton cut", "skeleton: is cut off"),
    ],
)
def test_verify_names_what_was_altered(store: Store, how: str, named: str) -> None:
    put(store, "app")
    store.verify(store.get("app"))
    alter(store, how)
    with pytest.raises(Corrupt, match=named):
        store.verify(store.get("app"))
    assert os.listdir(f"{store.directory}/tmp") == []


# Crashes


def points(work: Callable[[], object]) -> int:
    """How many kernel actions the work has."""

    class Counter:
        count = 0

        def before(self, name: str, args: tuple[object, ...]) -> None:
            self.count += 1

        def after(self, *_: object) -> None:
            pass

    counter = Counter()
    trace.watch(counter)
    work()
    trace._watchers.remove(counter)
    return counter.count


@pytest.mark.parametrize("what", ["import", "commit", "tag", "remove"])
@pytest.mark.parametrize("how", ["kill", "ENOSPC"])
def test_a_crash_at_any_point_leaves_no_half_image(tmp_path: Path, what: str, how: str) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "file").write_text("changed")

    def prepared(number: int) -> Store:
        store = Store(str(tmp_path / f"state{number}"))
        put(store, "base", b"base")
        return store

    def act(store: Store) -> object:
        if what == "import":
            return put(store, "new", b"new")
        if what == "commit":
            return commit(store, store.get("base"), str(tmp_path / "upper"), "new")
        if what == "tag":
            store.tag(store.get("base"), "new")
            return None
        return store.remove("base")

    first = prepared(0)
    total = points(lambda: act(first))
    assert total >= 1
    for number in range(1, total + 1):
        store = prepared(number)
        pid = os.fork()
        if pid == 0:
            trace._watchers[:] = [trace.Fault(f"mydocker:{number}:{how}")]
            try:
                act(store)
            except Error:
                os._exit(3)
            except BaseException:
                os._exit(4)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        ended = os.waitstatus_to_exitcode(status)
        # A file that cannot be removed any more is no reason to fail: it is cleared away later.
        assert ended in ({-signal.SIGKILL} if how == "kill" else {0, 3}), (number, ended)
        if how == "ENOSPC" and what != "remove":
            assert [p for p in store.check() if "half-made" in p] == [], number
        for image in store.images():
            assert not image.broken, (number, image.broken)
            store.verify(image)
        if number % 2:  # the next change clears up by itself, so does a repair
            store.repair()
            assert store.check() == []
        names = [name for image in store.images() for name in image.names]
        if what != "remove" or names:
            act(store)
        put(store, "another", b"another")
        assert store.check() == [], number
        assert not [f for f in everything(store) if ".tmp" in f or f.startswith("/tmp/")]


def test_a_living_import_is_not_swept_away(store: Store) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        try:
            with os.fdopen(reading, "rb", buffering=0) as stream:
                store.import_rootfs(stream, "slow", [])
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(reading)
    data = rootfs(b"slow" * 1000)
    os.write(writing, data[:1000])
    deadline = time.monotonic() + 20
    while not (os.path.isdir(f"{store.directory}/tmp") and os.listdir(f"{store.directory}/tmp")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert store.repair() == []
    put(store, "quick")
    assert store.check() == []
    os.write(writing, data[1000:])
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    store.verify(store.get("slow"))


def test_a_full_disk_is_a_clear_error_and_nothing_is_left_or_lost(tmp_path: Path) -> None:
    def work() -> None:
        tmpfs(str(tmp_path), "2m")
        store = Store(str(tmp_path / "state"))
        put(store, "kept", b"kept")
        before = everything(store)
        for size in (100_000, 2_100_000, 5_000_000):
            data = archive(entry(b"big", content=os.urandom(size)))
            if size < 1_000_000:
                store.verify(store.import_rootfs(io.BytesIO(data), "big", []))
                store.remove("big")
            else:
                with pytest.raises(Error, match="no space left on device"):
                    store.import_rootfs(io.BytesIO(data), "big", [])
            assert everything(store) == before
        # Full to the last block: what cannot be written must not cost what is there.
        with open(tmp_path / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        with pytest.raises(Error, match="no space left on device"):
            store.tag(store.get("kept"), "more")
        with pytest.raises(Error, match="no space left on device"):
            put(store, "new", b"new")
        assert store.get("kept").names == ["kept:latest"]
        os.unlink(tmp_path / "filler")
        assert store.check() == []
        store.verify(store.get("kept"))

    privately(work)


# The budget


def test_finding_an_image_imports_nothing_heavy(store: Store) -> None:
    put(store, "app")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mydocker.rootfs.store import Store\n"
        "assert Store(sys.argv[2]).get('app').layers\n"
        "print(*sys.modules)\n"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        code,
        str(CHECKOUT),
        os.path.dirname(store.directory),
    ]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    heavy = "tarfile hashlib _hashlib zlib typing dataclasses pathlib shutil tempfile subprocess"
    assert not set(heavy.split()) & set(loaded)
    assert not [
        name
        for name in loaded
        if name.startswith(("mydocker.rootfs.tar", "mydocker.rootfs.unpack"))
    ]
