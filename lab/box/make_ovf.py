"""Write the OVF of the box for VirtualBox, from box.ovf.jinja and the disk it describes.

python3 lab/box/make_ovf.py DISK.vmdk ARCHITECTURE >box.ovf
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import jinja2

SECTOR = 512


def capacity(disk: Path) -> int:
    """The size in bytes that the guest sees: the header of a sparse VMDK tells it in sectors."""
    with disk.open("rb") as file:
        magic, _version, _flags, sectors = struct.unpack("<4sIIQ", file.read(20))
    if magic != b"KDMV":
        sys.exit(f"lab: {disk}: not a sparse VMDK")
    return int(sectors) * SECTOR


def ovf(disk: Path, arch: str) -> str:
    """The OVF of a machine with this disk."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True)
    template = environment.from_string(Path(__file__).with_name("box.ovf.jinja").read_text())
    return template.render(
        name="mydocker-lab",
        disk=disk.name,
        size=disk.stat().st_size,
        capacity=capacity(disk),
        arch=arch,
        cpus=2,
        memory=2048,
    )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_ovf.py DISK.vmdk ARCHITECTURE")
    print(ovf(Path(sys.argv[1]), sys.argv[2]))
