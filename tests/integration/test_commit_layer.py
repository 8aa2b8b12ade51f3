"""commit: what overlayfs wrote into an upper directory, as a layer. The overlays are real."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mydocker.errors import Error, Usage
from mydocker.rootfs.commit import changed, commit
from mydocker.rootfs.layer import pack
from mydocker.rootfs.store import Image, Store
from tests.integration.private_mounts import overlay, privately, tmpfs
from tests.integration.test_layers import contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Lab:
    """An image with some files, and an overlay on it in which a test may do what it likes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store(str(directory / "state"))
        base = directory / "base"
        (base / "etc").mkdir(parents=True)
        (base / "etc" / "passwd").write_text("root")
        (base / "etc" / "hosts").write_text("localhost")
        (base / "dir" / "sub").mkdir(parents=True)
        (base / "dir" / "one").write_text("1")
        (base / "dir" / "sub" / "two").write_text("2")
        (base / "big").write_bytes(b"b" * 300_000)
        os.link(base / "big", base / "hard")
        os.symlink("dir", base / "link")
        self.image = self.store.import_rootfs(io.BytesIO(tar_of(base)), "base", [])
        self.root = directory / "merged"
        for name in ("upper", "work", "merged", "again"):
            (directory / name).mkdir(mode=0o755)

    @property
    def upper(self) -> str:
        return str(self.directory / "upper")

    def live(self) -> None:
        """Mount the overlay; the container's root is then `self.root`."""
        overlay(str(self.root), self.image.layers, self.upper, str(self.directory / "work"))

    def commit(self, **options: object) -> Image:
        return commit(self.store, self.image, self.upper, "made", **options)  # type: ignore[arg-type]

    def seen(self, image: Image) -> dict[str, tuple[object, ...]]:
        """What a container of that image would see."""
        layers = image.layers
        if len(layers) == 1:
            return contents(layers[0])
        overlay(str(self.directory / "again"), layers)
        return contents(self.directory / "again")


def tar_of(directory: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(directory, ".")
    return out.getvalue()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def layer_names(lab: Lab, skip: frozenset[bytes] = frozenset()) -> list[str]:
    return [os.fsdecode(member.name) for member, _, _ in changed(lab.upper, skip)]


def in_container(lab: Lab, work: Callable[[Path], object]) -> None:
    """Do `work` in the overlay, commit, and compare what both show."""

    def inside() -> None:
        lab.live()
        work(lab.root)
        image = lab.commit()
        assert image.layers[:-1] == lab.image.layers
        assert lab.seen(image) == contents(lab.root)
        lab.store.verify(image)

    privately(inside)


def test_what_was_made_changed_and_deleted_is_in_the_new_image(lab: Lab) -> None:
    def work(root: Path) -> None:
        (root / "etc/new").write_text("new")
        (root / "dir/one").write_text("changed")
        (root / "dir/sub/two").unlink()
        os.chmod(root / "etc/passwd", 0o600)
        os.chown(root / "etc", 12, 34)
        os.symlink("/nowhere", root / "soft")
        os.mkfifo(root / "pipe")
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.setxattr(root / "dir/one", "trusted.note", b"kept")

    in_container(lab, work)
    assert layer_names(lab) == [
        "./",
        "dir/",
        "dir/one",
        "dir/sub/",
        "dir/sub/.wh.two",
        "etc/",
        "etc/new",
        "etc/passwd",
        "null",
        "pipe",
        "soft",
    ]


def test_a_directory_that_was_deleted_stays_deleted(lab: Lab) -> None:
    in_container(lab, lambda root: shutil.rmtree(root / "dir"))
    assert layer_names(lab) == ["./", ".wh.dir"]


def test_a_directory_that_was_deleted_and_made_anew_hides_what_was_in_it(lab: Lab) -> None:
    def work(root: Path) -> None:
        shutil.rmtree(root / "dir")
        (root / "dir").mkdir()
        (root / "dir/three").write_text("3")

    in_container(lab, work)
    assert layer_names(lab) == ["./", "dir/", "dir/.wh..wh..opq", "dir/three"]


def test_a_file_takes_the_place_of_a_directory_and_the_other_way_round(lab: Lab) -> None:
    def work(root: Path) -> None:
        shutil.rmtree(root / "dir")
        (root / "dir").write_text("now a file")
        (root / "big").unlink()
        (root / "big").mkdir()
        (root / "big/inner").write_text("x")

    in_container(lab, work)


def test_hard_links_among_the_changes_stay_hard_links(lab: Lab) -> None:
    def work(root: Path) -> None:
        (root / "etc/a").write_text("linked")
        os.link(root / "etc/a", root / "etc/b")

    in_container(lab, work)
    image = lab.store.get("made")
    a, b = (os.stat(f"{image.layers[-1]}/etc/{name}") for name in "ab")
    assert a.st_ino == b.st_ino


def test_nothing_changed_is_an_empty_layer_and_the_layer_is_reproducible(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    os.utime(lab.upper, (5, 5))
    first = lab.commit()
    assert layer_names(lab) == ["./"]
    assert lab.commit().id == first.id
    assert first.created == "2023-11-14T22:13:20Z"


def test_a_mounted_volume_and_its_mount_point_stay_out(lab: Lab) -> None:
    def work() -> None:
        lab.live()
        for name in ("data", "proc"):
            (lab.root / name).mkdir()
        (lab.root / "etc/resolv.conf").touch()
        (lab.root / "data/below").write_text("hidden by the volume")
        tmpfs(str(lab.root / "data"), "1m")
        (lab.root / "data/precious").write_text("the host's")
        image = lab.commit(exclude=["/data", "/proc/", "/etc/resolv.conf", "/dev"])
        # "dir" has the beginning of a name in common, no more.
        assert not {"data", "proc"} & set(os.listdir(image.layers[-1]))
        assert os.listdir(f"{image.layers[-1]}/etc") == []

    privately(work)


def test_links_in_the_upper_directory_are_never_followed(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    os.symlink(secret, Path(lab.upper) / "dir")
    os.symlink(secret / "key", Path(lab.upper) / "file")
    assert layer_names(lab) == ["./", "dir", "file"]
    assert b"of the host" not in b"".join(pack(changed(lab.upper)))


def test_a_directory_swapped_for_a_link_while_it_is_read_leads_nowhere(
    lab: Lab, tmp_path: Path
) -> None:
    """A container that runs on may change the tree between any two of our steps."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of the host")
    (Path(lab.upper) / "dir").mkdir()
    (Path(lab.upper) / "file").write_text("x")
    for name in ("dir", "file"):
        members = changed(lab.upper)
        pieces = pack(_swapped(members, name, Path(lab.upper), tmp_path / "secret"))
        with pytest.raises(Error):
            b"".join(pieces)


def _swapped(members: object, name: str, upper: Path, secret: Path):  # type: ignore[no-untyped-def]  # a generator around one
    for member, fd, base in members:  # type: ignore[attr-defined]
        if os.fsdecode(base) == name:
            path = upper / name
            path.rmdir() if path.is_dir() else path.unlink()
            os.symlink(secret / "key" if name == "file" else secret, path)
        yield member, fd, base


def changed_before_it_is_read(lab: Lab, name: bytes, change: Callable[[], object]) -> Iterator[Any]:
    """What a commit packs, with a change made after that file was looked at."""
    for member, fd, base in changed(lab.upper):
        if base == name:
            change()
        yield member, fd, base


def test_a_file_that_shrinks_while_it_is_read_is_an_error_that_names_it(lab: Lab) -> None:
    file = Path(lab.upper) / "log"
    file.write_bytes(b"x" * 1000)
    shrinking = changed_before_it_is_read(lab, b"log", lambda: os.truncate(file, 10))
    with pytest.raises(Error, match="pack: log: changed while it was read"):
        b"".join(pack(shrinking))


def test_a_file_that_grows_while_it_is_read_is_taken_as_it_was(lab: Lab) -> None:
    file = Path(lab.upper) / "log"
    file.write_bytes(b"x" * 1000)
    growing = changed_before_it_is_read(lab, b"log", lambda: file.write_bytes(b"y" * 5000))
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(growing)))) as archive:
        assert archive.getmember("log").size == 1000


def test_a_name_that_a_layer_cannot_hold_is_refused(lab: Lab) -> None:
    (Path(lab.upper) / ".wh.mine").touch()
    with pytest.raises(Error, match=r"commit: \.wh\.mine: "):
        lab.commit()
    assert lab.store.find("made") is None
    assert lab.store.check() == []


@pytest.mark.parametrize("mark", ["redirect", "metacopy"])
def test_marks_that_no_tar_can_express_are_refused(lab: Lab, mark: str) -> None:
    (Path(lab.upper) / "renamed").mkdir()
    os.setxattr(Path(lab.upper) / "renamed", f"trusted.overlay.{mark}", b"/dir")
    with pytest.raises(
        Error, match=rf"commit: renamed/: has the attribute trusted\.overlay\.{mark}"
    ):
        lab.commit()


def test_sockets_stay_out_and_holes_stay_holes(lab: Lab) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"{lab.upper}/socket")
    with open(f"{lab.upper}/sparse", "wb") as file:
        file.truncate(50_000_000)
    image = lab.commit()
    assert os.listdir(image.layers[-1]) == ["sparse"]
    assert os.stat(f"{image.layers[-1]}/sparse").st_blocks < 1000


def test_the_new_image_tells_where_it_came_from(lab: Lab) -> None:
    changes = ['CMD ["one", "two words"]', "ENV A=1", "WORKDIR /srv"]
    image = lab.commit(author="me", message="why", created_by="sh", changes=changes)
    config = lab.store.get("made").config
    assert config == image.config
    assert (config.author, config.config.cmd) == ("me", ["one", "two words"])
    assert (config.config.env, config.config.working_dir) == (["A=1"], "/srv")
    assert [entry.comment for entry in config.history] == ["Imported from a tar", "why"]
    assert config.history[1].created_by == "sh"
    assert len(config.rootfs.diff_ids) == 2
    assert lab.store.get("base").config.config.cmd == []


def test_a_wrong_name_or_change_leaves_nothing(lab: Lab) -> None:
    with pytest.raises(Usage, match="NO"):
        commit(lab.store, lab.image, lab.upper, "NO")
    with pytest.raises(Usage, match="RUN"):
        lab.commit(changes=["RUN x"])
    assert len(lab.store.images()) == 1
    assert lab.store.check() == []


def test_an_upper_directory_that_is_gone_is_named(lab: Lab) -> None:
    shutil.rmtree(lab.upper)
    with pytest.raises(Error, match=f"open: {lab.upper}: no such file or directory"):
        lab.commit()


def test_an_image_without_a_parent_is_the_upper_directory_alone(lab: Lab) -> None:
    (Path(lab.upper) / "file").touch()
    image = commit(lab.store, None, lab.upper, None)
    assert image.names == []
    assert len(image.layers) == 1


PATHS = [
    "etc", "etc/passwd", "dir", "dir/one", "dir/sub", "dir/sub/two", "big", "hard", "link",
    "new", "new/a", "new/b", "dir/new", "dir/sub/new/deep", "etc/x",
]  # fmt: skip

actions = st.lists(
    st.tuples(
        st.sampled_from(["write", "delete", "mkdir", "move", "link", "hard", "mode", "pipe"]),
        st.sampled_from(PATHS),
        st.sampled_from(PATHS),
    ),
    max_size=12,
)


def act(root: Path, action: str, path: Path, other: Path) -> None:
    match action:
        case "write":
            if path.is_fifo():
                return  # nobody reads from it: we would wait forever
            path.write_text(str(other))
        case "delete":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        case "mkdir":
            path.mkdir(parents=True)
        case "move":
            os.rename(path, other)
        case "link":
            os.symlink(other.name, path)
        case "hard":
            os.link(path, other, follow_symlinks=False)
        case "mode":
            os.chmod(path, random.Random(str(other)).getrandbits(12))
        case "pipe":
            os.mkfifo(path)


def test_whatever_happens_in_a_container_the_image_shows_the_same(tmp_path: Path) -> None:
    """Random changes in a real overlay; the merged view of the committed image is the same."""

    @settings(
        max_examples=40,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(actions)
    def holds(todo: list[tuple[str, str, str]]) -> None:
        place = tmp_path / "example"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()

        def work() -> None:
            tmpfs(str(place), "64m")
            lab = Lab(place)
            lab.live()
            for action, path, other in todo:
                try:
                    act(lab.root, action, lab.root / path, lab.root / other)
                except OSError:
                    continue  # not possible here, as mv(1) would say
            assert lab.seen(lab.commit()) == contents(lab.root)

        privately(work)

    holds()
