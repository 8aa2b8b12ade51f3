"""The box and the Vagrantfile, without building one: what is checked before, what is written."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from lab.box import make_ovf
from mydocker.linux import syscalls
from tests.conftest import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

BOXES = CHECKOUT / "lab" / "boxes.toml"
SCRIPTS = [*CHECKOUT.glob("lab/*.sh"), *CHECKOUT.glob("lab/box/*.sh"), CHECKOUT / ".ci/run"]
SCRIPTS += [CHECKOUT / "lab/mydocker-lab", CHECKOUT / "lab/vm/lab-vm"]
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    shell = script.read_text().splitlines()[0].rpartition("/")[2]
    subprocess.run([shell, "-n", script], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(
            ["shellcheck", "-x", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


# For VirtualBox


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The beginning of a stream-optimised VMDK of 20 GB: magic, version, flags, sectors."""
    path = tmp_path / "box-disk.vmdk"
    path.write_bytes(struct.pack("<4sIIQ", b"KDMV", 3, 0x30001, 20 << 21).ljust(4096, b"\0"))
    return path


@pytest.mark.parametrize(("arch", "system"), [("amd64", "Debian_64"), ("arm64", "Debian_arm64")])
def test_the_ovf_describes_the_disk_that_is_there(disk: Path, arch: str, system: str) -> None:
    envelope = ElementTree.fromstring(make_ovf.ovf(disk, arch))
    (file,) = envelope.iter(f"{OVF}File")
    assert file.get(f"{OVF}href") == "box-disk.vmdk"
    assert file.get(f"{OVF}size") == "4096"
    (drive,) = envelope.iter(f"{OVF}Disk")
    assert drive.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert drive.get(f"{OVF}capacity") == str(20 << 30)
    assert str(drive.get(f"{OVF}format")).endswith("#streamOptimized")
    (described,) = envelope.iterfind(f".//{OVF}OperatingSystemSection/{OVF}Description")
    assert described.text == system


def test_the_ovf_s_hardware_fits_together(disk: Path) -> None:
    envelope = ElementTree.fromstring(make_ovf.ovf(disk, "amd64"))
    items = [{e.tag: e.text for e in item} for item in envelope.iter(f"{OVF}Item")]
    by_type = {item[f"{RASD}ResourceType"]: item for item in items}
    assert by_type.keys() == {"3", "4", "10", "17", "20"}
    assert len({item[f"{RASD}InstanceID"] for item in items}) == len(items)
    assert by_type["17"][f"{RASD}Parent"] == by_type["20"][f"{RASD}InstanceID"]
    (drive,) = envelope.iter(f"{OVF}Disk")
    assert by_type["17"][f"{RASD}HostResource"] == f"/disk/{drive.get(f'{OVF}diskId')}"
    (network,) = envelope.iter(f"{OVF}Network")
    assert by_type["10"][f"{RASD}Connection"] == network.get(f"{OVF}name")


def test_a_file_that_is_no_vmdk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(100))
    with pytest.raises(SystemExit, match="not a sparse VMDK"):
        make_ovf.ovf(path, "amd64")


# make-box.sh


def make_box(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECKOUT / "lab/make-box.sh"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test")
    place = tmp_path / "small"
    place.mkdir()
    syscalls.mount("tmpfs", str(place), "tmpfs", 0, "size=10m")
    yield place
    syscalls.umount2(str(place), 0)


def test_too_little_disk_is_said_at_once_and_nothing_is_left(small_place: Path) -> None:
    done = make_box(LAB_TMP=str(small_place), LAB_SUITE="a-suite-of-the-test", LAB_FORMATS="")
    assert done.returncode == 1
    assert " GB free, a box needs" in done.stderr
    assert "hint: LAB_TMP=/another/place" in done.stderr
    assert not list(small_place.iterdir())


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"LAB_IMAGE": "/no/such/image"}, "lab: /no/such/image: no such file"),
        ({"LAB_FORMATS": "floppy"}, "lab: LAB_FORMATS: floppy: no such format"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    environment: dict[str, str], why: str
) -> None:
    done = make_box(**environment)
    assert done.returncode == 1, done.stdout
    assert done.stderr.splitlines()[0] == (
        why if os.geteuid() == 0 else "lab: making a box needs root"
    )


def test_groups_of_packages_have_names() -> None:
    script = [str(CHECKOUT / "lab/provision.sh"), "install", "everything"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    if os.geteuid() == 0:
        assert done.stderr.startswith("lab: no such group of packages: everything\nhint: ")


# The Vagrantfile


def test_the_table_of_boxes_is_toml_and_simple_enough_for_the_vagrantfile() -> None:
    table = tomllib.loads(BOXES.read_text())
    lines = [line for line in BOXES.read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"\[[\w.]+\]|\w+ = \"[^\"\\]*\"", line) for line in lines)
    assert table.keys() == {"ours", "public"}
    for kind, keys in (("ours", {"url", "sha256"}), ("public", {"box"})):
        for architectures in table[kind].values():
            assert architectures.keys() <= {"amd64", "arm64"}
            assert all(entry.keys() == keys for entry in architectures.values())
    ours = [entry for one in table["ours"].values() for entry in one.values()]
    assert all(bool(entry["url"]) == bool(entry["sha256"]) for entry in ours)


class Vagrant:
    """Vagrant on a clone whose path has a blank, with a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.clone = directory / "a clone"
        (self.clone / "lab").mkdir(parents=True)
        shutil.copy(CHECKOUT / "Vagrantfile", self.clone)
        for name in ("Vagrantfile", "boxes.toml"):
            shutil.copy(CHECKOUT / "lab" / name, self.clone / "lab")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "VAGRANT_HOME": str(directory / "vagrant"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "LANG": "C.UTF-8",
        }

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.clone,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def box(self, provider: str, **environment: str) -> dict[str, str]:
        """Which box the Vagrantfile chooses."""
        script = (
            "module Vagrant; VERSION = '2.3.4'; def self.configure(_); end; end\n"
            "load 'lab/Vagrantfile'\n"
            'Lab.box(ARGV[0]).each { |key, value| puts "#{key}=#{value}" }'
        )
        done = self.run("ruby", "-e", script, provider, **environment)
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    def build(self, key: str) -> Path:
        """As `make box` leaves it."""
        box = self.clone / "build" / "box" / key
        box.mkdir(parents=True)
        (box / "libvirt.box").touch()
        (box.parent / "current").symlink_to(key)
        return box


@pytest.fixture
def vagrant(tmp_path: Path) -> Vagrant:
    if not shutil.which("vagrant"):
        pytest.skip("no vagrant here: apt-get install vagrant vagrant-libvirt")
    return Vagrant(tmp_path)


@pytest.fixture
def with_ruby(tmp_path: Path) -> Vagrant:
    if not shutil.which("ruby"):
        pytest.skip("no ruby here: it comes with vagrant")
    return Vagrant(tmp_path)


def test_vagrant_finds_the_vagrantfile_valid(vagrant: Vagrant) -> None:
    done = vagrant.run("vagrant", "validate", "--ignore-provider")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "value"), [("LAB_CPUS", "0"), ("LAB_MEMORY", "2G")])
def test_vagrant_refuses_a_wrong_size_in_one_line(vagrant: Vagrant, name: str, value: str) -> None:
    done = vagrant.run("vagrant", "status", **{name: value})
    assert done.returncode != 0
    assert f"lab: {name}={value}: not a number" in done.stderr
    assert "Message" not in done.stderr


def test_a_box_that_was_named_comes_first_then_one_that_was_built(with_ruby: Vagrant) -> None:
    built = with_ruby.build("0123abcd")
    assert with_ruby.box("libvirt") == {
        "name": "mydocker-lab-0123abcd",
        "url": str(built.parent / "current" / "libvirt.box"),
    }
    assert with_ruby.box("qemu")["name"] == "mydocker-lab-0123abcd"
    named = with_ruby.box("libvirt", LAB_BOX="mine", LAB_BOX_URL="http://127.0.0.1/mine.box")
    assert named == {"name": "mine", "url": "http://127.0.0.1/mine.box"}
    assert with_ruby.box("libvirt", LAB_BOX_URL="/x.box")["url"] == "/x.box"
    assert with_ruby.box("virtualbox")["public"] == "true"


def test_a_published_box_is_taken_with_its_checksum(with_ruby: Vagrant) -> None:
    table = with_ruby.clone / "lab/boxes.toml"
    text = '[ours.virtualbox.{}]\nurl = "https://example.org/v.box"\nsha256 = "abc"\n'
    table.write_text(text.format("amd64") + text.format("arm64"))
    found = with_ruby.box("virtualbox")
    assert found == {"name": "mydocker-lab", "url": "https://example.org/v.box", "sha256": "abc"}
