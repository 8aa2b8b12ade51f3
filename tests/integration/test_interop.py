"""Images go to and fro between mydocker and other engines: each cell of the matrix is a test.

    ours -> theirs      `save` here, and what skopeo, podman, docker or umoci make of it
    theirs -> ours      what they write, and `load` here
    by a registry       what they push, and `pull` here

What is compared: the layers by their digests, which cover every byte, and the configuration. Each
engine keeps to a directory of its own; the user's is not touched (bench/engines.py).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import host
from bench.engines import Docker, Engine, Podman
from mydocker.rootfs import tar
from mydocker.rootfs.store import Store
from tests.conftest import IMAGE, Mydocker
from tests.integration.registries import Registry
from tests.integration.test_layers import archive, contents, entry

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

NAME = "team/sample:1"
OTHER = "other:latest"
CHANGES = ('CMD ["cat", "/etc/story"]', "ENV BIRD=free", "LABEL a=b", "WORKDIR /srv", "EXPOSE 80")


def second_layer() -> bytes:
    """A layer with all that a layer can say."""
    return archive(
        entry(b"etc/", tar.DIRECTORY),
        entry(b"etc/story", content=b"once upon a time\n"),
        entry(b"etc/.wh.group"),
        entry(b"var/", tar.DIRECTORY),
        entry(b"var/.wh..wh..opq"),
        entry(b"srv/", tar.DIRECTORY, uid=1000, gid=1000),
        entry(b"srv/setuid", content=b"x" * 3000, mode=0o4755, mtime=1_234_567_890 * 10**9),
        entry(b"srv/hard", tar.HARD_LINK, link=b"srv/setuid"),
        entry(b"srv/soft", tar.SYMLINK, link=b"/etc/story"),
        entry(b"srv/" + b"long" * 50, content=b"long", mtime=10**18 + 1),
        entry(b"srv/xattr", content=b"cap", xattrs={b"user.bird": b"free"}),
        entry(b"srv/null", tar.CHAR, major=1, minor=3, mode=0o666),
        entry(b"srv/pipe", tar.FIFO),
    )


class Sample:
    """A mydocker with two images that share a layer, and what has to arrive of the first."""

    def __init__(self, mydocker: Mydocker, directory: Path) -> None:
        self.mydocker = mydocker
        self.directory = directory
        store = Store(str(mydocker.root))
        with IMAGE.open("rb") as file:
            base = store.import_rootfs(file, OTHER, ['CMD ["sh"]'])
        data = io.BytesIO(second_layer())
        image = store.add(base, lambda: data.read(65536), NAME, changes=list(CHANGES))
        self.id, self.other = image.id, base.id
        self.diff_ids = image.config.rootfs.diff_ids
        self.config = image.config.config.to_json()
        self.docker_archive = str(directory / "sample.tar")
        self.oci_archive = str(directory / "sample.oci.tar")
        self.oci_dir = str(directory / "layout")
        both = (NAME, OTHER)
        mydocker.ok("save", "-o", self.docker_archive, *both)
        mydocker.ok("save", "--format", "oci-archive", "-o", self.oci_archive, NAME)
        mydocker.ok("save", "--format", "oci-dir", "-o", self.oci_dir, *both)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """What is sent to the others."""
    directory = tmp_path_factory.mktemp("sample")
    yield Sample(Mydocker(directory), directory)
    shutil.rmtree(directory)


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Mydocker]:
    """An empty mydocker, to load into."""
    instance = Mydocker(tmp_path / "ours")
    yield instance
    checked = instance.run("system", "check")
    assert checked.returncode == 0, checked.stdout


def tool(name: str, *words: str, environment: dict[str, str] | None = None) -> str:
    """Run skopeo or umoci, or skip with what helps."""
    if not shutil.which(name):
        pytest.skip(f"no {name} here: apt-get install {name}")
    return host.call([name, *words], environment)


def engine(kind: type[Engine]) -> Iterator[Engine]:
    """An engine on a place of its own, with the sample loaded by nobody yet."""
    with host.room() as room:
        made = kind(Path(room))
        if why := made.missing():
            pytest.skip(why)
        with made as ready:
            yield ready


@pytest.fixture(scope="module")
def podman() -> Iterator[Engine]:
    """podman, isolated."""
    yield from engine(Podman)


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """docker with a daemon of its own."""
    yield from engine(Docker)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback."""
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


def arrived(sample: Sample, mydocker: Mydocker, name: str) -> None:
    """What came is what was sent: the layers to the last byte, and how it is run."""
    store = Store(str(mydocker.root))
    image = store.get(name)
    assert image.config.rootfs.diff_ids == sample.diff_ids
    store.verify(image)
    theirs = {k: v for k, v in image.config.config.to_json().items() if v not in (None, "", [], {})}
    assert {name: theirs.get(name) for name in sample.config} == sample.config
    assert image.config.architecture
    assert mydocker.ok("run", "--rm", name) == "once upon a time\n"


def has_it(sample: Sample, engine: Engine, name: str) -> None:
    """The engine knows the image by that name, and it is the same."""
    (told,) = json.loads(engine.call("image", "inspect", name))
    assert told["RootFS"]["Layers"] == sample.diff_ids
    assert told["Id"].removeprefix("sha256:") == sample.id.removeprefix("sha256:")
    assert told["Config"]["Cmd"] == ["cat", "/etc/story"]


def forget(engine: Engine, *names: str) -> None:
    for name in names:
        subprocess.run(
            [*engine.command, "rmi", "-f", name],
            env=engine.environment,
            check=False,
            capture_output=True,
        )


# Ours to theirs


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_skopeo_reads_ours(form: str, sample: Sample, tmp_path: Path) -> None:
    source = {
        "docker-archive": f"docker-archive:{sample.docker_archive}:docker.io/{NAME}",
        "oci-archive": f"oci-archive:{sample.oci_archive}",
        "oci-dir": f"oci:{sample.oci_dir}:{NAME}",
    }[form]
    config = json.loads(tool("skopeo", "inspect", "--config", source))
    assert config["rootfs"]["diff_ids"] == sample.diff_ids
    tool("skopeo", "copy", "-q", source, f"dir:{tmp_path}/copy")  # compares every digest
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    assert manifest["config"]["digest"] == sample.id


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_podman_loads_ours(form: str, sample: Sample, podman: Engine) -> None:
    name = f"docker.io/{NAME}"
    if form == "oci-dir":
        podman.call("pull", "-q", f"oci:{sample.oci_dir}:{NAME}")
        told = json.loads(podman.call("images", "--format", "json"))
        name = next(one["Id"] for one in told if one["Id"] == sample.id[7:])
    else:
        path = sample.docker_archive if form == "docker-archive" else sample.oci_archive
        podman.call("load", "-q", "-i", path)
    has_it(sample, podman, name)
    forget(podman, sample.id[7:], sample.other[7:])


@pytest.mark.parametrize("way", ["file", "stream"])
def test_docker_loads_ours(way: str, sample: Sample, docker: Engine) -> None:
    if way == "file":
        docker.call("load", "-i", sample.docker_archive)
    else:
        with sample.mydocker.start("save", NAME, OTHER, text=False, errors=None) as saved:
            done = subprocess.run(
                [*docker.command, "load"],
                stdin=saved.stdout,
                env=docker.environment,
                capture_output=True,
            )
        assert (done.returncode, done.stderr, saved.returncode) == (0, b"", 0)
    has_it(sample, docker, NAME)
    assert "other" in docker.call("images")
    forget(docker, NAME, OTHER)


def test_umoci_unpacks_ours(sample: Sample, tmp_path: Path) -> None:
    tool("umoci", "unpack", "--image", f"{sample.oci_dir}:{NAME}", f"{tmp_path}/bundle")
    theirs = contents(tmp_path / "bundle/rootfs")
    script = "cd /srv && find . | sort"
    inside = sample.mydocker.ok("run", "--rm", "-w", "/", NAME, "sh", "-c", script).split()
    assert sorted(f"./{n[4:]}".rstrip("/") for n in theirs if n.startswith("srv/")) == inside
    assert "etc/group" not in theirs
    expected = (tar.REGULAR, 0o4755, 0, 0, 1_234_567_890 * 10**9, b"x" * 3000)
    assert theirs["srv/hard"][:6] == expected
    assert theirs["srv/setuid"][0] == tar.HARD_LINK  # to the first of both names
    assert theirs["srv/null"][6:8] == (1, 3)


# Theirs to ours


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("docker-archive", []),
        ("oci-archive", []),
        ("oci-dir", []),
        ("oci-dir", ["--dest-compress-format", "gzip", "--dest-compress"]),
        ("oci-dir", ["--dest-compress-format", "zstd", "--dest-compress"]),
    ],
    ids=["docker-archive", "oci-archive", "oci-dir", "oci-dir, gzip", "oci-dir, zstd"],
)
def test_we_load_what_skopeo_writes(
    form: str, options: list[str], sample: Sample, ours: Mydocker, tmp_path: Path
) -> None:
    path = f"{tmp_path}/theirs"
    target = {
        "docker-archive": f"docker-archive:{path}:{NAME}",
        "oci-archive": f"oci-archive:{path}:{NAME}",
        "oci-dir": f"oci:{path}:{NAME}",
    }[form]
    tool("skopeo", "copy", "-q", *options, f"oci:{sample.oci_dir}:{NAME}", target)
    assert ours.ok("load", "-i", path) == f"Loaded image: {NAME}\n"
    arrived(sample, ours, NAME)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir", "docker-dir"])
def test_we_load_what_podman_writes(
    form: str, sample: Sample, ours: Mydocker, podman: Engine, tmp_path: Path
) -> None:
    podman.call("load", "-q", "-i", sample.docker_archive)
    path = f"{tmp_path}/theirs"
    podman.call("save", "-q", "--format", form, "-o", path, NAME)
    name = "sample:1" if form.endswith("-dir") else NAME  # podman writes no name into directories
    loaded = ours.ok("load", "-i", path, *(["--name", name] if form.endswith("-dir") else []))
    assert loaded == f"Loaded image: {name}\n"
    arrived(sample, ours, name)


@pytest.mark.parametrize("way", ["file", "stream"])
def test_we_load_what_docker_writes(
    way: str, sample: Sample, ours: Mydocker, docker: Engine, tmp_path: Path
) -> None:
    docker.call("load", "-i", sample.docker_archive)
    if way == "file":
        docker.call("save", "-o", f"{tmp_path}/theirs.tar", NAME, OTHER)
        loaded = ours.ok("load", "-i", f"{tmp_path}/theirs.tar")
    else:
        save = [*docker.command, "save", NAME, OTHER]
        with subprocess.Popen(save, env=docker.environment, stdout=subprocess.PIPE) as saved:
            running = ours.start("load", stdin=saved.stdout)
            loaded, said = running.communicate()
        assert (running.returncode, said, saved.returncode) == (0, "", 0)
    assert set(loaded.splitlines()) == {f"Loaded image: {NAME}", f"Loaded image: {OTHER}"}
    arrived(sample, ours, NAME)
    assert Store(str(ours.root)).get(OTHER).id == sample.other


def test_we_load_what_umoci_writes(sample: Sample, ours: Mydocker, tmp_path: Path) -> None:
    layout = f"{tmp_path}/layout"
    shutil.copytree(sample.oci_dir, layout)
    bundle = tmp_path / "bundle"
    tool("umoci", "unpack", "--image", f"{layout}:{NAME}", str(bundle))
    (bundle / "rootfs/etc/story").write_text("and they lived happily\n")
    (bundle / "rootfs/srv/setuid").unlink()
    tool("umoci", "repack", "--image", f"{layout}:new", str(bundle))  # gzip, and whiteouts
    assert "Loaded image: new:latest" in ours.ok("load", "-i", layout)
    assert ours.ok("run", "--rm", "new") == "and they lived happily\n"
    listed = ours.ok("run", "--rm", "new", "ls", "/srv").split()
    assert "setuid" not in listed
    assert "hard" in listed
    store = Store(str(ours.root))
    assert store.get("new").config.rootfs.diff_ids[:2] == sample.diff_ids
    store.verify(store.get("new"))
    arrived(sample, ours, NAME)


# By a registry


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_we_pull_what_skopeo_pushes(
    form: str, sample: Sample, ours: Mydocker, registry: Registry
) -> None:
    name = f"{registry.host}/skopeo/{form}:1"
    options = ["--dest-tls-verify=false", "--dest-compress-format", form]
    tool("skopeo", "copy", "-q", *options, f"oci:{sample.oci_dir}:{NAME}", f"docker://{name}")
    ours.ok("pull", name)
    arrived(sample, ours, name)


def test_we_pull_what_podman_pushes(
    sample: Sample, ours: Mydocker, podman: Engine, registry: Registry
) -> None:
    podman.call("load", "-q", "-i", sample.docker_archive)
    name = f"{registry.host}/podman/sample:1"
    podman.call("push", "-q", "--tls-verify=false", NAME, f"docker://{name}")
    ours.ok("pull", name)
    arrived(sample, ours, name)


def test_we_pull_what_docker_pushes(
    sample: Sample, ours: Mydocker, docker: Engine, tmp_path: Path
) -> None:
    assert isinstance(docker, Docker)
    assert docker.daemon
    # The daemon has a loopback of its own: the registry and we go there.
    inside = ("nsenter", f"--net=/proc/{docker.daemon.pid}/ns/net")
    host.call([*inside, "ip", "link", "set", "lo", "up"])
    docker.call("load", "-i", sample.docker_archive)
    with Registry(tmp_path / "registry", within=inside) as registry:
        name = f"{registry.host}/docker/sample:1"
        docker.call("tag", NAME, name)
        docker.call("push", name)
        command = [*inside, str(host.LAUNCHER), "pull", "-q", name]
        assert host.call(command, ours.environment) == f"{name}\n"
    forget(docker, name)
    arrived(sample, ours, name)


def test_skopeo_copies_ours_by_a_registry_and_we_take_the_right_platform(
    sample: Sample, ours: Mydocker, registry: Registry, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    shutil.copytree(sample.oci_dir, layout)
    index = json.loads((layout / "index.json").read_text())
    machine = Store(str(sample.mydocker.root)).get(NAME).config.architecture
    by_name: dict[str, Any] = {
        one["annotations"]["org.opencontainers.image.ref.name"]: one for one in index["manifests"]
    }
    for name, architecture in ((NAME, machine), (OTHER, "mips")):
        by_name[name].pop("annotations")
        by_name[name]["platform"] = {"os": "linux", "architecture": architecture}
    index["manifests"] = [by_name[OTHER], by_name[NAME]]
    nested = json.dumps(index).encode()
    from mydocker.rootfs.store import sha256

    digest = sha256(nested)
    (layout / "blobs/sha256" / digest[7:]).write_bytes(nested)
    listed = {"mediaType": index["mediaType"], "digest": digest, "size": len(nested)}
    (layout / "index.json").write_text(json.dumps({**index, "manifests": [listed]}))

    name = f"{registry.host}/several/sample:1"
    options = ["--all", "--preserve-digests", "--dest-tls-verify=false"]
    tool("skopeo", "copy", "-q", *options, f"oci:{layout}", f"docker://{name}")
    ours.ok("pull", name)
    arrived(sample, ours, name)
    assert f"@{digest}" in ours.ok("image", "inspect", name)
    assert ours.ok("load", "-i", str(layout)) == f"Loaded image ID: {sample.id}\n"
    ours.ok("pull", "--platform", "linux/mips", name)
    assert Store(str(ours.root)).get(name).id == sample.other
    line = ours.fails(125, "pull", "--platform", "linux/arm64", name)
    assert f"has nothing for linux/arm64, only for linux/{machine}, linux/mips" in line
    assert os.listdir(f"{ours.root}/images/tmp") == []
