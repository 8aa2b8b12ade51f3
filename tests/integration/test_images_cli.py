"""Images on the command line: import, images, tag, rmi, and the containers that use them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import LAUNCHER, Mydocker, wait_until


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The tar of a tiny root filesystem, with nothing in it to execute."""
    path = tmp_path / "tiny.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("etc/motd")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"hello\n"))
    return path


def ids(mydocker: Mydocker) -> list[str]:
    return mydocker.ok("images", "-q", "--no-trunc").split()


def rows(mydocker: Mydocker) -> list[list[str]]:
    """The lines of `images`, in columns."""
    return [line.split() for line in mydocker.ok("images").splitlines()[1:]]


# import


def test_import_prints_the_id_of_the_new_image(mydocker: Mydocker, archive: Path) -> None:
    printed = mydocker.ok("import", str(archive), "tiny:1").strip()
    assert printed.startswith("sha256:")
    assert printed in ids(mydocker)
    assert ["tiny", "1"] in [row[:2] for row in rows(mydocker)]


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz"])
def test_import_reads_stdin_compressed_or_not(
    program: str, mydocker: Mydocker, archive: Path
) -> None:
    shell = f"{program} -c {archive} | {LAUNCHER} import - tiny"
    done = subprocess.run(
        ["sh", "-c", shell], env=mydocker.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    compressed = mydocker.inspect("tiny")
    mydocker.ok("import", str(archive), "plain")
    plain = mydocker.inspect("plain")
    assert compressed["rootfs"] == plain["rootfs"]


def test_import_applies_changes(mydocker: Mydocker) -> None:
    tar = str(LAUNCHER.parent / "busybox.tar")
    changes = ("-c", 'CMD ["echo", "a b"]', "-c", 'ENV bird="free as a bird"', "-c", "WORKDIR /srv")
    mydocker.ok("import", *changes, tar, "changed")
    assert mydocker.ok("run", "--rm", "changed") == "a b\n"
    script = "echo $bird; pwd"
    assert mydocker.ok("run", "--rm", "changed", "sh", "-c", script) == "free as a bird\n/srv\n"


def test_an_image_without_a_name_is_shown_and_found_by_its_id(
    mydocker: Mydocker, archive: Path
) -> None:
    identity = mydocker.ok("import", str(archive)).strip()
    assert ["<none>", "<none>", identity[7:19]] in [row[:3] for row in rows(mydocker)]
    mydocker.ok("tag", identity[7:19], "found")
    assert "found" in mydocker.ok("images")


def test_half_an_archive_makes_no_image(mydocker: Mydocker, archive: Path, tmp_path: Path) -> None:
    before = ids(mydocker)
    (tmp_path / "half.tar").write_bytes(archive.read_bytes()[:700])
    line = mydocker.fails(125, "import", f"{tmp_path}/half.tar", "half")
    assert "tar" in line
    assert ids(mydocker) == before
    assert not list(mydocker.root.glob("images/tmp/*"))


def test_an_import_that_is_interrupted_leaves_nothing(mydocker: Mydocker) -> None:
    before = ids(mydocker)
    big = tarfile.TarInfo("big")
    big.size = 100 << 20
    with mydocker.start("import", "-", "half", stdin=subprocess.PIPE) as running:
        assert running.stdin
        running.stdin.write(big.tobuf().decode() + "x" * (4 << 20))
        running.stdin.flush()
        wait_until(lambda: list(mydocker.root.glob("images/tmp/*/diff/big")))
        # A signal that comes right before a read(2) does not interrupt it: press again.
        while running.poll() is None:
            running.send_signal(2)
            time.sleep(0.05)
        assert running.returncode == 130
    assert ids(mydocker) == before
    assert not list(mydocker.root.glob("images/tmp/*"))


# images, tag


def test_images_lists_names_ids_and_sizes(mydocker: Mydocker) -> None:
    header, row = mydocker.ok("images").splitlines()
    assert header.split("   ")[0] == "REPOSITORY"
    repository, tag, identity, *_, size = row.split()
    assert (repository, tag) == ("busybox", "latest")
    assert ids(mydocker)[0][7:19] == identity == mydocker.ok("images", "-q").strip()
    assert size.endswith("MB")


def test_a_tag_is_one_more_name_of_the_same_image(mydocker: Mydocker) -> None:
    mydocker.ok("tag", "busybox", "registry.example:5000/team/box:v1")
    assert len(ids(mydocker)) == 1
    assert ["registry.example:5000/team/box", "v1"] in [row[:2] for row in rows(mydocker)]
    run = ("run", "--rm", "registry.example:5000/team/box:v1", "echo", "same")
    assert mydocker.ok(*run) == "same\n"


def test_a_name_moves_to_the_image_that_gets_it_last(mydocker: Mydocker, archive: Path) -> None:
    mydocker.ok("import", str(archive), "busybox")
    assert sorted(row[0] for row in rows(mydocker)) == ["<none>", "busybox"]
    # The default image holds no command now, and the old one is still there under its id.
    mydocker.fails(127, "run", "--rm", "sh")
    (old,) = [row[2] for row in rows(mydocker) if row[0] == "<none>"]
    assert mydocker.ok("run", "--rm", old, "echo", "old") == "old\n"


def test_the_image_is_the_first_word_if_there_is_one_of_that_name(
    mydocker: Mydocker, archive: Path
) -> None:
    mydocker.ok("tag", "busybox", "echo")
    assert mydocker.ok("run", "--rm", "echo", "echo", "x") == "x\n"
    assert mydocker.ok("run", "--rm", "--image", "busybox", "echo", "echo", "x") == "echo x\n"


# rmi


def test_rmi_takes_one_name_and_with_the_last_the_image(mydocker: Mydocker) -> None:
    mydocker.ok("tag", "busybox", "other")
    assert mydocker.ok("rmi", "busybox") == "Untagged: busybox:latest\n"
    said = mydocker.ok("rmi", "other").splitlines()
    assert said[0] == "Untagged: other:latest"
    assert all(line.startswith("Deleted: sha256:") for line in said[1:])
    assert len(said) == 3  # the image and its one layer
    assert ids(mydocker) == []
    assert not list(mydocker.root.glob("images/layers/*"))


def test_an_id_with_two_names_is_removed_only_by_force(mydocker: Mydocker) -> None:
    mydocker.ok("tag", "busybox", "other")
    (identity,) = ids(mydocker)
    assert "other" in mydocker.fails(125, "rmi", identity)
    mydocker.ok("rmi", "-f", identity)
    assert ids(mydocker) == []


@pytest.mark.parametrize("state", ["running", "exited"])
def test_an_image_that_a_container_uses_is_not_removed(state: str, mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--name", "bird", "top" if state == "running" else "true")
    assert "bird" in mydocker.fails(125, "rmi", "busybox")
    assert mydocker.ok("run", "--rm", "echo", "still there") == "still there\n"
    mydocker.ok("rmi", "-f", "busybox")  # it loses its name, and stays
    assert [row[0] for row in rows(mydocker)] == ["<none>"]
    mydocker.ok("rm", "-f", "bird")
    mydocker.ok("rmi", ids(mydocker)[0])
    assert ids(mydocker) == []


def test_a_container_that_died_unseen_does_not_hold_its_image(mydocker: Mydocker) -> None:
    mydocker.ok("run", "-d", "--rm", "--name", "bird", "top")
    record = mydocker.inspect("bird")
    subprocess.run(["kill", "-9", str(record["monitorPid"])], check=True)
    wait_until(lambda: not Path(f"/proc/{record['pid']}").exists())
    mydocker.ok("rmi", "busybox")


# Many at once


def test_one_image_imported_many_times_at_once_is_there_once(
    mydocker: Mydocker, archive: Path
) -> None:
    """The same content at the same time (SOURCE_DATE_EPOCH) is the same image."""

    def load(number: int) -> str:
        run = ("import", str(archive), f"tiny:{number}")
        return mydocker.ok(*run, SOURCE_DATE_EPOCH="1")

    with ThreadPoolExecutor(8) as pool:
        printed = set(pool.map(load, range(8)))
    assert len(printed) == 1
    assert len(ids(mydocker)) == 2
    assert len(list(mydocker.root.glob("images/layers/*"))) == 2
    names = sorted(row[1] for row in rows(mydocker) if row[0] == "tiny")
    assert names == [str(number) for number in range(8)]


def test_import_tag_rmi_and_run_at_once_do_not_disturb_each_other(
    mydocker: Mydocker, archive: Path
) -> None:
    def work(number: int) -> None:
        for _ in range(3):
            mydocker.ok("import", str(archive), f"tiny{number}")
            mydocker.ok("tag", "busybox", f"box{number}")
            assert mydocker.ok("run", "--rm", f"box{number}", "echo", "x") == "x\n"
            mydocker.ok("rmi", f"box{number}")
            mydocker.ok("rmi", f"tiny{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(ids(mydocker)) == 1


# images --digests, --filter; history; prune


def test_images_are_chosen_by_name_label_time_and_whether_they_have_a_name(
    mydocker: Mydocker, archive: Path
) -> None:
    tar = str(archive)
    mydocker.ok("import", "-c", "LABEL a=b", tar, "team/one:1", SOURCE_DATE_EPOCH="1000000000")
    mydocker.ok("import", "-c", "LABEL a=c", tar, "team/two:2")
    nameless = mydocker.ok("import", "-c", "LABEL x=y", tar).strip()

    def found(*words: str) -> set[str]:
        lines = mydocker.ok("images", *words).splitlines()[1:]
        return {":".join(line.split()[:2]) for line in lines}

    assert found("team/*") == {"team/one:1", "team/two:2"}
    assert found("team/two:*") == {"team/two:2"}
    assert found("-f", "reference=busybox") == {"busybox:latest"}
    assert found("-f", "label=a=b") == {"team/one:1"}
    assert found("-f", "label=a") == {"team/one:1", "team/two:2"}
    assert found("-f", "until=2001-09-09T01:47:00Z") == {"team/one:1"}
    assert mydocker.ok("images", "-q", "--no-trunc", "-f", "dangling=true").strip() == nameless
    assert "<none>:<none>" not in found("-f", "dangling=false")
    for wrong in ("nope=1", "dangling", "dangling=maybe", "until=soon", "reference!=x"):
        mydocker.fails(125, "images", "-f", wrong)


def test_history_tells_each_step_and_what_it_weighs(mydocker: Mydocker, archive: Path) -> None:
    mydocker.ok("import", "-m", "the first", str(archive), "tiny", SOURCE_DATE_EPOCH="1000000000")
    mydocker.ok("tag", "tiny", "busy")
    mydocker.ok("run", "--name", "bird", "sh", "-c", "echo hello > /new")
    mydocker.ok("commit", "-m", "the second", "bird", "committed")
    lines = mydocker.ok("history", "--no-trunc", "-H=false", "committed").splitlines()
    assert lines[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    first, second = (line.split() for line in lines[1:])
    assert first[0] == ids(mydocker)[0]
    assert (second[0], first[-2:], first[-3]) == ("<missing>", ["the", "second"], "6")
    (only,) = mydocker.ok("history", "tiny").splitlines()[1:]
    assert "2001" not in only
    assert "6B" in only
    assert mydocker.ok("history", "-q", "tiny").strip() in ids(mydocker)[-1]
    assert "no such image" in mydocker.fails(125, "history", "nope")


def test_inspect_says_what_images_share(mydocker: Mydocker, archive: Path) -> None:
    mydocker.ok("import", str(archive), "one")
    (told,) = json.loads(mydocker.ok("image", "inspect", "one"))
    assert (told["Size"], told["SharedSize"], told["RepoTags"]) == (6, 0, ["one:latest"])
    mydocker.ok("import", "-c", "ENV A=b", str(archive), "two")
    (told,) = json.loads(mydocker.ok("image", "inspect", "one"))
    assert (told["Size"], told["SharedSize"]) == (6, 6)


def test_prune_removes_what_has_no_name_and_with_a_what_nobody_uses(
    mydocker: Mydocker, archive: Path
) -> None:
    tar = str(archive)
    mydocker.ok("import", tar, "old", SOURCE_DATE_EPOCH="1000000000")
    mydocker.ok("import", "-c", "LABEL keep=yes", tar, "kept")
    mydocker.ok("tag", "kept", "again")
    nameless = mydocker.ok("import", "-c", "ENV A=b", tar).strip()
    mydocker.ok("run", "--name", "bird", "true")
    said = mydocker.ok("image", "prune", "-f")
    assert f"deleted: {nameless}" in said
    assert "Total reclaimed space: 0B" in said  # the layer is still that of the others
    assert len(ids(mydocker)) == 3
    assert "deleted" not in mydocker.ok("image", "prune", "-f", "--filter", "dangling=true")
    said = mydocker.ok("image", "prune", "-a", "-f", "--filter", "label!=keep")
    assert "untagged: old:latest" in said
    assert [row[0] for row in rows(mydocker)].count("old") == 0
    said = mydocker.ok("image", "prune", "-a", "-f", "--filter", "until=2000-01-01")
    assert said == "Total reclaimed space: 0B\n"
    said = mydocker.ok("image", "prune", "-a", "-f")
    assert {"untagged: kept:latest", "untagged: again:latest"} <= {*said.splitlines()}
    assert "Total reclaimed space: 6B" in said
    assert [row[0] for row in rows(mydocker)] == ["busybox"]  # bird is made of it
    mydocker.ok("rm", "bird")
    assert "untagged: busybox:latest" in mydocker.ok("image", "prune", "-a", "-f")


def test_prune_asks_first(mydocker: Mydocker, archive: Path) -> None:
    mydocker.ok("import", str(archive))
    done = mydocker.run("image", "prune", input="n\n")
    assert done.returncode == 1
    assert len(ids(mydocker)) == 2
    assert "deleted: sha256:" in mydocker.run("image", "prune", input="y\n").stdout
    assert len(ids(mydocker)) == 1
