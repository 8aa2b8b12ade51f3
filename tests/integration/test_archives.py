"""save and load: what goes out comes in again, and what is not sound does not come in at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mydocker.errors import Corrupt, Error
from mydocker.rootfs import save
from mydocker.rootfs.load import load
from mydocker.rootfs.store import Store
from tests.conftest import LAUNCHER, Mydocker
from tests.integration.private_mounts import privately, tmpfs
from tests.integration.test_layers import archive, entry

if TYPE_CHECKING:
    from collections.abc import Callable

Files = dict[str, bytes]
LAYER = archive(entry(b"etc/motd", content=b"hello\n"), entry(b"bin/x", content=b"x" * 2000))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "state"))


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "other"))


def put(store: Store, name: str | None, *changes: str, layer: bytes = LAYER) -> str:
    """A small image; its id."""
    return store.import_rootfs(io.BytesIO(layer), name, list(changes)).id


def saved(store: Store, *words: str, form: str = "docker-archive") -> bytes:
    pieces: list[bytes] = []
    save.to_stream(store, list(words), pieces.append, form, lambda *_: None)
    return b"".join(pieces)


def loaded(store: Store, data: bytes, name: str = "") -> list[tuple[str, list[str]]]:
    """Load from a stream; the ids and names of what came."""
    return [(image.id, names) for image, names in load(store, io.BytesIO(data), name=name)]


def files_of(data: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        found = {}
        for member in opened:
            content = opened.extractfile(member)
            assert content
            found[member.name] = content.read()
    return found


def packed(files: Files, *more: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
        for member in more:
            made.addfile(member, io.BytesIO(b""))
    return buffer.getvalue()


def blob(data: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def nothing_left(store: Store) -> None:
    assert store.images() == []
    assert store.check() == []
    assert not os.path.exists(f"{store.directory}/tmp") or not os.listdir(f"{store.directory}/tmp")


# What goes out


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_is_saved_is_loaded_the_same(form: str, store: Store, other: Store) -> None:
    image_id = put(store, "team/app:1", "ENV A=b", 'CMD ["x"]')
    data = saved(store, "team/app:1", form=form)
    assert loaded(other, data) == [(image_id, ["team/app:1"])]
    other.verify(other.get("team/app:1"))
    assert saved(other, "team/app:1", form=form) == data


def test_the_same_content_saves_to_the_same_bytes_whatever_the_order(
    store: Store, other: Store
) -> None:
    first = put(store, "one")
    put(store, "two", "ENV A=b")
    store.tag(store.get("one"), "more")
    data = saved(store, "two", "more", "one")
    assert saved(store, "one", "two", "one", "more") == data
    loaded(other, gzip.compress(data))
    other.remove("one")
    other.tag(other.get(first), "one")
    assert saved(other, "more", "one", "two") == data


def test_source_date_epoch_makes_an_image_from_nothing_reproducible(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    put(store, "app")
    put(other, "app")
    assert saved(store, "app") == saved(other, "app")


def test_layers_that_images_share_are_in_the_archive_once(store: Store, other: Store) -> None:
    put(store, "one")
    base = store.get("one")
    more = io.BytesIO(archive(entry(b"more", content=b"more")))
    store.add(base, lambda: more.read(65536), "two")
    data = saved(store, "one", "two")
    names = list(files_of(data))
    assert len(names) == len(set(names))
    assert {tuple(n) for _, n in loaded(other, data)} == {("one:latest",), ("two:latest",)}
    for name in ("one", "two"):
        other.verify(other.get(name))
        assert other.get(name).id == store.get(name).id


def test_a_name_is_saved_with_its_image_and_an_id_without(store: Store, other: Store) -> None:
    image_id = put(store, "one")
    store.tag(store.get("one"), "two")
    assert loaded(other, saved(store, "two")) == [(image_id, ["two:latest"])]
    other.remove("two")
    for word in (image_id, image_id[7:19], image_id[7:]):
        assert loaded(other, saved(store, word)) == [(image_id, [])]
    assert loaded(other, saved(store, "one"), name="other:3") == [(image_id, ["other:3"])]


def test_an_archive_of_docker_names_images_so_that_podman_finds_them(store: Store) -> None:
    put(store, "busybox")
    (listed,) = json.loads(files_of(saved(store, "busybox"))["manifest.json"])
    assert listed["RepoTags"] == ["docker.io/library/busybox:latest"]


def test_a_layout_takes_one_image_after_the_other(store: Store, tmp_path: Path) -> None:
    first, second = put(store, "one"), put(store, "two", "ENV A=b")
    path = f"{tmp_path}/layout"
    save.to_directory(store, ["one"], path)
    save.to_directory(store, ["two"], path)
    store.tag(store.get(second), "one")
    save.to_directory(store, ["one"], path)  # the name has moved on
    other = Store(f"{tmp_path}/other")
    assert {tuple(names) for _, names in map(_pair, load(other, path))} == {
        ("one:latest", "two:latest")
    }
    assert other.get("one").id == second != first
    store.remove("two")
    save.to_directory(store, ["one"], f"{tmp_path}/again")
    assert sorted(os.listdir(f"{tmp_path}/again")) == ["blobs", "index.json", "oci-layout"]


def _pair(item: tuple[Any, list[str]]) -> tuple[str, list[str]]:
    return item[0].id, sorted(item[1])


def test_a_directory_with_something_else_in_it_is_refused(store: Store, tmp_path: Path) -> None:
    put(store, "one")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    with pytest.raises(Error, match="something else in it"):
        save.to_directory(store, ["one"], f"{tmp_path}/home")
    assert os.listdir(tmp_path / "home") == ["letter"]


def test_an_altered_layer_does_not_leave_the_store(store: Store, tmp_path: Path) -> None:
    put(store, "one")
    Path(store.get("one").layers[0], "etc/motd").write_text("HELLO\n")
    path = tmp_path / "saved.tar"
    path.write_text("what was there")
    with pytest.raises(Corrupt, match="was altered"):
        save.to_file(store, ["one"], str(path), "docker-archive")
    assert path.read_text() == "what was there"
    with pytest.raises(Corrupt, match="was altered"):
        save.to_directory(store, ["one"], f"{tmp_path}/layout")
    assert not os.path.exists(f"{tmp_path}/layout/index.json")
    assert sorted(os.listdir(tmp_path)) == ["layout", "saved.tar", "state"]


def test_a_file_is_replaced_and_a_pipe_is_written_to(mydocker: Mydocker, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    path.write_text("old")
    mydocker.ok("save", "-o", str(path), "busybox")
    assert path.stat().st_mode & 0o777 == 0o600
    os.mkfifo(tmp_path / "pipe")
    shell = (
        f"cat {tmp_path}/pipe | cmp - {path} & {LAUNCHER} save -o {tmp_path}/pipe busybox; wait $!"
    )
    subprocess.run(["bash", "-c", shell], env=mydocker.environment, check=True)
    assert "nope" in mydocker.fails(125, "save", "-o", str(path), "busybox", "nope")
    assert mydocker.fails(125, "save", "-o", "/nope/x", "busybox") == (
        "mydocker: open: /nope: no such file or directory"
    )
    mydocker.ok("rmi", "busybox")
    assert mydocker.ok("load", "-i", str(path)) == "Loaded image: busybox:latest\n"


@pytest.mark.parametrize("words", [("save", "busybox"), ("load",)])
def test_an_archive_neither_goes_to_a_terminal_nor_comes_from_one(
    words: tuple[str, ...], mydocker: Mydocker
) -> None:
    terminal = mydocker.terminal(*words)
    terminal.expect("is a terminal")
    terminal.wait()
    assert terminal.exitstatus == 125


def test_long_work_shows_progress_on_a_terminal_only(mydocker: Mydocker, tmp_path: Path) -> None:
    path = f"{tmp_path}/saved.tar"
    for words, verb in (
        (("save", "-o", path, "busybox"), "Saving"),
        (("load", "-i", path), "Loading"),
        (("import", path, "x"), "Importing"),
    ):
        terminal = mydocker.terminal(*words)
        terminal.expect(verb + r" \[[=> ]+\] .*MB/.*MB")
        terminal.wait()
        assert terminal.exitstatus == 0
        mydocker.ok(*words)  # not a word on stderr


# What comes in


@pytest.mark.parametrize("program", ["gzip", "zstd"])
def test_an_archive_may_be_compressed_and_come_by_a_pipe(
    program: str, mydocker: Mydocker, tmp_path: Path
) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program} here: apt-get install {program}")
    mydocker.ok("tag", "busybox", "two:2")
    shell = f"{LAUNCHER} save busybox two:2 | {program} -c | tee {tmp_path}/x | {LAUNCHER} load"
    done = subprocess.run(
        ["sh", "-c", shell], env=mydocker.environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout == "Loaded image: busybox:latest\nLoaded image: two:2\n"
    assert mydocker.ok("load", "-i", f"{tmp_path}/x") == done.stdout


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_layers_may_be_compressed_each_on_its_own(kind: str, store: Store, other: Store) -> None:
    image_id = put(store, "one")
    files = files_of(saved(store, "one", form="oci-archive"))
    manifest, path, layer = _manifest(files)
    if kind == "gzip":
        compressed = gzip.compress(layer)
    else:
        compressed = subprocess.run(["zstd", "-c"], input=layer, capture_output=True).stdout
    del files[path]
    one = manifest["layers"][0]
    one |= {"digest": f"sha256:{blob(compressed)[13:]}", "size": len(compressed)}
    one["mediaType"] += f"+{kind}"
    files[blob(compressed)] = compressed
    assert loaded(other, packed(_again(files, manifest))) == [(image_id, ["one:latest"])]
    other.verify(other.get("one"))
    assert saved(other, "one") == saved(store, "one")  # what was compressed is not remembered


def _manifest(files: Files) -> tuple[dict[str, Any], str, bytes]:
    """The one manifest of a layout, and its first layer."""
    (listed,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files[f"blobs/sha256/{listed['digest'][7:]}"])
    path = f"blobs/sha256/{manifest['layers'][0]['digest'][7:]}"
    return manifest, path, files[path]


def _again(files: Files, manifest: Any, index: Any = None) -> Files:
    """The layout with another manifest in place of its one."""
    told = json.loads(files["index.json"])
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    old = f"blobs/sha256/{told['manifests'][0]['digest'][7:]}"
    made = {name: content for name, content in files.items() if name != old}
    told["manifests"][0] |= {"digest": f"sha256:{blob(data)[13:]}", "size": len(data)}
    told["manifests"][0] |= index or {}
    return {**made, blob(data): data, "index.json": json.dumps(told).encode()}


def _reconfigured(files: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    """The layout with another configuration, and all digests right."""
    manifest, _, _ = _manifest(files)
    config = json.loads(files[f"blobs/sha256/{manifest['config']['digest'][7:]}"])
    change(config)
    data = json.dumps(config).encode()
    manifest["config"] |= {"digest": f"sha256:{blob(data)[13:]}", "size": len(data)}
    return {**_again(files, manifest), blob(data): data}


def test_a_configuration_keeps_what_we_do_not_know(store: Store, other: Store) -> None:
    put(store, "one")
    files = files_of(saved(store, "one", form="oci-archive"))

    def change(config: dict[str, Any]) -> None:
        config["config"] = {"Tomorrow": ["x"], "Env": None}
        config["moby.buildkit"] = {"a": 1}

    files = _reconfigured(files, change)
    ((image_id, _),) = loaded(other, packed(files))
    assert other.get(image_id).config.config.other == {"Tomorrow": ["x"]}
    manifest, _, _ = _manifest(files)
    again = files_of(saved(other, image_id))
    assert f"blobs/sha256/{manifest['config']['digest'][7:]}" in again


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def hostile(files: Files) -> dict[str, tuple[str, bytes]]:
    """Archives that must not come in: what the error says, and the archive."""
    manifest, path, layer = _manifest(files)
    rest = {name: content for name, content in files.items() if name != path}
    config = f"blobs/sha256/{manifest['config']['digest'][7:]}"
    index = json.loads(files["index.json"])
    device = tarfile.TarInfo("device")
    device.type = tarfile.CHRTYPE
    evil = archive(entry(b"a/../../evil", content=b"x"))
    evil_id = f"sha256:{hashlib.sha256(evil).hexdigest()}"
    whole = packed(files)

    def describe(**fields: object) -> bytes:
        changed = json.loads(json.dumps(manifest))
        changed["layers"][0] |= fields
        return packed(_again(files, changed))

    def config_says(**fields: object) -> bytes:
        return packed(_reconfigured(files, lambda config: config.update(fields)))

    def replaced(name: str, content: bytes) -> bytes:
        return packed({**files, name: content})

    def evil_layer() -> bytes:
        changed = json.loads(json.dumps(manifest))
        changed["layers"][0] |= {"digest": evil_id, "size": len(evil)}
        made = {**_again(rest, changed), blob(evil): evil}
        rootfs = {"type": "layers", "diff_ids": [evil_id]}
        return packed(_reconfigured(made, lambda config: config.update(rootfs=rootfs)))

    deep = b"[" * 200_000
    return {
        "a name above": ("../evil leads out", packed({**files, "../evil": b"x"})),
        "a name above, inside": ("a/../../evil leads out", packed({**files, "a/../../evil": b"x"})),
        "an absolute name": ("/etc/evil leads out", packed({**files, "/etc/evil": b"x"})),
        "a link out": (f"{path} leads out", packed(rest, link(path, "/etc/passwd"))),
        "a link above": (f"{path} leads out", packed(rest, link(path, "../../../../etc/passwd"))),
        "a hard link out": (
            f"{path} leads out",
            packed(rest, link(path, "../../etc/passwd", tarfile.LNKTYPE)),
        ),
        "a link to itself": (
            "is a link to a link",
            packed(rest, link(path, os.path.basename(path))),
        ),
        "a device": ("device has no place", packed(files, device)),
        "a name twice": (f"{path} is in the archive twice", packed(files, tarfile.TarInfo(path))),
        "half": ("is cut off by the end", whole[: len(whole) // 3]),
        "no end": ("is missing", packed({k: v for k, v in files.items() if k != path})),
        "a layer with another byte": (
            f"{path}: has the digest sha256:",
            replaced(path, layer[:600] + b"X" + layer[601:]),
        ),
        "a layer cut short": (f"{path}: has ", replaced(path, layer[:-1000])),
        "a layer with more": ("longer than its", replaced(path, layer + b"\0")),
        "another configuration": ("has the digest", replaced(config, files[config][:-1] + b" ")),
        "a configuration cut short": ("bytes, not", replaced(config, files[config][:-1])),
        "a huge index": ("index.json is a document of", replaced("index.json", b" " * (5 << 20))),
        "a deep index": ("index.json: is not JSON", replaced("index.json", deep)),
        "an index of nothing": ("lists no image", replaced("index.json", b'{"manifests":[]}')),
        "an index that is a list": ("is not a JSON object", replaced("index.json", b"[]")),
        "a digest that is a path": (
            "../../etc/passwd', which is not a sha256 digest",
            describe(digest="sha256:../../etc/passwd"),
        ),
        "another digest": ("is not a sha256 digest", describe(digest="sha512:" + "a" * 128)),
        "a size that is none": ("has the size '5'", describe(size="5")),
        "a negative size": ("has the size -1", describe(size=-1)),
        "an encrypted layer": (
            "unknown kind",
            describe(mediaType="application/vnd.oci.image.layer.v1.tar+encrypted"),
        ),
        "a chart": (
            "is not an image but application/vnd.cncf.helm",
            packed(
                _again(
                    files,
                    {
                        **manifest,
                        "config": {
                            **manifest["config"],
                            "mediaType": "application/vnd.cncf.helm.config.v1+json",
                        },
                    },
                )
            ),
        ),
        "both at once": (
            "is an index and a manifest",
            packed(_again(files, {**manifest, "manifests": []})),
        ),
        "schema 1": (
            "old schema 1",
            packed(_again(files, {"schemaVersion": 1, "fsLayers": []})),
        ),
        "windows": ("is for windows", config_says(os="windows")),
        "too few layers": ("has 1 layers", config_says(rootfs={"type": "layers", "diff_ids": []})),
        "another layer": (
            "the configuration says",
            config_says(rootfs={"type": "layers", "diff_ids": ["sha256:" + "a" * 64]}),
        ),
        "a wrong name": (
            "names an image 'Not a Name'",
            packed(
                _again(
                    files,
                    manifest,
                    {"annotations": {"org.opencontainers.image.ref.name": "Not a Name"}},
                )
            ),
        ),
        "a configuration that is none": (
            "has the value",
            config_says(config={"Env": "PATH=/bin"}),
        ),
        "an index in an index": (
            "is an index in an index",
            packed({**files, **_nested(index["manifests"][0], 6)}),
        ),
        "an evil layer": ("leads out of the layer", evil_layer()),
        "no archive": ("is not a tar", b"#!/bin/sh\n" * 200),
        "nothing": ("is empty", b""),
        "a root filesystem": ("is neither an OCI layout nor", LAYER),
        "cut gzip": ("ends too early", gzip.compress(whole)[:-100]),
        "broken gzip": ("damaged", gzip.compress(whole)[:200] + os.urandom(5000)),
    }


def _nested(descriptor: dict[str, Any], depth: int) -> Files:
    files = {}
    for _ in range(depth):
        data = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()
        files[blob(data)] = data
        descriptor = {"digest": f"sha256:{blob(data)[13:]}", "size": len(data)}
    return {**files, "index.json": data}


@pytest.fixture(scope="module")
def evils(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    store = Store(str(tmp_path_factory.mktemp("evil") / "state"))
    put(store, "one")
    return hostile(files_of(saved(store, "one", form="oci-archive")))


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_an_unsound_archive_is_refused_and_named(
    way: str, evils: dict[str, tuple[str, bytes]], tmp_path: Path
) -> None:
    wrong = []
    for number, (kind, (said, data)) in enumerate(evils.items()):
        store = Store(f"{tmp_path}/{number}")
        path = tmp_path / "evil.tar"
        path.write_bytes(data)
        try:
            load(store, str(path) if way == "file" else io.BytesIO(data))
            wrong.append(f"{kind}: was loaded")
        except Error as error:
            if said not in str(error) or len(str(error)) > 500:
                wrong.append(f"{kind}: {error}")
        nothing_left(store)
    assert not wrong, "\n".join(wrong)


def test_an_unsound_archive_is_one_line_on_the_command_line(
    mydocker: Mydocker, evils: dict[str, tuple[str, bytes]], tmp_path: Path
) -> None:
    before = mydocker.ok("images", "-q")
    for kind in ("a name above", "a layer with another byte", "a deep index", "nothing"):
        said, data = evils[kind]
        (tmp_path / "evil.tar").write_bytes(data)
        assert said in mydocker.fails(125, "load", "-i", f"{tmp_path}/evil.tar")
    assert mydocker.ok("images", "-q") == before


def docker_archive(files: Files, **fields: object) -> bytes:
    """Docker's archive of before version 25: v1 directories, and links for shared layers."""
    manifest, _, layer = _manifest(files)
    config = files[f"blobs/sha256/{manifest['config']['digest'][7:]}"]
    digits = manifest["config"]["digest"][7:]
    listed = {"Config": f"{digits}.json", "RepoTags": ["one:1"], "Layers": ["abc/layer.tar"]}
    made = {"real/layer.tar": layer, f"{digits}.json": config}
    made["manifest.json"] = json.dumps([listed | fields]).encode()
    return packed(made, link("abc/layer.tar", "../real/layer.tar"))


def test_an_old_archive_of_docker_is_loaded(store: Store, other: Store) -> None:
    image_id = put(store, "one")
    files = files_of(saved(store, "one", form="oci-archive"))
    assert loaded(other, docker_archive(files)) == [(image_id, ["one:1"])]
    assert loaded(other, docker_archive(files)) == [(image_id, ["one:1"])]  # once more, no harm
    assert loaded(other, docker_archive(files, RepoTags=None)) == [(image_id, [])]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Config": "nope.json"}, "nope.json is missing"),
        ({"Config": "../../../etc/passwd"}, "is missing"),
        ({"Config": 5}, "in an unknown way"),
        ({"Layers": []}, "has 0 layers"),
        ({"Layers": ["nope"]}, "nope is missing"),
        ({"Layers": "abc"}, "in an unknown way"),
        ({"RepoTags": ["a/../b"]}, "names an image 'a/../b'"),
        ({"RepoTags": ["one@sha256:" + "a" * 64]}, "by a digest"),
        ({"RepoTags": ["one:1", 5]}, "in an unknown way"),
    ],
)
def test_an_unsound_archive_of_docker_is_refused(
    fields: dict[str, object], said: str, store: Store, other: Store
) -> None:
    put(store, "one")
    files = files_of(saved(store, "one", form="oci-archive"))
    with pytest.raises(Error) as caught:
        loaded(other, docker_archive(files, **fields))
    assert said in str(caught.value)
    nothing_left(other)


def test_two_images_of_one_name_are_refused(store: Store, other: Store) -> None:
    put(store, "one")
    put(store, "two", "ENV A=b")
    files = files_of(saved(store, "one", "two"))
    listed = json.loads(files["manifest.json"])
    del files["oci-layout"]
    for one in listed:
        one["RepoTags"] = ["same:1"]
    files["manifest.json"] = json.dumps(listed).encode()
    with pytest.raises(Error, match="names two images same:1"):
        loaded(other, packed(files))
    nothing_left(other)


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
def test_nothing_in_a_layout_leads_out_of_it(
    what: str, store: Store, other: Store, tmp_path: Path
) -> None:
    put(store, "one")
    layout = tmp_path / "layout"
    save.to_directory(store, ["one"], str(layout))
    path = layout / _manifest(files_of(saved(store, "one", form="oci-archive")))[1]
    content = path.read_bytes()
    path.unlink()
    if what == "link":
        (tmp_path / "secret").write_bytes(content)
        path.symlink_to("../../../secret")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    expected = "leads out of the directory" if what == "link" else "is not a file"
    with pytest.raises(Error, match=expected):
        load(other, str(layout))
    nothing_left(other)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), how=st.sampled_from(["flip", "cut", "insert", "zero"]))
def test_no_damage_gets_an_image_in_that_is_not_what_it_says(
    seed: int, how: str, store: Store, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    if not store.images():
        put(store, "one")
    data = bytearray(saved(store, "one"))
    at = chance.randrange(len(data))
    if how == "flip":
        data[at] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del data[at:]
    elif how == "insert":
        data[at:at] = os.urandom(chance.choice([1, 512]))
    else:
        data[at : at + 600] = bytes(len(data[at : at + 600]))
    other = Store(f"{tmp_path}/{seed}-{how}")
    try:
        loaded(other, bytes(data))
    except Error:
        nothing_left(other)
    else:
        (image,) = other.images()
        assert image.id == store.get("one").id  # the damage is where nothing was
        other.verify(image)
    shutil.rmtree(other.directory, ignore_errors=True)


def test_a_layer_that_is_removed_while_an_archive_comes_is_unpacked_after_all(
    store: Store,
) -> None:
    image_id = put(store, "one")
    data = saved(store, "one")

    def told(*_: object) -> None:
        if store.find("one"):  # it is here, so its layer is not unpacked again
            store.remove("one")

    ((image, names),) = load(store, io.BytesIO(data), told=told)
    assert (image.id, names) == (image_id, ["one:latest"])
    store.verify(image)


# Big ones


@pytest.mark.parametrize(
    "size", [200 << 20, pytest.param(1 << 30, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_big_layer_needs_little_memory(size: int, tmp_path: Path) -> None:
    mydocker = Mydocker(tmp_path)

    def peak(shell: str) -> int:
        """MiB of memory that the biggest process of a shell command had at most."""
        code = (
            "import resource, subprocess, sys\n"
            "subprocess.run(['bash', '-o', 'pipefail', '-c', sys.argv[1]], check=True)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)\n"
        )
        done = subprocess.run(
            ["python3", "-c", code, shell],
            env=mydocker.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    big = tarfile.TarInfo("big")
    big.size = size
    (tmp_path / "head").write_bytes(big.tobuf())
    make = f"cat {tmp_path}/head; head -c {size} /dev/urandom; head -c 1024 /dev/zero"
    assert peak(f"({make}) | {LAUNCHER} import - big") < 100
    assert peak(f"{LAUNCHER} save big | {LAUNCHER} load") < 100
    assert peak(f"{LAUNCHER} save -o {tmp_path}/big.tar big; {LAUNCHER} rmi big") < 100
    assert peak(f"{LAUNCHER} load -i {tmp_path}/big.tar") < 100
    store = Store(str(mydocker.root))
    assert store.get("big").size == size
    shutil.rmtree(tmp_path)


def test_a_full_disk_is_a_clear_error_and_nothing_is_left(store: Store, tmp_path: Path) -> None:
    small = archive(entry(b"small", content=b"kept"))
    put(store, "kept", layer=small)
    put(store, "big", layer=archive(entry(b"big", content=os.urandom(3_000_000))))
    data, kept = saved(store, "big"), saved(store, "kept")
    place = tmp_path / "place"
    place.mkdir()

    def work() -> None:
        tmpfs(str(place), "4m")
        full = Store(str(place / "state"))
        loaded(full, kept)
        for source in (io.BytesIO(data), io.BytesIO(gzip.compress(data)), _in_file(data)):
            with open(place / "filler", "wb") as filler:
                filler.write(bytes(2_000_000))
            with pytest.raises(Error, match="no space left on device"):
                load(full, source)
            os.unlink(place / "filler")
            assert [image.names for image in full.images()] == [["kept:latest"]]
            assert full.check() == []
            assert os.listdir(f"{full.directory}/tmp") == []
            full.verify(full.get("kept"))
        load(full, _in_file(data))
        full.verify(full.get("big"))
        with pytest.raises(Error, match="no space left on device"):
            save.to_file(full, ["big"], str(place / "saved.tar"), "docker-archive")
        with pytest.raises(Error, match="no space left on device"):
            save.to_directory(full, ["big"], str(place / "layout"))
        assert not os.path.exists(place / "saved.tar")
        assert not os.path.exists(place / "layout/index.json")
        assert not [name for name in os.listdir(place) if "tmp" in name]

    def _in_file(data: bytes) -> str:
        path = tmp_path / "in.tar"
        path.write_bytes(data)
        return str(path)

    privately(work)
